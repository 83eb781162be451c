"""The commands ``list`` and ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowlet.cli.options import instance_argument, json_option, parse_microseconds_argument, target_options
from flowlet.text import escape_control_characters

if TYPE_CHECKING:
    from flowlet.cli.targets.target import Target
    from flowlet.instance.action import Action
    from flowlet.instance.instance import Instance
    from flowlet.store.search.query import SearchQuery, SearchResult, VariableFilter

__all__ = ["list_", "show"]

STATUSES = ("NEW", "EXECUTING", "IN_PROGRESS", "WAITING", "PAUSED", "FINISHED", "FAILED", "CANCELLED")
_SEARCH_FIELDS = {
    "type": "workflow_type",
    "key": "business_key",
    "group": "executor_group",
}
"""The fields of a search whose names differ from the options of ``list``."""


def _parse_variables(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[VariableFilter]:
    from flowlet.store.search.query import parse_variable_filter

    found = []
    for text in texts:
        variable = parse_variable_filter(text)
        if variable is None:
            raise click.BadParameter(
                f"{text!r} has no name or no '='. Write NAME=VALUE, e.g. 'amount=3', 'amount>=3' or 'name~part'."
            )
        found.append(variable)
    return found


@click.command("list")
@click.option("--type", help="Only instances of this workflow.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False))
@click.option("--state", help="Only in this state, by its present or a former name.")
@click.option("--key", help="Only with this business key.")
@click.option("--group", help="Only in this executor group.")
@click.option(
    "--created-from",
    metavar="TIME",
    callback=parse_microseconds_argument,
    help="Only created at this time or later; UTC by default.",
)
@click.option(
    "--variable",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parse_variables,
    help="Only with this variable: NAME=VALUE, NAME>=VALUE, or NAME~PART of a text; may be repeated.",
)
@click.option("--view", metavar="NAME", help="Those of this saved view, in its order; with no other filter.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Continue after the page that printed this cursor.")
@json_option
@target_options
def list_(as_json: bool, view: str | None, **filters: Any) -> None:
    """List instances, newest first.

    On a terminal the table fits its width: it loses columns, and long names are cut. --json has everything.
    """
    from flowlet.cli.output import format_json, serialize_instance
    from flowlet.cli.targets.opening import run_on_target

    query = _build_query(**filters)
    if view is not None and any(value for name, value in filters.items() if name not in ("limit", "cursor")):
        raise click.UsageError("--view cannot be combined with other filters: change the view, or leave it out.")

    async def search(target: Target) -> SearchResult:
        found = query if view is None else await _read_view_query(target, view, query)
        return await target.search(found)

    result = run_on_target(search)
    if as_json:
        click.echo(format_json([serialize_instance(instance) for instance in result.instances]))
    elif result.instances:
        _print_instances(result.instances)
    else:
        compared = "; ".join(one.description for one in query.variables)
        click.echo(f"No instance matches.{f' Compared: {compared}.' if compared else ''}", err=True)
    if result.next_cursor:
        number = f"{result.total:,} or more" if result.total_is_at_least else f"{result.total:,}"
        click.echo(f"{number} match. Next page: --cursor {result.next_cursor}", err=True)


def _build_query(*, variables: list[VariableFilter], **filters: Any) -> SearchQuery:
    from flowlet.errors import SearchError
    from flowlet.store.search.query import SearchQuery

    try:
        return SearchQuery(
            variables=variables,
            **{_SEARCH_FIELDS.get(name, name): value for name, value in filters.items()},
        )
    except SearchError as error:
        names = {field: name for name, field in _SEARCH_FIELDS.items()} | {"variables": "variable"}
        faults = [(field.partition(".")[0], fault) for field, fault in error.faults.items()]
        messages = [f"--{names.get(field, field).replace('_', '-')} {fault}." for field, fault in faults]
        raise click.UsageError(" ".join(messages)) from None


async def _read_view_query(target: Target, name: str, page: SearchQuery) -> SearchQuery:
    """Return the query of a saved view, for the same page as another query."""
    from dataclasses import replace

    from flowlet.cli.people.views import find_view
    from flowlet.operations.views.address import read_view_address

    address = read_view_address((await find_view(target, name)).address)
    return replace(address.valid_query, limit=page.limit, cursor=page.cursor)


def _print_instances(instances: tuple[Instance, ...]) -> None:
    from flowlet.cli.output import format_time
    from flowlet.cli.tables import TableColumn, print_table

    columns = (
        TableColumn("Id"),
        TableColumn("Workflow", may_be_cut=True),
        TableColumn("Status"),
        TableColumn("State", may_be_cut=True),
        TableColumn("Key", may_be_cut=True, rank=1),
        TableColumn("External id", rank=3),
        TableColumn("Modified", rank=2),
    )
    rows = [
        (one.id, one.type, one.status, one.state, one.key, one.external_id, format_time(one.modified_us))
        for one in instances
    ]
    print_table(columns, rows)


@click.command()
@instance_argument
@click.option("--traceback", "is_traceback", is_flag=True, help="Print only the traceback of its latest error.")
@json_option
@target_options
def show(instance: str, *, is_traceback: bool, as_json: bool) -> None:
    """Show one instance, with what it waits for, its variables, its history, and the traceback of its latest error.

    --json has the tracebacks of all its errors; with --traceback it has the latest one.
    """
    from flowlet.cli.output import format_json, serialize_action, serialize_instance
    from flowlet.cli.targets.opening import run_on_target

    async def read(target: Target) -> tuple[Instance, str | None, int, list[Action]]:
        found = await target.find(instance)
        wait_reason = None if found.has_ended else await target.explain_wait(found)
        unmade = (await target.count_children(found)).unmade if found.open_children else 0
        return found, wait_reason, unmade, list(await target.read_history(found.id))

    found, wait_reason, unmade, history = run_on_target(read)
    if is_traceback:
        _print_traceback(found, history, as_json=as_json)
    elif as_json:
        lines = [serialize_action(action) for action in history]
        extra = {"waitReason": wait_reason, "unmadeChildren": unmade, "history": lines}
        click.echo(format_json({**serialize_instance(found), **extra}))
    else:
        _print_instance(found, wait_reason, unmade, history)


def _print_instance(found: Instance, wait_reason: str | None, unmade: int, history: list[Action]) -> None:
    from flowlet.cli.output import format_action, format_time, serialize_instance
    from flowlet.cli.tables import build_table, create_console

    rows = [
        (name, value)
        for name, value in serialize_instance(found).items()
        if value not in (None, "", []) and name != "vars"
    ]
    if wait_reason:
        rows.append(("wait reason", wait_reason))
    if unmade:
        rows.append(("children made", f"{found.children - unmade:,} of {found.children:,}"))
    output = create_console()
    output.print(build_table(("Field", "Value"), rows))
    output.print(
        build_table(("Variable", "Value"), [(name, _format_value(value)) for name, value in found.vars.items()])
    )
    output.print(
        build_table(("Time", "History"), [(format_time(action.at_us), format_action(action)) for action in history])
    )
    if failed := _find_latest_error(history):
        click.echo(_format_traceback(failed))


def _print_traceback(found: Instance, history: list[Action], *, as_json: bool) -> None:
    """Print the latest error of an instance.

    Raises:
        FlowletError: If it has none.
    """
    from flowlet.cli.output import format_json, serialize_action
    from flowlet.errors import FlowletError

    failed = _find_latest_error(history)
    if failed is None:
        raise FlowletError(f"workflow {found.id} has no error with a traceback in its history")
    click.echo(format_json(serialize_action(failed)) if as_json else _format_traceback(failed))


def _find_latest_error(history: list[Action]) -> Action | None:
    return next((action for action in reversed(history) if action.detail), None)


def _format_traceback(action: Action) -> str:
    from flowlet.cli.output import format_time

    lines = (action.detail or "").rstrip().split("\n")
    title = f"Attempt {action.attempt} in state {action.from_state} at {format_time(action.at_us)}:"
    return "\n".join(map(escape_control_characters, (title, *lines)))


def _format_value(value: object) -> str:
    from flowlet.instance.json_text import write_json

    return value if isinstance(value, str) else write_json(value)
