"""The commands about lanes: ``lane``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from flowlet.cli.loading import get_username, load_settings
from flowlet.cli.options import database_option, json_option
from flowlet.cli.output import format_json, format_time, serialize_record
from flowlet.cli.store import open_existing_store
from flowlet.cli.tables import TableColumn, print_table
from flowlet.operations.lanes import LaneOperations, describe_lane, describe_lane_pause
from flowlet.settings import Settings
from flowlet.store.limits.table import LaneKind
from flowlet.text import escape_control_characters

__all__ = ["lane"]

T = TypeVar("T")
kind_argument = click.argument("kind", type=click.Choice([kind.value for kind in LaneKind]))
name_argument = click.argument("name")


@click.group()
def lane() -> None:
    """List, pause and resume lanes: whole workflows, and whole executor groups."""


@lane.command("list")
@json_option
@database_option
def list_(as_json: bool) -> None:
    """List the workflows and groups that are paused."""
    paused = _run(lambda lanes: lanes.list_paused())
    if as_json:
        click.echo(format_json([serialize_record(one) for one in paused]))
        return
    rows = [(one.kind.value, one.name, format_time(one.paused_at), one.paused_by, one.reason) for one in paused]
    columns = (
        TableColumn("Kind"),
        TableColumn("Name"),
        TableColumn("Paused"),
        TableColumn("By"),
        TableColumn("Reason", may_be_cut=True, rank=1),
    )
    print_table(columns, rows)


@lane.command()
@kind_argument
@name_argument
@click.option("--reason", required=True, help="Why; it is shown where workflows wait.")
@database_option
def pause(kind: str, name: str, reason: str) -> None:
    """Pause the workflow or the executor group NAME: no executor claims from it. What runs goes on."""
    done = _run(lambda lanes: lanes.pause(LaneKind(kind), name, username=get_username(), reason=reason))
    click.echo(escape_control_characters(f"{describe_lane_pause(done)}."))


@lane.command()
@kind_argument
@name_argument
@database_option
def resume(kind: str, name: str) -> None:
    """Resume the workflow or the executor group NAME: what is due is claimed at once."""
    ended = _run(lambda lanes: lanes.resume(LaneKind(kind), name, username=get_username()))
    click.echo(escape_control_characters(f"{describe_lane(ended.kind, ended.name)} is resumed."))


def _run(use_lanes: Callable[[LaneOperations], Awaitable[T]]) -> T:
    """Open the database and run something with its lanes."""

    async def open_and_run(settings: Settings) -> T:
        async with open_existing_store(settings) as store:
            return await use_lanes(LaneOperations(store))

    return asyncio.run(open_and_run(load_settings()))
