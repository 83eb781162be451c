"""The commands about lanes: ``lane``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowlet.cli.options import json_option, target_options
from flowlet.text import escape_control_characters

if TYPE_CHECKING:
    from flowlet.store.limits.table import LanePause

__all__ = ["lane"]

kind_argument = click.argument("kind", type=click.Choice(["workflow", "group"]))
name_argument = click.argument("name")


@click.group()
def lane() -> None:
    """List, pause and resume lanes: whole workflows, and whole executor groups."""


@lane.command("list")
@json_option
@target_options
def list_(as_json: bool) -> None:
    """List the workflows and groups that are paused."""
    from flowlet.cli.output import format_json, format_time, serialize_lane_pause
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target

    paused = run_on_target(lambda target: target.limits.list_paused())
    if as_json:
        click.echo(format_json([serialize_lane_pause(one) for one in paused]))
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
@json_option
@target_options
def pause(kind: str, name: str, reason: str, *, as_json: bool) -> None:
    """Pause the workflow or the executor group NAME: no executor claims from it. What runs goes on."""
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.operations.lanes import describe_lane_pause
    from flowlet.store.limits.table import LaneKind

    done = run_on_target(lambda target: target.limits.pause(LaneKind(kind), name, reason=reason))
    _print_changed(done, f"{describe_lane_pause(done)}.", as_json=as_json)


@lane.command()
@kind_argument
@name_argument
@json_option
@target_options
def resume(kind: str, name: str, *, as_json: bool) -> None:
    """Resume the workflow or the executor group NAME: what is due is claimed at once."""
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.operations.lanes import describe_lane
    from flowlet.store.limits.table import LaneKind

    ended = run_on_target(lambda target: target.limits.resume(LaneKind(kind), name))
    _print_changed(ended, f"{describe_lane(ended.kind, ended.name)} is resumed.", as_json=as_json)


def _print_changed(pause: LanePause, text: str, *, as_json: bool) -> None:
    """Print the pause as JSON, or what was done."""
    from flowlet.cli.output import format_json, serialize_lane_pause

    click.echo(format_json(serialize_lane_pause(pause)) if as_json else escape_control_characters(text))
