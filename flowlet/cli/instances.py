"""The commands about instances: ``start``, ``list``, ``show``, ``retry`` and ``cancel``."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import click

from flowlet.cli.options import (
    database_option,
    expected_version_option,
    get_username,
    load_optional_registry,
    load_registry,
    load_settings,
    modules_option,
)
from flowlet.cli.output import (
    build_table,
    create_console,
    format_action,
    format_json,
    format_time,
    serialize_action,
    serialize_instance,
)
from flowlet.cli.store import open_existing_store, open_settings_store
from flowlet.clock import parse_duration, to_microseconds
from flowlet.definition.registry import Registry
from flowlet.engine.waiters import MAX_WAIT_SECONDS, Waiters
from flowlet.errors import FlowletError, SearchError, WaitTimeoutError
from flowlet.instance.instance import Action, Instance, Status
from flowlet.instance.json_text import parse_outside_json, write_json
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.store.opening import Store
from flowlet.store.search.query import SearchQuery, SearchResult, VariableFilter
from flowlet.text import escape_control_characters

__all__ = ["cancel", "list_", "parse_object", "retry", "show", "start"]

OperationCall: TypeAlias = Callable[[Operations, int], Awaitable[Instance]]

_SEARCH_FIELDS = {
    "type": "workflow_type",
    "key": "business_key",
    "group": "executor_group",
}
"""The fields of a search whose names differ from the options of ``list``."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
instance_argument = click.argument("instance", metavar="ID|EXTERNAL_ID")


def parse_object(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, Any] | None:
    """Return the object of a JSON text of the command line; None for none."""
    if text is None:
        return None
    try:
        value, faults = parse_outside_json(text, subject="the text")
    except ValueError as error:
        raise click.BadParameter(f"{error} Write an object, e.g. '{{\"amount\": 3}}'.") from None
    if faults:
        raise click.BadParameter("; ".join(f"{path}: {fault}" for path, fault in faults.items()) + ".")
    if not isinstance(value, dict):
        raise click.BadParameter("expected a JSON object, e.g. '{\"amount\": 3}'.")
    return value


