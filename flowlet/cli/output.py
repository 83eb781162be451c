"""Instances and histories as tables for the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flowlet.accounts.models import ApiKey, User
from flowlet.clock import MICROSECONDS_PER_SECOND, to_datetime
from flowlet.instance.instance import Action, Instance
from flowlet.instance.json_text import write_json
from flowlet.store.history import HistoryEvent
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.text import escape_control_characters

__all__ = [
    "build_table",
    "create_console",
    "format_action",
    "format_json",
    "format_time",
    "serialize_action",
    "serialize_instance",
    "serialize_record",
    "serialize_schedule",
]

_TIME_FIELDS = frozenset(
    {
        *("at", "next_activation", "created", "modified", "started", "ended", "failed"),
        *("expires", "last_login", "last_used", "revoked"),
        *("next_time", "next_fire", "last_fire", "pending", "paused"),
    }
)
_HIDDEN_FIELDS = frozenset(
    {"held_status", "token", "streak", "wake_at_open_children", "pause_requested", "unsnapped_characters"}
)


def create_console() -> Console:
    """Return a console on stdout. If stdout is not a terminal, it never wraps or shortens."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=10_000, highlight=False)


def format_time(value: int | None) -> str:
    """Return a time in microseconds since 1970 as RFC 3339 in UTC, to the second; empty for None."""
    return "" if value is None else to_datetime(value).strftime("%Y-%m-%dT%H:%M:%SZ")


def build_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of plain texts, with control characters escaped."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(escape_control_characters(cell)) for cell in row))
    return drawn


def format_action(action: Action | HistoryEvent) -> str:
    """Return a line of history for people: the kind, the states, the text and the user."""
    states = " -> ".join(state for state in (action.from_state, action.to_state) if state)
    actor = f"by {action.username}" if action.username else ""
    return escape_control_characters(
        "  ".join(part for part in (action.kind.value, states, action.text or "", actor) if part)
    )


def serialize_instance(instance: Instance) -> dict[str, Any]:
    """Return an instance as JSON values in camelCase, with its variables as an object."""
    fields = {name: value for name, value in asdict(instance).items() if name not in _HIDDEN_FIELDS}
    parsed = {"vars": instance.vars, "answer": instance.answer, "awaits": instance.awaits}
    return {**_serialize_fields(_use_public_names(fields)), **parsed}


def serialize_action(action: Action) -> dict[str, Any]:
    """Return a line of history as JSON values in camelCase."""
    fields = _use_public_names(asdict(action))
    return {**_serialize_fields(fields), "changes": action.changes, "answer": action.answer}


def serialize_record(record: User | ApiKey) -> dict[str, Any]:
    """Return a user or an API key as JSON values in camelCase."""
    return _serialize_fields(asdict(record))


def serialize_schedule(record: ScheduleRecord) -> dict[str, Any]:
    """Return a schedule as JSON values in camelCase, with its variables as an object."""
    fields = _use_public_names(asdict(record))
    seconds = fields.pop("jitter") / MICROSECONDS_PER_SECOND
    return {**_serialize_fields(fields), "jitterSeconds": seconds, "vars": record.vars}


def format_json(value: object) -> str:
    """Return JSON text, indented for reading."""
    return write_json(value, is_indented=True)


def _use_public_names(fields: dict[str, Any]) -> dict[str, Any]:
    """Return stored fields under the names of Python's properties, without those that hold JSON as text."""
    return {name.removesuffix("_us"): value for name, value in fields.items() if not name.endswith("_json")}


def _serialize_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        _convert_to_camel_case(name): _format_timestamp(value) if name in _TIME_FIELDS else value
        for name, value in fields.items()
    }


def _convert_to_camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _format_timestamp(value: int | None) -> str | None:
    return None if value is None else to_datetime(value).isoformat().replace("+00:00", "Z")
