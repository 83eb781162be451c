"""The commands about teams: ``team``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flowlet.cli.options import expected_version_option, json_option, target_options

if TYPE_CHECKING:
    from flowlet.store.people.teams import TeamRecord

__all__ = ["team"]

name_argument = click.argument("name")
users_argument = click.argument("users", metavar="USERNAME...", nargs=-1, required=True)


@click.group()
def team() -> None:
    """Manage teams: whose members answer the questions of manual states."""


@team.command("list")
@json_option
@target_options
def list_(as_json: bool) -> None:
    """List teams by name, with their members."""
    from flowlet.cli.output import format_json, format_time, serialize_record
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target

    found = run_on_target(lambda target: target.people.list_teams())
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    rows = [(one.name, ", ".join(one.members) or "nobody", format_time(one.modified), one.modified_by) for one in found]
    columns = (
        TableColumn("Name"),
        TableColumn("Members", may_be_cut=True),
        TableColumn("Changed", rank=1),
        TableColumn("By", may_be_cut=True, rank=2),
    )
    print_table(columns, rows)


@team.command()
@name_argument
@users_argument
@json_option
@target_options
def add(name: str, users: tuple[str, ...], as_json: bool) -> None:
    """Add users to the team NAME, and create it if there is none.

    NAME has lower-case letters, digits, hyphens and dots.
    """
    _print_team(_change_members(name, add=users), as_json=as_json)


@team.command()
@name_argument
@users_argument
@json_option
@target_options
def remove(name: str, users: tuple[str, ...], as_json: bool) -> None:
    """Remove users from the team NAME. Its questions are no longer assigned to them."""
    _print_team(_change_members(name, remove=users), as_json=as_json)


@team.command()
@name_argument
@expected_version_option
@json_option
@target_options
def delete(name: str, expected_version: int | None, as_json: bool) -> None:
    """Delete the team NAME. Admins can answer its questions."""
    from flowlet.cli.output import format_json, serialize_deletion
    from flowlet.cli.targets.opening import run_on_target

    run_on_target(lambda target: target.people.delete_team(name, expected_version=expected_version))
    click.echo(format_json(serialize_deletion(name=name)) if as_json else f"Deleted the team {name}.")


def _change_members(name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> TeamRecord:
    from flowlet.cli.targets.opening import run_on_target

    return run_on_target(lambda target: target.people.change_members(name, add=add, remove=remove))


def _print_team(changed: TeamRecord, *, as_json: bool) -> None:
    from flowlet.cli.output import format_json, serialize_record

    members = ", ".join(changed.members) or "nobody"
    text = f"The team {changed.name} has the members: {members}."
    click.echo(format_json(serialize_record(changed)) if as_json else text)
