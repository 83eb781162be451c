"""The commands ``executors`` and ``definitions``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flowlet.cli.options import json_option, target_options

if TYPE_CHECKING:
    from flowlet.cli.targets.target import ListedDefinition, Target
    from flowlet.store.executors import ExecutorRecord

__all__ = ["definitions", "executors"]


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
@target_options
def executors(limit: int, *, as_json: bool) -> None:
    """List the executors, the live ones first."""
    from flowlet.cli.output import format_json, format_time, serialize_executor
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target

    async def read(target: Target) -> Sequence[ExecutorRecord]:
        return await target.list_executors(limit=limit)

    found = run_on_target(read)
    if as_json:
        click.echo(format_json([serialize_executor(record) for record in found]))
        return
    if not found:
        click.echo("No executor has ever run here.", err=True)
        return
    columns = (
        TableColumn("Name", may_be_cut=True),
        TableColumn("Status"),
        TableColumn("Groups", may_be_cut=True, rank=2),
        TableColumn("Workflows", may_be_cut=True, rank=1),
        TableColumn("Slots"),
        TableColumn("Last active"),
        TableColumn("Id", rank=3),
    )
    rows = [
        (one.name, one.status, ", ".join(one.groups), ", ".join(one.types), one.slots, format_time(one.beat), one.id)
        for one in found
    ]
    print_table(columns, rows)


@click.command()
@json_option
@target_options
def definitions(*, as_json: bool) -> None:
    """List the definitions of workflows, by name.

    On a database these are the newest ones that an executor has served; on a server, those that it has loaded.
    """
    from flowlet.cli.output import format_json, serialize_definition
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target

    async def read(target: Target) -> Sequence[ListedDefinition]:
        return await target.list_definitions()

    found = run_on_target(read)
    if as_json:
        click.echo(format_json([serialize_definition(one) for one in found]))
        return
    if not found:
        click.echo("No executor has served a workflow here.", err=True)
        return
    columns = (
        TableColumn("Name"),
        TableColumn("Version"),
        TableColumn("Start", may_be_cut=True, rank=2),
        TableColumn("States", rank=3),
        TableColumn("Group", may_be_cut=True, rank=1),
        TableColumn("Description", may_be_cut=True),
    )
    rows = [
        (one.name, one.version, one.start, one.states, one.group, one.description.partition("\n")[0]) for one in found
    ]
    print_table(columns, rows)
