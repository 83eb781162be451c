"""The commands about limits: ``limit``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from flowlet.cli.loading import get_username, load_settings
from flowlet.cli.options import database_option, json_option
from flowlet.cli.output import format_json, serialize_record
from flowlet.cli.store import open_existing_store
from flowlet.cli.tables import TableColumn, print_table
from flowlet.operations.limits import LimitOperations, describe_hold, describe_limit, describe_opening
from flowlet.settings import Settings
from flowlet.store.limits.limits import LimitUse

__all__ = ["limit"]

T = TypeVar("T")
workflow_argument = click.argument("workflow")
state_argument = click.argument("state", required=False)


@click.group()
def limit() -> None:
    """List, hold and release limits: how many attempts run at once, how often they begin."""


@limit.command("list")
@json_option
@database_option
def list_(as_json: bool) -> None:
    """List the limits of states and workflows, with what runs and what waits."""
    found = _run(lambda limits: limits.list_all())
    if as_json:
        click.echo(format_json([_serialize_use(one) for one in found]))
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
@database_option
def hold(workflow: str, state: str | None, reason: str) -> None:
    """Hold the limits of STATE of WORKFLOW, or of the whole WORKFLOW: no attempt begins. What runs goes on."""
    use = _run(lambda limits: limits.hold(workflow, state, username=get_username(), reason=reason))
    click.echo(f"{_format_scope(use)}: {describe_hold(use.record)}. Running: {use.running}, waiting: {use.waiting}.")


@limit.command()
@workflow_argument
@state_argument
@click.option("--interval", metavar="DURATION", help="Let one attempt of what waits begin each DURATION, e.g. '100ms'.")
@database_option
def release(workflow: str, state: str | None, interval: str | None) -> None:
    """Release limits that a user or a breaker holds: attempts begin again, at once or one each interval."""
    use = _run(lambda limits: limits.release(workflow, state, username=get_username(), interval=interval))
    opening = describe_opening(use.record)
    click.echo(f"{_format_scope(use)}: released{f', {opening}' if opening else ''}. Waiting: {use.waiting}.")


def _format_scope(use: LimitUse) -> str:
    return f"{use.record.type}, {use.record.state or 'all states'}"


def _serialize_use(use: LimitUse) -> dict[str, object]:
    return {**serialize_record(use.record), "running": use.running, "waiting": use.waiting}


def _run(use_limits: Callable[[LimitOperations], Awaitable[T]]) -> T:
    """Open the database and run something with its limits."""

    async def open_and_run(settings: Settings) -> T:
        async with open_existing_store(settings) as store:
            return await use_limits(LimitOperations(store))

    return asyncio.run(open_and_run(load_settings()))
