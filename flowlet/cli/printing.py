"""How instances and histories look in the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowlet.accounts import ApiKey, User
from flowlet.clock import moment
from flowlet.instances import Action, Instance

__all__ = [
    "action_json",
    "action_line",
    "console",
    "instance_json",
    "json_text",
    "plain",
    "record_json",
    "table",
    "time_text",
]

_TIMES = frozenset(
    {
        *("at", "next_activation", "created", "modified", "started", "ended", "failed"),
        *("expires", "last_login", "last_used", "revoked"),
    }
)
_NOT_SHOWN = frozenset({"held_status", "token", "version", "streak", "waits_for_children", "pause_requested"})


def console() -> Console:
    """Return a console on stdout; where that is no terminal, one that never wraps or shortens."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=10_000, highlight=False)


def plain(value: object) -> str:
    """Return a text on one line, in which control characters can do no harm to a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(value))


def time_text(value: int | None) -> str:
    """Return a moment in microseconds since 1970 as RFC 3339 in UTC, to the second; empty for None."""
    return "" if value is None else moment(value).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of plain texts."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    return drawn


def action_line(action: Action) -> str:
    """Return a line of history for people: what happened, from where to where, and why."""
    way = " -> ".join(state for state in (action.from_state, action.to_state) if state)
    who = f"by {action.username}" if action.username else ""
    return plain("  ".join(part for part in (action.kind.value, way, action.text or "", who) if part))


def instance_json(instance: Instance) -> dict[str, Any]:
    """Return an instance as JSON values in camelCase, with its variables as an object."""
    fields = {name: value for name, value in asdict(instance).items() if name not in _NOT_SHOWN}
    return {**_camel_case(fields), "vars": instance.variables, "answer": _loaded(instance.answer)}


def action_json(action: Action) -> dict[str, Any]:
    """Return a line of history as JSON values in camelCase."""
    return {**_camel_case(asdict(action)), "changes": _loaded(action.changes)}


def record_json(record: User | ApiKey) -> dict[str, Any]:
    """Return a user or an API key as JSON values in camelCase."""
    return _camel_case(asdict(record))


def json_text(value: object) -> str:
    """Return JSON text, indented for reading."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _camel_case(fields: dict[str, Any]) -> dict[str, Any]:
    return {_camel(name): _moment_text(value) if name in _TIMES else value for name, value in fields.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _moment_text(value: int | None) -> str | None:
    return None if value is None else moment(value).isoformat().replace("+00:00", "Z")


def _loaded(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
