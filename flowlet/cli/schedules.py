"""The commands about schedules: ``schedule``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from flowlet.cli.options import (
    database_option,
    expected_version_option,
    get_username,
    load_registry,
    load_settings,
    modules_option,
)
from flowlet.cli.output import build_table, create_console, format_json, format_time, serialize_schedule
from flowlet.cli.store import open_existing_store
from flowlet.clock import parse_duration
from flowlet.definition.registry import Registry
from flowlet.instance.json_text import parse_outside_json, write_json
from flowlet.operations.schedules import ScheduleOperations
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.text import escape_control_characters
from flowlet.workflow.schedule import CatchUp, Overlap, Schedule

__all__ = ["schedule"]

T = TypeVar("T")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
name_argument = click.argument("name")


def _parse_vars(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value, faults = parse_outside_json(text, subject="the text")
    except ValueError as error:
        raise click.BadParameter(f"{error} Write an object, e.g. '{{\"amount\": 3}}'.") from None
    if faults or not isinstance(value, dict):
        raise click.BadParameter("expected a JSON object, e.g. '{\"amount\": 3}'.")
    return value


def _parse_time(_: click.Context, __: click.Parameter, text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time. Write 2026-11-22 or 2026-11-22T08:30Z.") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


@click.group()
def schedule() -> None:
    """Manage schedules: when instances are created by themselves.

    Executors fire them: see 'flowlet serve'. Schedules that a workflow's module declares are changed there.
    """


@schedule.command("list")
@click.option("--type", help="Only schedules of this workflow.")
@json_option
@database_option
def list_(type: str | None, as_json: bool) -> None:
    """List schedules by name."""
    found = _run(lambda schedules: _list_all(schedules, type))
    if as_json:
        click.echo(format_json([serialize_schedule(record) for record in found]))
        return
    rows = [
        (one.name, one.type, one.spec, one.timezone, _describe_status(one), format_time(one.next_fire)) for one in found
    ]
    create_console().print(build_table(("NAME", "TYPE", "WHEN", "TIMEZONE", "STATUS", "NEXT"), rows))


@schedule.command()
@name_argument
@json_option
@database_option
def show(name: str, as_json: bool) -> None:
    """Show a schedule and its next ten times."""

    async def read(schedules: ScheduleOperations) -> tuple[ScheduleRecord, list[str]]:
        record = await schedules.get(name)
        return record, [time.text for time in schedules.list_next_times(record)]

    record, times = _run(read)
    if as_json:
        click.echo(format_json({**serialize_schedule(record), "times": times}))
        return
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
    type=click.Choice([one.value for one in Overlap]),
    default="allow",
    show_default=True,
    help="While one runs.",
)
@click.option(
    "--catch-up",
    type=click.Choice([one.value for one in CatchUp]),
    default="last",
    show_default=True,
    help="Of missed times.",
)
@click.option("--jitter", metavar="DURATION", help="Each time fires later by a part of this length.")
@click.option("--vars", metavar="JSON", callback=_parse_vars, help="The variables, as a JSON object.")
@click.option("--preview", is_flag=True, help="Only print the next ten times.")
@modules_option
@database_option
def add(name: str, type: str, preview: bool, modules: tuple[str, ...], **fields: Any) -> None:
    """Create a schedule called NAME of the workflow TYPE, and print its next ten times."""
    for field in ("every", "jitter"):
        if fields[field] is not None:
            parse_duration(fields[field])
    made = Schedule(name=name, **fields)
    settings = load_settings()
    registry = load_registry(modules, settings)

    async def create(schedules: ScheduleOperations) -> list[str]:
        times = [time.text for time in schedules.preview(type, made)]
        if not preview:
            await schedules.create(type, made, username=get_username())
        return times

    times = asyncio.run(_run_in_store(settings, registry, create))
    click.echo("\n".join(times))


@schedule.command()
@name_argument
@click.option("--reason", help="Why; shown with the schedule.")
@expected_version_option
@database_option
def pause(name: str, reason: str | None, expected_version: int | None) -> None:
    """Pause a schedule until it is resumed, also over deploys."""
    by = get_username()
    _run(lambda schedules: schedules.pause(name, username=by, reason=reason, expected_version=expected_version))
    click.echo(f"Paused {escape_control_characters(name)}.")


@schedule.command()
@name_argument
@expected_version_option
@database_option
def resume(name: str, expected_version: int | None) -> None:
    """Resume a paused schedule; of the times of the pause, those fire that its catch-up says."""
    _run(lambda schedules: schedules.resume(name, username=get_username(), expected_version=expected_version))
    click.echo(f"Resumed {escape_control_characters(name)}.")


@schedule.command()
@name_argument
@expected_version_option
@modules_option
@database_option
def fire(name: str, expected_version: int | None, modules: tuple[str, ...]) -> None:
    """Create an instance of a schedule now, and print its id."""
    by = get_username()
    created = _run(
        lambda schedules: schedules.fire_now(name, username=by, expected_version=expected_version), modules=modules
    )
    click.echo(created.id)


@schedule.command()
@name_argument
@click.argument("first", metavar="FROM", callback=_parse_time)
@click.argument("last", metavar="TO", callback=_parse_time)
@expected_version_option
@modules_option
@database_option
def backfill(
    name: str, first: datetime, last: datetime, *, expected_version: int | None, modules: tuple[str, ...]
) -> None:
    """Create the instances of past times, FROM and TO included; those that exist stay as they are.

    Times are written 2026-11-22 or 2026-11-22T08:30Z; UTC by default. At most 1,000 times.
    """
    by = get_username()
    result = _run(
        lambda schedules: schedules.backfill(name, first, last, username=by, expected_version=expected_version),
        modules=modules,
    )
    existed = len(result.instances) - result.created_count
    click.echo(f"Created {result.created_count}; {existed} existed.")


@schedule.command()
@name_argument
@expected_version_option
@database_option
def remove(name: str, expected_version: int | None) -> None:
    """Delete a schedule; its instances stay."""
    _run(lambda schedules: schedules.delete(name, username=get_username(), expected_version=expected_version))
    click.echo(f"Deleted {escape_control_characters(name)}.")


def _describe_status(record: ScheduleRecord) -> str:
    if record.is_disabled:
        return "disabled"
    if record.paused is not None:
        return f"paused by {record.paused_by}" + (f": {record.paused_reason}" if record.paused_reason else "")
    return f"fault: {record.fault}" if record.fault else "active"


async def _list_all(schedules: ScheduleOperations, type: str | None) -> list[ScheduleRecord]:
    found: list[ScheduleRecord] = []
    while page := await schedules.list_all(type=type, after=found[-1].name if found else ""):
        found += page
    return found


def _run(work: Callable[[ScheduleOperations], Awaitable[T]], *, modules: tuple[str, ...] | None = None) -> T:
    """Run an operation; with ``modules`` one that needs the workflow's module."""
    settings = load_settings()
    registry = Registry() if modules is None else load_registry(modules, settings)
    return asyncio.run(_run_in_store(settings, registry, work))


async def _run_in_store(
    settings: Settings, registry: Registry, work: Callable[[ScheduleOperations], Awaitable[T]]
) -> T:
    async with open_existing_store(settings) as store:
        return await work(Operations(store, registry).schedules)
