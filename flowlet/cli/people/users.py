"""The commands about users and API keys: ``user`` and ``key``."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import click

from flowlet.accounts.models import ApiKey, User
from flowlet.accounts.passwords import normalize_password
from flowlet.accounts.roles import Role
from flowlet.cli.options import expected_version_option, json_option, target_options
from flowlet.cli.output import format_json, format_time, serialize_deletion, serialize_record
from flowlet.cli.tables import TableColumn, print_table
from flowlet.cli.targets.opening import run_on_target
from flowlet.cli.targets.people import PeopleTarget, StatusChange
from flowlet.clock import parse_duration
from flowlet.text import escape_control_characters

__all__ = ["key", "user"]

T = TypeVar("T")

name_argument = click.argument("name", metavar="USERNAME")
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
@json_option
@target_options
def add(name: str, role: Role, from_stdin: bool, as_json: bool) -> None:
    """Create a user.

    The command prompts for the password; it is never part of the command line.
    """
    password = _read_password(from_stdin=from_stdin)
    made = _run(lambda people: people.create_user(name, password, role))
    _print_user(made, f"Created user {made.username} with the role {made.role}.", as_json=as_json)


@user.command("password")
@name_argument
@password_option
@expected_version_option
@json_option
@target_options
def password_(name: str, from_stdin: bool, expected_version: int | None, as_json: bool) -> None:
    """Change a user's password and end the user's sessions."""
    password = _read_password(from_stdin=from_stdin)
    changed = _run(lambda people: people.set_password(name, password, expected_version=expected_version))
    _print_user(changed, f"Changed the password of {changed.username}.", as_json=as_json)


@user.command("role")
@name_argument
@click.argument("new", metavar="ROLE", type=role_choice, callback=_parse_role)
@expected_version_option
@json_option
@target_options
def role_(name: str, new: Role, expected_version: int | None, as_json: bool) -> None:
    """Change a user's role: viewer, operator or admin."""
    changed = _run(lambda people: people.set_role(name, new, expected_version=expected_version))
    _print_user(changed, f"{changed.username} has the role {changed.role} now.", as_json=as_json)


@user.command()
@name_argument
@expected_version_option
@json_option
@target_options
def disable(name: str, expected_version: int | None, as_json: bool) -> None:
    """Disable a user: password, sessions and API keys stop working."""
    changed = _change_status("disable", name, expected_version)
    _print_user(changed, f"Disabled user {changed.username}.", as_json=as_json)


@user.command()
@name_argument
@expected_version_option
@json_option
@target_options
def enable(name: str, expected_version: int | None, as_json: bool) -> None:
    """Enable a user again, with the same password and API keys."""
    changed = _change_status("enable", name, expected_version)
    _print_user(changed, f"Enabled user {changed.username}.", as_json=as_json)


@user.command()
@name_argument
@expected_version_option
@json_option
@target_options
def delete(name: str, expected_version: int | None, as_json: bool) -> None:
    """Delete a user, with sessions and API keys. Histories keep the username."""
    _run(lambda people: people.delete_user(name, expected_version=expected_version))
    text = f"Deleted user {escape_control_characters(name)}."
    click.echo(format_json(serialize_deletion(username=name)) if as_json else text)


@user.command("list")
@json_option
@target_options
def users_(as_json: bool) -> None:
    """List users, by name."""
    found = _run(lambda people: people.list_users())
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    rows = [
        (one.id, one.username, one.role, "disabled" if one.is_disabled else "enabled", format_time(one.last_login))
        for one in found
    ]
    columns = (
        TableColumn("Id"),
        TableColumn("User", may_be_cut=True),
        TableColumn("Role"),
        TableColumn("Status"),
        TableColumn("Last login"),
    )
    print_table(columns, rows)


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
@click.option(
    "--on-behalf",
    is_flag=True,
    help="The key may act on behalf of other persons, whom its requests name in the header On-Behalf-Of.",
)
@json_option
@target_options
def add_key(name: str, owner: str, role: Role, expires: timedelta | None, *, on_behalf: bool, as_json: bool) -> None:
    """Create an API key called NAME and print it once.

    A key never has more permissions than its owner.
    """
    made, text = _run(lambda people: people.create_key(name, owner, role, expires, may_act_on_behalf=on_behalf))
    if as_json:
        click.echo(format_json({**serialize_record(made), "key": text}))
        return
    expiry = f"expires {format_time(made.expires)}" if made.expires else "never expires"
    if made.may_act_on_behalf:
        expiry += ", acts on behalf of others"
    click.echo(text)
    click.echo(f"Key {made.id}: role {made.role}, {expiry}. Save it now: it cannot be shown again.", err=True)


@key.command()
@click.argument("id", metavar="ID")
@expected_version_option
@json_option
@target_options
def revoke(id: str, expected_version: int | None, as_json: bool) -> None:
    """Revoke an API key permanently.

    ID is the part between flk_ and the next underscore.
    """
    revoked = _run(lambda people: people.revoke_key(id, expected_version=expected_version))
    click.echo(format_json(serialize_record(revoked)) if as_json else f"Revoked API key {revoked.id}.")


@key.command("list")
@click.option("--user", "owner", metavar="USERNAME", help="Only the keys of this user.")
@json_option
@target_options
def keys_(owner: str | None, as_json: bool) -> None:
    """List API keys, newest first."""
    found, now = _run(lambda people: _list_keys(people, owner))
    if as_json:
        click.echo(format_json([serialize_record(one) for one in found]))
        return
    columns = (
        TableColumn("Id"),
        TableColumn("Name", may_be_cut=True),
        TableColumn("User", may_be_cut=True),
        TableColumn("Role"),
        TableColumn("Status"),
        TableColumn("Expires", rank=1),
        TableColumn("Last used", rank=2),
    )
    print_table(columns, [_build_key_row(one, now) for one in found])


def _run(use_people: Callable[[PeopleTarget], Awaitable[T]]) -> T:
    """Run something with the people of the command's target."""
    return run_on_target(lambda target: use_people(target.people))


def _change_status(change: StatusChange, name: str, expected_version: int | None) -> User:
    return _run(lambda people: people.change_status(change, name, expected_version=expected_version))


def _print_user(changed: User, text: str, *, as_json: bool) -> None:
    click.echo(format_json(serialize_record(changed)) if as_json else text)


async def _list_keys(people: PeopleTarget, owner: str | None) -> tuple[Sequence[ApiKey], int]:
    return await people.list_keys(owner), people.now()


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
