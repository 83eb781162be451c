"""The commands ``assign`` and ``unassign``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flowlet.cli.options import (
    expected_version_option,
    instance_argument,
    json_option,
    modules_option,
    target_options,
)

if TYPE_CHECKING:
    from flowlet.cli.targets.target import Target
    from flowlet.instance.instance import Instance

__all__ = ["assign", "unassign"]


@click.command()
@instance_argument
@click.argument("username", metavar="USERNAME")
@expected_version_option
@json_option
@modules_option
@target_options
def assign(
    instance: str, username: str, expected_version: int | None, modules: Sequence[str], *, as_json: bool
) -> None:
    """Assign the question of an instance that waits for a person to a user, who may answer it then."""
    _assign(instance, username, expected_version, modules, as_json=as_json)


@click.command()
@instance_argument
@expected_version_option
@json_option
@modules_option
@target_options
def unassign(instance: str, expected_version: int | None, modules: Sequence[str], *, as_json: bool) -> None:
    """Take the assignment of a question back."""
    _assign(instance, None, expected_version, modules, as_json=as_json)


def _assign(
    reference: str, assignee: str | None, expected_version: int | None, modules: Sequence[str], *, as_json: bool
) -> None:
    from flowlet.cli.output import format_json, serialize_instance
    from flowlet.cli.targets.opening import Need, TargetRequest, run_on_target
    from flowlet.text import escape_control_characters

    async def run(target: Target) -> Instance:
        return await target.assign(reference, assignee, expected_version=expected_version)

    # Four eyes are known where the module is given, and on a server.
    after = run_on_target(run, TargetRequest(Need.MODULE_IF_GIVEN, modules))
    if as_json:
        click.echo(format_json(serialize_instance(after)))
        return
    whom = "nobody" if assignee is None else escape_control_characters(assignee)
    click.echo(f"{after.id} is assigned to {whom}")