def _parse_timeout(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    return None if text is None else parse_duration(text).total_seconds()


def _parse_time(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time. Write 2026-11-22 or 2026-11-22T08:30Z.") from None
    return to_microseconds(given if given.tzinfo else given.replace(tzinfo=UTC))


def _parse_variables(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[VariableFilter, ...]:
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} has no '='. Write NAME=VALUE, e.g. 'amount=3'.")
    return tuple(VariableFilter(name, value) for name, _, value in (text.partition("=") for text in texts))


@click.command()
@click.argument("name")
@click.option("--key", help="The business key.")
@click.option("--external-id", help="Must be unique; reusing one prints the existing instance's id.")
@click.option("--vars", metavar="JSON", callback=parse_object, help="The variables, as a JSON object.")
@click.option("--group", help="The executor group, instead of the workflow's.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 to 9, instead of the workflow's; 9 is highest.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; exit with 0 only if it is FINISHED.")
@click.option("--timeout", metavar="DURATION", callback=_parse_timeout, help="How long --wait waits, e.g. '5 minutes'.")
@modules_option
@database_option
def start(name: str, wait: bool, timeout: float | None, modules: tuple[str, ...], **values: Any) -> None:
    """Create an instance of the workflow called NAME and print its id.

    An executor runs it: see 'flowlet serve'.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout limits --wait: add --wait.")
    settings = load_settings()
    registry = load_registry(modules, settings)
    ended = asyncio.run(_start_instance(settings, registry, name, values, wait=wait, timeout_seconds=timeout))
    sys.exit(0 if ended is None or ended.succeeded else 1)


async def _start_instance(
    settings: Settings,
    registry: Registry,
    name: str,
    values: dict[str, Any],
    *,
    wait: bool,
    timeout_seconds: float | None,
) -> Instance | None:
    # Validated before the store is opened: a wrong name must not create a database file.
    definition = registry.get_definition(name)
    definition.build_instance(now=0, **values)
    async with open_settings_store(settings) as store:
        created = await Operations(store, registry).create(name, **values, username=get_username())
        click.echo(created.id)
        if not wait:
            return None
        ended = await _wait_for_end(store, created.id, timeout_seconds=timeout_seconds)
    why = f": {escape_control_characters(ended.reason)}" if ended.reason else ""
    click.echo(f"{ended.status} in state {ended.state}{why}", err=True)
    return ended


async def _wait_for_end(store: Store, id: int, *, timeout_seconds: float | None) -> Instance:
    """Wait until an instance has ended, for any length of time: one wait of ``Waiters`` lasts an hour at most."""
    arrivals = Waiters(store, store.clock)
    left = math.inf if timeout_seconds is None else timeout_seconds
    while True:
        try:
            return await arrivals.wait(id, timeout=min(left, MAX_WAIT_SECONDS))
        except WaitTimeoutError as error:
            left -= MAX_WAIT_SECONDS
            if left <= 0:
                raise FlowletError(_format_wait_timeout(id, error.instance)) from None


def _format_wait_timeout(id: int, instance: Instance | None) -> str:
    if instance is None:
        return f"{id} did not end before the timeout, as far as is known: the database does not respond."
    cure = " No executor has claimed it: is 'flowlet serve' running?" if instance.status == Status.NEW else ""
    return f"{id} is still {instance.status} in state {instance.state!r} after the timeout.{cure}"


@click.command("list")
@click.option("--type", help="Only instances of this workflow.")
@click.option("--status", type=click.Choice([status.value for status in Status], case_sensitive=False))
@click.option("--state", help="Only in this state, by its present or a former name.")
@click.option("--key", help="Only with this business key.")
@click.option("--group", help="Only in this executor group.")
@click.option(
    "--created-from", metavar="TIME", callback=_parse_time, help="Only created at this time or later; UTC by default."
)
@click.option(
    "--variable",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parse_variables,
    help="Only with this variable; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Continue after the page that printed this cursor.")
@json_option
@database_option
def list_(as_json: bool, **filters: Any) -> None:
    """List instances, newest first."""
    result = asyncio.run(_search_instances(load_settings(), _build_query(**filters)))
    if as_json:
        click.echo(format_json([serialize_instance(instance) for instance in result.instances]))
    elif result.instances:
        columns = ("Id", "Workflow", "Status", "State", "Key", "External id", "Modified")
        create_console().print(build_table(columns, [_build_row(instance) for instance in result.instances]))
    else:
        click.echo("No instance matches.", err=True)
    if result.next_cursor:
        number = f"{result.total:,} or more" if result.total_is_at_least else f"{result.total:,}"
        click.echo(f"{number} match. Next page: --cursor {result.next_cursor}", err=True)


def _build_query(**filters: Any) -> SearchQuery:
    try:
        return SearchQuery(**{_SEARCH_FIELDS.get(name, name): value for name, value in filters.items()})
    except SearchError as error:
        names = {field: name for name, field in _SEARCH_FIELDS.items()} | {"variables": "variable"}
        faults = [(field.partition(".")[0], fault) for field, fault in error.faults.items()]
        messages = [f"--{names.get(field, field).replace('_', '-')} {fault}." for field, fault in faults]
        raise click.UsageError(" ".join(messages)) from None


async def _search_instances(settings: Settings, query: SearchQuery) -> SearchResult:
    async with open_existing_store(settings) as store:
        return await store.queries.search(query)


def _build_row(instance: Instance) -> tuple[object, ...]:
    return (
        instance.id,
        instance.type,
        instance.status,
        instance.state,
        instance.key,
        instance.external_id,
        format_time(instance.modified_us),
    )


@click.command()
@instance_argument
@json_option
@database_option
def show(instance: str, as_json: bool) -> None:
    """Show one instance, with its variables, its history, and the traceback of its latest error.

    --json has the tracebacks of all its errors.
    """
    found, history = asyncio.run(_find_instance(load_settings(), instance))
    if as_json:
        click.echo(
            format_json({**serialize_instance(found), "history": [serialize_action(action) for action in history]})
        )
        return
    rows = [
        (name, value) for name, value in serialize_instance(found).items() if value not in (None, "") and name != "vars"
    ]
    output = create_console()
    output.print(build_table(("Field", "Value"), rows))
    output.print(
        build_table(("Variable", "Value"), [(name, _format_value(value)) for name, value in found.vars.items()])
    )
    output.print(
        build_table(("Time", "History"), [(format_time(action.at_us), format_action(action)) for action in history])
    )
    failed = [action for action in history if action.detail]
    if failed:
        click.echo(_format_traceback(failed[-1]))


def _format_traceback(action: Action) -> str:
    lines = (action.detail or "").rstrip().split("\n")
    title = f"Attempt {action.attempt} in state {action.from_state} at {format_time(action.at_us)}:"
    return "\n".join(map(escape_control_characters, (title, *lines)))


async def _find_instance(settings: Settings, reference: str) -> tuple[Instance, list[Action]]:
    async with open_existing_store(settings) as store:
        found = await store.queries.find(reference)
        return found, await store.queries.read_history(found.id)


def _format_value(value: object) -> str:
    return value if isinstance(value, str) else write_json(value)


@click.command()
@instance_argument
@expected_version_option
@modules_option
@database_option
def retry(instance: str, modules: tuple[str, ...], expected_version: int | None) -> None:
    """Retry a FAILED instance in the state where it failed."""
    _run_operation(
        instance, modules, lambda by, id: by.retry(id, username=get_username(), expected_version=expected_version)
    )


@click.command()
@instance_argument
@click.option("--reason", help="Why; recorded in the history.")
@expected_version_option
@modules_option
@database_option
def cancel(instance: str, reason: str | None, modules: tuple[str, ...], expected_version: int | None) -> None:
    """Cancel an instance: it ends at once and cannot be resumed."""

    async def cancel_instance(operations: Operations, id: int) -> Instance:
        return await operations.cancel(id, username=get_username(), reason=reason, expected_version=expected_version)

    _run_operation(instance, modules, cancel_instance)


def _run_operation(reference: str, modules: tuple[str, ...], operation: OperationCall) -> None:
    """Run an operation on an instance and print the instance's status."""
    settings = load_settings()
    after = asyncio.run(_apply_operation(settings, load_optional_registry(modules, settings), reference, operation))
    click.echo(f"{after.id} is {after.status} in state {after.state}")


async def _apply_operation(
    settings: Settings, registry: Registry, reference: str, operation: OperationCall
) -> Instance:
    async with open_existing_store(settings) as store:
        found = await store.queries.find(reference)
        return await operation(Operations(store, registry), found.id)
