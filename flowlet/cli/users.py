"""The commands about who may get in: ``user`` and ``key``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import click

from flowlet.accounts.models import ApiKey
from flowlet.accounts.passwords import normalize_password
from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.cli.options import database_option, get_username, load_settings
from flowlet.cli.output import (
    build_table,
    create_console,
    escape_control_characters,
    format_json,
    format_time,
    serialize_record,
)
from flowlet.cli.store import open_existing_store
from flowlet.durations import parse_duration
from flowlet.settings import Settings

__all__ = ["key", "user"]

T = TypeVar("T")

name_argument = click.argument("name", metavar="USERNAME")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
password_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input instead of asking."
)


def _parse_role(_: click.Context, __: click.Parameter, text: str) -> Role:
    return Role(text.lower())


def _parse_expiry(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    return None if text is None else parse_duration(text)


role_choice = click.Choice([role.value for role in Role], case_sensitive=False)
role_option = click.option(
    "--role",
    type=role_choice,
    default=Role.VIEWER.value,
    show_default=True,
    callback=_parse_role,
    help="What may be done with it.",
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
    password = _read_password(from_stdin=from_stdin)
    made = _run_with_users(lambda users: users.create(name, password, role, actor=get_username()))
    click.echo(f"{made.username} is {made.role}")


@user.command("password")
@name_argument
@password_option
@database_option
def password_(name: str, from_stdin: bool) -> None:
    """Change a user's password, and end the user's sessions."""
    password = _read_password(from_stdin=from_stdin)
    changed = _run_with_users(lambda users: users.set_password(name, password, actor=get_username()))
    click.echo(f"{changed.username} has a new password")


@user.command("role")
@name_argument
@click.argument("new", metavar="ROLE", type=role_choice, callback=_parse_role)
@database_option
def role_(name: str, new: Role) -> None:
    """Change what a user may do: viewer, operator or admin."""
    changed = _run_with_users(lambda users: users.set_role(name, new, actor=get_username()))
    click.echo(f"{changed.username} is {changed.role}")


@user.command()
@name_argument
@database_option
def disable(name: str) -> None:
    """Let a user in no longer: not by password, session or API key."""
    changed = _run_with_users(lambda users: users.disable(name, actor=get_username()))
    click.echo(f"{changed.username} is disabled")


@user.command()
@name_argument
@database_option
def enable(name: str) -> None:
    """Let a user in again, with password and API keys as before."""
    changed = _run_with_users(lambda users: users.enable(name, actor=get_username()))
    click.echo(f"{changed.username} is enabled")


@user.command()
@name_argument
@database_option
def delete(name: str) -> None:
    """Delete a user, with sessions and API keys."""
    _run_with_users(lambda users: users.delete(name, actor=get_username()))
    click.echo(f"{escape_control_characters(name)} is deleted")


@user.command("list")
@json_option
@database_option
def users_(as_json: bool) -> None:
    """List users, by name."""
    found = _run_with_users(lambda users: users.list_users())
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    rows = [
        (one.id, one.username, one.role, "disabled" if one.is_disabled else "enabled", format_time(one.last_login))
        for one in found
    ]
    create_console().print(build_table(("Id", "User", "Role", "Standing", "Last login"), rows))


@click.group()
def key() -> None:
    """Make and revoke API keys."""


@key.command("add")
@click.argument("name")
@click.option("--user", "owner", metavar="USERNAME", required=True, help="Whose name stands in the histories.")
@role_option
@click.option(
    "--expires", metavar="DURATION", callback=_parse_expiry, help="After how long, as in '90 days'; else never."
)
@database_option
def add_key(name: str, owner: str, role: Role, expires: timedelta | None) -> None:
    """Make an API key called NAME, and print it: this once.

    Its role is at most the owner's.
    """
    made = _run_with_users(
        lambda users: users.keys.create(name, username=owner, role=role, actor=get_username(), lifetime=expires)
    )
    until = f"until {format_time(made.key.expires)}" if made.key.expires else "with no end"
    click.echo(made.text)
    click.echo(f"The key {made.key.id} is {made.key.role}, {until}. Keep it now: it cannot be shown again.", err=True)


@key.command()
@click.argument("id", metavar="ID")
@database_option
def revoke(id: str) -> None:
    """Revoke an API key for good.

    ID is the part between flk_ and the next underscore.
    """
    revoked = _run_with_users(lambda users: users.keys.revoke(id, actor=get_username()))
    click.echo(f"{revoked.id} is revoked")


@key.command("list")
@click.option("--user", "owner", metavar="USERNAME", help="Only of this user.")
@json_option
@database_option
def keys_(owner: str | None, as_json: bool) -> None:
    """List API keys, newest first."""
    found, now = asyncio.run(_list_keys(load_settings(), owner))
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    columns = ("Id", "Name", "User", "Role", "Standing", "Expires", "Last used")
    create_console().print(build_table(columns, [_build_key_row(one, now) for one in found]))


def _run_with_users(use_users: Callable[[Users], Awaitable[T]]) -> T:
    """Do something with the users of the database that the command names."""

    async def open_and_run(settings: Settings) -> T:
        async with open_existing_store(settings) as store:
            return await use_users(Users(store))

    return asyncio.run(open_and_run(load_settings()))


async def _list_keys(settings: Settings, owner: str | None) -> tuple[Sequence[ApiKey], int]:
    async with open_existing_store(settings) as store:
        return await Users(store).keys.list_keys(owner), store.clock.now()


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        return normalize_password(text.removesuffix("\n").removesuffix("\r"))
    return normalize_password(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _build_key_row(api_key: ApiKey, now: int) -> tuple[object, ...]:
    standing = "valid"
    if api_key.revoked is not None:
        standing = "revoked"
    elif api_key.expires is not None and api_key.expires <= now:
        standing = "expired"
    elif api_key.is_owner_disabled:
        standing = "owner disabled"
    times = (format_time(api_key.expires), format_time(api_key.last_used))
    return (api_key.id, api_key.name, api_key.username, api_key.role, standing, *times)
