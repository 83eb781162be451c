"""The commands about who may get in: ``user`` and ``key``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import click

from flowlet.accounts import ApiKey
from flowlet.cli.opening import existing_store
from flowlet.cli.options import database_option, load_settings, username
from flowlet.cli.printing import console, json_text, plain, record_json, table, time_text
from flowlet.durations import duration
from flowlet.passwords import checked_password
from flowlet.roles import Role
from flowlet.settings import Settings
from flowlet.users import Users

__all__ = ["key", "user"]

T = TypeVar("T")

name_argument = click.argument("name", metavar="USERNAME")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
password_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input instead of asking."
)


def _role(_: click.Context, __: click.Parameter, text: str) -> Role:
    return Role(text.lower())


def _length(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    return None if text is None else duration(text)


roles = click.Choice([role.value for role in Role], case_sensitive=False)
role_option = click.option(
    "--role", type=roles, default=Role.VIEWER.value, show_default=True, callback=_role, help="What may be done with it."
)


@click.group()
def user() -> None:
    """Say who may log in, and as what.

    A viewer looks, an operator operates workflows, an admin does everything.
    """


@user.command()
@name_argument
@role_option
@password_option
@database_option
def add(name: str, role: Role, from_stdin: bool) -> None:
    """Make a user.

    The password is asked for, and is never part of the command line.
    """
    password = _password(from_stdin=from_stdin)
    made = _run(lambda users: users.create(name, password, role, by=username()))
    click.echo(f"{made.username} is {made.role}")


@user.command("password")
@name_argument
@password_option
@database_option
def password_(name: str, from_stdin: bool) -> None:
    """Change a user's password, and end the user's sessions."""
    password = _password(from_stdin=from_stdin)
    changed = _run(lambda users: users.set_password(name, password, by=username()))
    click.echo(f"{changed.username} has a new password")


@user.command("role")
@name_argument
@click.argument("new", metavar="ROLE", type=roles, callback=_role)
@database_option
def role_(name: str, new: Role) -> None:
    """Change what a user may do: viewer, operator or admin."""
    changed = _run(lambda users: users.set_role(name, new, by=username()))
    click.echo(f"{changed.username} is {changed.role}")


@user.command()
@name_argument
@database_option
def disable(name: str) -> None:
    """Let a user in no longer: not by password, session or API key."""
    changed = _run(lambda users: users.disable(name, by=username()))
    click.echo(f"{changed.username} is disabled")


@user.command()
@name_argument
@database_option
def enable(name: str) -> None:
    """Let a user in again, with password and API keys as before."""
    changed = _run(lambda users: users.enable(name, by=username()))
    click.echo(f"{changed.username} is enabled")


@user.command()
@name_argument
@database_option
def delete(name: str) -> None:
    """Delete a user, with sessions and API keys."""
    _run(lambda users: users.delete(name, by=username()))
    click.echo(f"{plain(name)} is deleted")


@user.command("list")
@json_option
@database_option
def users_(as_json: bool) -> None:
    """List users, by name."""
    found = _run(lambda users: users.list())
    if as_json:
        click.echo(json_text([record_json(one) for one in found]))
        return
    rows = [
        (one.id, one.username, one.role, "disabled" if one.is_disabled else "enabled", time_text(one.last_login))
        for one in found
    ]
    console().print(table(("Id", "User", "Role", "Standing", "Last login"), rows))


@click.group()
def key() -> None:
    """Make and revoke API keys."""


@key.command("add")
@click.argument("name")
@click.option("--user", "owner", metavar="USERNAME", required=True, help="Whose name stands in the histories.")
@role_option
@click.option("--expires", metavar="DURATION", callback=_length, help="After how long, as in '90 days'; else never.")
@database_option
def add_key(name: str, owner: str, role: Role, expires: timedelta | None) -> None:
    """Make an API key called NAME, and print it: this once.

    Its role is at most the owner's.
    """
    made = _run(lambda users: users.keys.add(name, username=owner, role=role, by=username(), expires=expires))
    until = f"until {time_text(made.key.expires)}" if made.key.expires else "with no end"
    click.echo(made.text)
    click.echo(f"The key {made.key.id} is {made.key.role}, {until}. Keep it now: it cannot be shown again.", err=True)


@key.command()
@click.argument("id", metavar="ID")
@database_option
def revoke(id: str) -> None:
    """Revoke an API key for good.

    ID is the part between flk_ and the next underscore.
    """
    revoked = _run(lambda users: users.keys.revoke(id, by=username()))
    click.echo(f"{revoked.id} is revoked")


@key.command("list")
@click.option("--user", "owner", metavar="USERNAME", help="Only of this user.")
@json_option
@database_option
def keys_(owner: str | None, as_json: bool) -> None:
    """List API keys, newest first."""
    found, now = asyncio.run(_keys(load_settings(), owner))
    if as_json:
        click.echo(json_text([record_json(one) for one in found]))
        return
    columns = ("Id", "Name", "User", "Role", "Standing", "Expires", "Last used")
    console().print(table(columns, [_key_row(one, now) for one in found]))


def _run(work: Callable[[Users], Awaitable[T]]) -> T:
    """Do something with the users of the database that the command names."""

    async def run(settings: Settings) -> T:
        async with existing_store(settings) as store:
            return await work(Users(store))

    return asyncio.run(run(load_settings()))


async def _keys(settings: Settings, owner: str | None) -> tuple[Sequence[ApiKey], int]:
    async with existing_store(settings) as store:
        return await Users(store).keys.list(owner), store.clock.now()


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        return checked_password(text.removesuffix("\n").removesuffix("\r"))
    return checked_password(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _key_row(one: ApiKey, now: int) -> tuple[object, ...]:
    standing = "valid"
    if one.revoked is not None:
        standing = "revoked"
    elif one.expires is not None and one.expires <= now:
        standing = "expired"
    elif one.is_owner_disabled:
        standing = "owner disabled"
    times = (time_text(one.expires), time_text(one.last_used))
    return (one.id, one.name, one.username, one.role, standing, *times)
