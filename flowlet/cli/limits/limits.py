"""The commands about limits: ``limit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowlet.cli.options import json_option, target_options
from flowlet.text import escape_control_characters

if TYPE_CHECKING:
    from flowlet.store.limits.limits import LimitUse

__all__ = ["limit"]

workflow_argument = click.argument("workflow")
state_argument = click.argument("state", required=False)


@click.group()
def limit() -> None:
    """List, hold and release limits: how many attempts run at once, how often they begin."""


@limit.command("list")
@json_option
@target_options
def list_(as_json: bool) -> None:
    """List the limits of states and workflows, with what runs and what waits."""
    from flowlet.cli.output import format_json, serialize_limit
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.operations.limits import describe_hold, describe_limit, describe_opening

    found = run_on_target(lambda target: target.limits.list_all())
    if as_json:
        click.echo(format_json([serialize_limit(one) for one in found]))
        return
    rows = [
        (
            one.record.type,
            one.record.state or "all states",
            describe_limit(one.record),
            str(one.running),
            str(one.waiting),
            describe_hold(one.record) or describe_opening(one.record) or "",
        )
        for one in found
    ]
    columns = (
        TableColumn("Workflow"),
        TableColumn("State"),
        TableColumn("Limit", may_be_cut=True),
        TableColumn("Running"),
        TableColumn("Waiting"),
        TableColumn("Hold", may_be_cut=True, rank=1),
    )
    print_table(columns, rows)


@limit.command()
@workflow_argument
@state_argument
@click.option("--reason", required=True, help="Why; it is shown where workflows wait.")
@json_option
@target_options
def hold(workflow: str, state: str | None, reason: str, *, as_json: bool) -> None:
    """Hold the limits of STATE of WORKFLOW, or of the whole WORKFLOW: no attempt begins. What runs goes on."""
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.operations.limits import describe_hold

    use = run_on_target(lambda target: target.limits.hold(workflow, state, reason=reason))
    _print_changed(use, f"{describe_hold(use.record)}. Running: {use.running}, waiting: {use.waiting}.", as_json)


@limit.command()
@workflow_argument
@state_argument
@click.option("--interval", metavar="DURATION", help="Let one attempt of what waits begin each DURATION, e.g. '100ms'.")
@json_option
@target_options
def release(workflow: str, state: str | None, interval: str | None, *, as_json: bool) -> None:
    """Release limits that a user or a breaker holds: attempts begin again, at once or one each interval."""
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.operations.limits import describe_opening

    use = run_on_target(lambda target: target.limits.release(workflow, state, interval=interval))
    opening = describe_opening(use.record)
    _print_changed(use, f"released{f', {opening}' if opening else ''}. Waiting: {use.waiting}.", as_json)


def _print_changed(use: LimitUse, text: str, as_json: bool) -> None:
    """Print the limit as JSON, or what was done to it."""
    from flowlet.cli.output import format_json, serialize_limit

    scope = f"{use.record.type}, {use.record.state or 'all states'}"
    click.echo(format_json(serialize_limit(use)) if as_json else escape_control_characters(f"{scope}: {text}"))
