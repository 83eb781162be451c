"""The commands about saved views of the workflow list: ``view``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flowlet.cli.options import expected_version_option, json_option, target_options

if TYPE_CHECKING:
    from flowlet.cli.targets.target import Target
    from flowlet.store.people.views import ViewRecord

__all__ = ["find_view", "view"]

name_argument = click.argument("name")
shared_option = click.option("--shared", "is_shared", is_flag=True, help="The view that all users share.")


@click.group()
def view() -> None:
    """Manage saved views: names for the filters, the order and the columns of the console's workflow list."""


@view.command("list")
@json_option
@target_options
def list_(as_json: bool) -> None:
    """List your views, and then those that all users share."""
    from flowlet.cli.output import format_json, format_time, serialize_record
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target

    found = run_on_target(lambda target: target.people.list_views())
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    rows = [(one.name, _describe_kind(one), one.address, format_time(one.modified), one.modified_by) for one in found]
    columns = (
        TableColumn("Name", may_be_cut=True),
        TableColumn("Kind"),
        TableColumn("Address", may_be_cut=True),
        TableColumn("Changed", rank=1),
        TableColumn("By", may_be_cut=True, rank=2),
    )
    print_table(columns, rows)


@view.command()
@name_argument
@click.argument("address")
@shared_option
@click.option("--default/--no-default", "is_default", default=None, help="Open it when the list has no filters.")
@expected_version_option
@json_option
@target_options
def save(
    name: str, address: str, *, is_shared: bool, is_default: bool | None, expected_version: int | None, as_json: bool
) -> None:
    """Save ADDRESS as the view NAME, and overwrite the view of this name if there is one.

    ADDRESS is that of the workflow list in the console, or what follows its question mark, e.g.
    'status=FAILED&sort=-modified'.
    """
    from flowlet.cli.targets.opening import run_on_target

    async def save_view(target: Target) -> ViewRecord:
        found = _select(await target.people.list_views(), name, is_shared=is_shared)
        if found is None:
            return await target.people.create_view(name, address, is_shared=is_shared, is_default=bool(is_default))
        return await target.people.change_view(
            found.id, address=address, is_default=is_default, expected_version=expected_version
        )

    _print_view(run_on_target(save_view), as_json=as_json)


@view.command()
@name_argument
@click.argument("new_name")
@shared_option
@expected_version_option
@json_option
@target_options
def rename(name: str, new_name: str, *, is_shared: bool, expected_version: int | None, as_json: bool) -> None:
    """Rename the view NAME to NEW_NAME."""
    from flowlet.cli.targets.opening import run_on_target

    async def rename_view(target: Target) -> ViewRecord:
        found = await find_view(target, name, is_shared=is_shared)
        return await target.people.change_view(found.id, name=new_name, expected_version=expected_version)

    _print_view(run_on_target(rename_view), as_json=as_json)


@view.command()
@name_argument
@shared_option
@expected_version_option
@json_option
@target_options
def delete(name: str, *, is_shared: bool, expected_version: int | None, as_json: bool) -> None:
    """Delete the view NAME."""
    from flowlet.cli.output import format_json, serialize_deletion
    from flowlet.cli.targets.opening import run_on_target

    async def delete_view(target: Target) -> None:
        found = await find_view(target, name, is_shared=is_shared)
        await target.people.delete_view(found.id, expected_version=expected_version)

    run_on_target(delete_view)
    click.echo(format_json(serialize_deletion(name=name)) if as_json else f"Deleted the view {name}.")


async def find_view(target: Target, name: str, *, is_shared: bool | None = None) -> ViewRecord:
    """Return the view of a name.

    Args:
        target: The database or the server.
        name: The name, in any case.
        is_shared: Whether it is one that all users share; None for the user's own one or, without one, a shared one.

    Raises:
        NotFoundError: If there is none.
    """
    from flowlet.errors import NotFoundError
    from flowlet.text import MAX_NAME_LENGTH

    found = _select(await target.people.list_views(), name, is_shared=is_shared)
    if found is None:
        kind = {True: "shared view", False: "view of yours", None: "view"}[is_shared]
        raise NotFoundError(f"there is no {kind} {name[:MAX_NAME_LENGTH]!a}")
    return found


def _select(views: Sequence[ViewRecord], name: str, *, is_shared: bool | None) -> ViewRecord | None:
    from flowlet.accounts.models import make_username_key

    key = make_username_key(name)
    wanted = (one for one in views if make_username_key(one.name) == key and is_shared in (None, one.is_shared))
    return next(wanted, None)


def _describe_kind(found: ViewRecord) -> str:
    return "shared" if found.is_shared else "default" if found.is_default else "own"


def _print_view(saved: ViewRecord, *, as_json: bool) -> None:
    from flowlet.cli.output import format_json, serialize_record

    text = f"The {_describe_kind(saved)} view {saved.name} has the address: {saved.address or 'all workflows'}"
    click.echo(format_json(serialize_record(saved)) if as_json else text)
