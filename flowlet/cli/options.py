"""The options that commands share, and how their texts are read.

The command's help has to come at once, so what reads a text is imported only when there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from flowlet.text import MAX_INTEGER

__all__ = [
    "database_option",
    "expected_version_option",
    "instance_argument",
    "json_option",
    "modules_argument",
    "modules_option",
    "parse_duration_argument",
    "parse_microseconds_argument",
    "parse_object",
    "parse_time_argument",
    "target_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])

instance_argument = click.argument("instance", metavar="ID|EXTERNAL_ID")


def database_option(command: Command) -> Command:
    """Add ``--database`` to a command. It may precede or follow the command's name; the last one wins."""
    return click.option(
        "--database",
        metavar="URL",
        expose_value=False,
        callback=_store_database_url,
        help="The database, instead of FLOWLET_DATABASE_URL: sqlite:///file.db, postgresql://... or mysql://...",
    )(command)


def target_options(command: Command) -> Command:
    """Add ``--database``, ``--url`` and ``--api-key`` to a command that works on a database or through a server.

    They may precede or follow the command's name. The business key and a message's key are ``--key`` already.
    """
    key = click.option(
        "--api-key",
        metavar="KEY",
        expose_value=False,
        callback=_store_text,
        help="The server's API key, instead of FLOWLET_KEY.",
    )
    url = click.option(
        "--url",
        metavar="URL",
        expose_value=False,
        callback=_store_text,
        help="A server, instead of a database and of FLOWLET_URL: http://host:8080",
    )
    return database_option(url(key(command)))


def modules_option(command: Command) -> Command:
    """Add ``--module`` to a command; it may be repeated."""
    return click.option(
        "-m", "--module", "modules", metavar="MODULE", multiple=True, help="A workflow module; may be repeated."
    )(command)


def modules_argument(command: Command) -> Command:
    """Add the argument ``MODULE...`` to a command."""
    return click.argument("modules", metavar="MODULE...", nargs=-1)(command)


def expected_version_option(command: Command) -> Command:
    """Add ``--expected-version`` to a command that changes something."""
    return click.option(
        "--expected-version",
        metavar="NUMBER",
        type=click.IntRange(0, MAX_INTEGER),
        help="Change nothing unless it has this version, as shown by --json.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json`` to a command that prints records."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def parse_object(_: click.Context, __: click.Parameter, text: str | None) -> dict[str, Any] | None:
    """Return the object of a JSON text of the command line; None for none."""
    from flowlet.instance.json_text import parse_outside_json

    if text is None:
        return None
    try:
        value, faults = parse_outside_json(text, subject="the text")
    except ValueError as error:
        raise click.BadParameter(f"{error} Write an object, e.g. '{{\"amount\": 3}}'.") from None
    if faults:
        raise click.BadParameter("; ".join(f"{path}: {fault}" for path, fault in faults.items()) + ".")
    if not isinstance(value, dict):
        raise click.BadParameter("expected a JSON object, e.g. '{\"amount\": 3}'.")
    return value


def parse_time_argument(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """Return the time of a text of the command line; None for none."""
    from flowlet.clock import parse_time

    try:
        return None if text is None else parse_time(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time. Write 2026-11-22 or 2026-11-22T08:30Z.") from None


def parse_microseconds_argument(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Return the time of a text of the command line in microseconds since 1970 UTC; None for none."""
    from flowlet.clock import to_microseconds

    time = parse_time_argument(ctx, param, text)
    return None if time is None else to_microseconds(time)


def parse_duration_argument(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return the duration of a text of the command line in seconds; None for none."""
    from flowlet.clock import parse_duration

    return None if text is None else parse_duration(text).total_seconds()


def _store_database_url(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    from flowlet.database_url import normalize_database_url
    from flowlet.errors import SettingsError

    if value is None:
        return
    try:
        _store_text(ctx, param, normalize_database_url(value, subject="--database"))
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _store_text(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(dict)[param.name] = value
