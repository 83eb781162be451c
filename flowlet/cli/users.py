"""The commands about users and API keys: ``user`` and ``key``."""

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
from flowlet.cli.options import database_option, expected_version_option, get_username, load_settings
from flowlet.cli.output import (
    build_table,
    create_console,
    format_json,
    format_time,
    serialize_record,
)
from flowlet.cli.store import open_existing_store
from flowlet.clock import parse_duration
from flowlet.settings import Settings
from flowlet.text import escape_control_characters

__all__ = ["key", "user"]

T = TypeVar("T")

name_argument = click.argument("name", metavar="USERNAME")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
password_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input, without a prompt."
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
    help="The role.",
)


@click.group()
def user() -> None:
    """Manage users.

    A viewer reads, an operator also operates workflows, an admin also manages users.
    """


@user.command()
@name_argument
@role_option
@password_option
@database_option
def add(name: str, role: Role, from_stdin: bool) -> None:
    """Create a user.

    The command prompts for the password; it is never part of the command line.
    """
    password = _read_password(from_stdin=from_stdin)
    made = _run_with_users(lambda users: users.create(name, password, role, actor=get_username()))
    click.echo(f"Created user {made.username} with the role {made.role}.")


@user.command("password")
@name_argument
@password_option
@expected_version_option
@database_option
def password_(name: str, from_stdin: bool, expected_version: int | None) -> None:
    """Change a user's password and end the user's sessions."""
    password = _read_password(from_stdin=from_stdin)
    changed = _run_with_users(
        lambda users: users.set_password(name, password, actor=get_username(), expected_version=expected_version)
    )
    click.echo(f"Changed the password of {changed.username}.")


@user.command("role")
@name_argument
@click.argument("new", metavar="ROLE", type=role_choice, callback=_parse_role)
@expected_version_option
@database_option
def role_(name: str, new: Role, expected_version: int | None) -> None:
    """Change a user's role: viewer, operator or admin."""
    changed = _run_with_users(
        lambda users: users.set_role(name, new, actor=get_username(), expected_version=expected_version)
    )
    click.echo(f"{changed.username} has the role {changed.role} now.")


@user.command()
@name_argument
@expected_version_option
@database_option
def disable(name: str, expected_version: int | None) -> None:
    """Disable a user: password, sessions and API keys stop working."""
    changed = _run_with_users(
        lambda users: users.disable(name, actor=get_username(), expected_version=expected_version)
    )
    click.echo(f"Disabled user {changed.username}.")


@user.command()
@name_argument
@expected_version_option
@database_option
def enable(name: str, expected_version: int | None) -> None:
    """Enable a user again, with the same password and API keys."""
    changed = _run_with_users(lambda users: users.enable(name, actor=get_username(), expected_version=expected_version))
    click.echo(f"Enabled user {changed.username}.")


@user.command()
@name_argument
@expected_version_option
@database_option
def delete(name: str, expected_version: int | None) -> None:
    """Delete a user, with sessions and API keys. Histories keep the username."""
    _run_with_users(lambda users: users.delete(name, actor=get_username(), expected_version=expected_version))
    click.echo(f"Deleted user {escape_control_characters(name)}.")


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
    create_console().print(build_table(("Id", "User", "Role", "Status", "Last login"), rows))


@click.group()
def key() -> None:
    """Manage API keys."""


@key.command("add")
@click.argument("name")
@click.option("--user", "owner", metavar="USERNAME", required=True, help="The owner, who is shown in histories.")
@role_option
@click.option(
    "--expires", metavar="DURATION", callback=_parse_expiry, help="When it expires, e.g. '90 days'; default: never."
)
@database_option
def add_key(name: str, owner: str, role: Role, expires: timedelta | None) -> None:
    """Create an API key called NAME and print it once.

    A key never has more permissions than its owner.
    """
    made = _run_with_users(
        lambda users: users.keys.create(name, username=owner, role=role, actor=get_username(), lifetime=expires)
    )
    expiry = f"expires {format_time(made.key.expires)}" if made.key.expires else "never expires"
    click.echo(made.text)
    click.echo(f"Key {made.key.id}: role {made.key.role}, {expiry}. Save it now: it cannot be shown again.", err=True)


@key.command()
@click.argument("id", metavar="ID")
@expected_version_option
@database_option
def revoke(id: str, expected_version: int | None) -> None:
    """Revoke an API key permanently.

    ID is the part between flk_ and the next underscore.
    """
    revoked = _run_with_users(
        lambda users: users.keys.revoke(id, actor=get_username(), expected_version=expected_version)
    )
    click.echo(f"Revoked API key {revoked.id}.")


@key.command("list")
@click.option("--user", "owner", metavar="USERNAME", help="Only the keys of this user.")
@json_option
@database_option
def keys_(owner: str | None, as_json: bool) -> None:
    """List API keys, newest first."""
    found, now = asyncio.run(_list_keys(load_settings(), owner))
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    columns = ("Id", "Name", "User", "Role", "Status", "Expires", "Last used")
    create_console().print(build_table(columns, [_build_key_row(one, now) for one in found]))


def _run_with_users(use_users: Callable[[Users], Awaitable[T]]) -> T:
    """Open the database and run something with its users."""

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
    status = "valid"
    if api_key.revoked is not None:
        status = "revoked"
    elif api_key.expires is not None and api_key.expires <= now:
        status = "expired"
    elif api_key.is_owner_disabled:
        status = "owner disabled"
    times = (format_time(api_key.expires), format_time(api_key.last_used))
    return (api_key.id, api_key.name, api_key.username, api_key.role, status, *times)
