"""The commands about schedules: ``schedule``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flowlet.cli.options import (
    expected_version_option,
    json_option,
    modules_option,
    parse_object,
    parse_time_argument,
    target_options,
)
from flowlet.text import escape_control_characters

if TYPE_CHECKING:
    from flowlet.cli.targets.target import Target
    from flowlet.instance.new_instance import Created
    from flowlet.operations.schedule_times import BackfillResult
    from flowlet.store.schedules.table import ScheduleRecord

__all__ = ["schedule"]

T = TypeVar("T")
name_argument = click.argument("name")


@click.group()
def schedule() -> None:
    """Manage schedules: when instances are created by themselves.

    Executors fire them: see 'flowlet serve'. Schedules that a workflow's module declares are changed there.
    """


@schedule.command("list")
@click.option("--type", help="Only schedules of this workflow.")
@json_option
@target_options
def list_(type: str | None, *, as_json: bool) -> None:
    """List schedules by name."""
    from flowlet.cli.output import format_json, format_time, serialize_schedule
    from flowlet.cli.tables import TableColumn, print_table

    found = _run(lambda target: _list_all(target, type))
    if as_json:
        click.echo(format_json([serialize_schedule(record) for record in found]))
        return
    columns = (
        TableColumn("Name"),
        TableColumn("Workflow", may_be_cut=True, rank=1),
        TableColumn("When", may_be_cut=True),
        TableColumn("Time zone", may_be_cut=True, rank=2),
        TableColumn("Status", may_be_cut=True),
        TableColumn("Next"),
    )
    rows = [
        (one.name, one.type, one.spec, one.timezone, _describe_status(one), format_time(one.next_fire)) for one in found
    ]
    print_table(columns, rows)


@schedule.command()
@name_argument
@json_option
@target_options
def show(name: str, *, as_json: bool) -> None:
    """Show a schedule and its next ten times."""
    from flowlet.cli.output import format_json, serialize_schedule

    async def read(target: Target) -> tuple[ScheduleRecord, Sequence[str]]:
        record = await target.schedules.get(name)
        return record, await target.schedules.list_next_times(record)

    record, times = _run(read)
    if as_json:
        click.echo(format_json({**serialize_schedule(record), "times": list(times)}))
    else:
        _print_schedule(record, times)


def _print_schedule(record: ScheduleRecord, times: Sequence[str]) -> None:
    from flowlet.cli.output import format_time
    from flowlet.instance.json_text import write_json

    shown = {
        "name": record.name,
        "type": record.type,
        "source": record.source,
        "when": f"{record.spec} ({record.timezone})",
        "overlap": record.overlap,
        "catch up": record.catch_up,
        "variables": write_json(record.vars),
        "status": _describe_status(record),
        "last": f"{format_time(record.last_fire)} workflow {record.last_workflow_id}" if record.last_fire else "never",
        "version": record.version,
    }
    for label, value in shown.items():
        click.echo(f"{label + ':':<11}{escape_control_characters(value)}")
    click.echo("next times:")
    for text in times:
        click.echo(f"  {text}")


@schedule.command()
@name_argument
@click.argument("type")
@click.option("--cron", metavar="FIELDS", help="Five fields, e.g. '0 3 * * *', or @daily and the like.")
@click.option("--every", metavar="DURATION", help="An interval instead, e.g. '15 minutes'.")
@click.option("--timezone", default="UTC", show_default=True, help="The time zone of --cron.")
@click.option(
    "--overlap",
    type=click.Choice(("allow", "skip", "wait")),
    default="allow",
    show_default=True,
    help="While one runs.",
)
@click.option(
    "--catch-up",
    type=click.Choice(("none", "last", "all")),
    default="last",
    show_default=True,
    help="Of missed times.",
)
@click.option("--jitter", metavar="DURATION", help="Each time fires later by a part of this length.")
@click.option("--vars", metavar="JSON", callback=parse_object, help="The variables, as a JSON object.")
@click.option("--preview", is_flag=True, help="Only print the next ten times.")
@json_option
@modules_option
@target_options
def add(name: str, type: str, *, preview: bool, as_json: bool, modules: tuple[str, ...], **fields: Any) -> None:
    """Create a schedule called NAME of the workflow TYPE, and print its next ten times."""
    from flowlet.cli.output import format_json
    from flowlet.clock import parse_duration
    from flowlet.workflow.schedule import Schedule

    for field in ("every", "jitter"):
        if fields[field] is not None:
            parse_duration(fields[field])
    made = Schedule(name=name, **fields)

    async def create(target: Target) -> Sequence[str]:
        times = await target.schedules.preview(type, made)
        if not preview:
            await target.schedules.create(type, made)
        return times

    times = _run(create, modules=modules)
    click.echo(format_json(list(times)) if as_json else "\n".join(times))


@schedule.command()
@name_argument
@click.option("--reason", help="Why; shown with the schedule.")
@expected_version_option
@json_option
@target_options
def pause(name: str, *, as_json: bool, **options: Any) -> None:
    """Pause a schedule until it is resumed, also over deploys."""
    paused = _run(lambda target: target.schedules.change("pause", name, **options))
    _print_changed(paused, f"Paused {name}.", as_json=as_json)


@schedule.command()
@name_argument
@expected_version_option
@json_option
@target_options
def resume(name: str, *, as_json: bool, **options: Any) -> None:
    """Resume a paused schedule; of the times of the pause, those fire that its catch-up says."""
    resumed = _run(lambda target: target.schedules.change("resume", name, **options))
    _print_changed(resumed, f"Resumed {name}.", as_json=as_json)


@schedule.command()
@name_argument
@expected_version_option
@json_option
@modules_option
@target_options
def fire(name: str, *, expected_version: int | None, as_json: bool, modules: tuple[str, ...]) -> None:
    """Create an instance of a schedule now, and print its id."""
    from flowlet.cli.output import format_json, serialize_created

    async def create(target: Target) -> Created:
        return await target.schedules.fire(name, expected_version=expected_version)

    created = _run(create, modules=modules)
    click.echo(format_json(serialize_created(created)) if as_json else created.id)


@schedule.command()
@name_argument
@click.argument("first", metavar="FROM", callback=parse_time_argument)
@click.argument("last", metavar="TO", callback=parse_time_argument)
@expected_version_option
@json_option
@modules_option
@target_options
def backfill(
    name: str,
    first: datetime,
    last: datetime,
    *,
    expected_version: int | None,
    as_json: bool,
    modules: tuple[str, ...],
) -> None:
    """Create the instances of past times, FROM and TO included; those that exist stay as they are.

    Times are written 2026-11-22 or 2026-11-22T08:30Z; UTC by default. At most 1,000 times.
    """
    from flowlet.cli.output import format_json, serialize_created

    async def create(target: Target) -> BackfillResult:
        return await target.schedules.backfill(name, first, last, expected_version=expected_version)

    result = _run(create, modules=modules)
    if as_json:
        click.echo(format_json([serialize_created(created) for created in result.instances]))
        return
    existed = len(result.instances) - result.created_count
    click.echo(f"Created {result.created_count}; {existed} existed.")


@schedule.command()
@name_argument
@expected_version_option
@json_option
@target_options
def remove(name: str, *, expected_version: int | None, as_json: bool) -> None:
    """Delete a schedule; its instances stay."""
    from flowlet.cli.output import format_json, serialize_deletion

    _run(lambda target: target.schedules.delete(name, expected_version=expected_version))
    text = f"Deleted {escape_control_characters(name)}."
    click.echo(format_json(serialize_deletion(name=name)) if as_json else text)


def _print_changed(record: ScheduleRecord, text: str, *, as_json: bool) -> None:
    from flowlet.cli.output import format_json, serialize_schedule

    click.echo(format_json(serialize_schedule(record)) if as_json else escape_control_characters(text))


def _describe_status(record: ScheduleRecord) -> str:
    if record.is_disabled:
        return "disabled"
    if record.paused is not None:
        return f"paused by {record.paused_by}" + (f": {record.paused_reason}" if record.paused_reason else "")
    return f"fault: {record.fault}" if record.fault else "active"


async def _list_all(target: Target, type: str | None) -> list[ScheduleRecord]:
    found: list[ScheduleRecord] = []
    while page := await target.schedules.list_page(type=type, after=found[-1].name if found else ""):
        found += page
    return found


def _run(work: Callable[[Target], Awaitable[T]], *, modules: tuple[str, ...] | None = None) -> T:
    """Run an operation; with ``modules`` one that needs the workflow's module on a database."""
    from flowlet.cli.targets.opening import Need, TargetRequest, run_on_target

    request = TargetRequest() if modules is None else TargetRequest(Need.MODULE, modules)
    return run_on_target(work, request)
