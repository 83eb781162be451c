"""Records and histories as text for people, and as JSON.

The JSON has what a database and the API both have, so that a command prints the same on either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flowlet.accounts.audit import AuditRecord
from flowlet.accounts.models import ApiKey, User
from flowlet.cli.targets.target import ListedDefinition, ListedQuestion
from flowlet.clock import MICROSECONDS_PER_SECOND, to_datetime
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import write_json
from flowlet.instance.new_instance import Created
from flowlet.store.executors import ExecutorRecord
from flowlet.store.history import HistoryEvent
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LanePause
from flowlet.store.people.teams import TeamRecord
from flowlet.store.people.views import ViewRecord
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.text import escape_control_characters

__all__ = [
    "format_action",
    "format_json",
    "format_time",
    "serialize_action",
    "serialize_created",
    "serialize_definition",
    "serialize_deletion",
    "serialize_event",
    "serialize_executor",
    "serialize_instance",
    "serialize_lane_pause",
    "serialize_limit",
    "serialize_question",
    "serialize_record",
    "serialize_schedule",
]

_INSTANCE_FIELDS = (
    *("id", "type", "definition_version", "external_id", "key", "parent_id", "group", "priority", "status", "state"),
    *("vars", "next_activation", "attempt", "visit", "executor_id", "version", "children", "open_children"),
    *("waits_for_children", "pause_requested", "held_status", "answer", "reason", "created_by", "created", "modified"),
    *("started", "ended", "fingerprint", "awaits", "unread"),
)
_ACTION_FIELDS = (
    *("id", "workflow_id", "kind", "at", "from_state", "to_state", "text", "duration_ms", "executor_id", "username"),
    *("detail", "changes", "version", "answer", "on_behalf_of"),
)
_TIME_FIELDS = frozenset(
    {
        *("at", "created", "modified", "started", "beat", "lease_until"),
        *("expires", "last_login", "last_used", "revoked"),
        *("next_time", "next_fire", "last_fire", "pending", "paused"),
        *("since", "deadline", "held", "opened_until"),
    }
)


def format_time(value: int | None) -> str:
    """Return a time in microseconds since 1970 as RFC 3339 in UTC, to the second; empty for None."""
    return "" if value is None else to_datetime(value).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_action(action: Action | HistoryEvent) -> str:
    """Return a line of history for people: the kind, the states, the text and the user."""
    states = " -> ".join(state for state in (action.from_state, action.to_state) if state)
    actor = f"by {action.username}" if action.username else ""
    actor += f" on behalf of {action.on_behalf_of}" if action.on_behalf_of else ""
    return escape_control_characters(
        "  ".join(part for part in (str(action.kind), states, action.text or "", actor) if part)
    )


def serialize_instance(instance: Instance) -> dict[str, Any]:
    """Return an instance as JSON values in camelCase, with its variables as an object."""
    return _serialize_fields({name: getattr(instance, name) for name in _INSTANCE_FIELDS})


def serialize_action(action: Action) -> dict[str, Any]:
    """Return a line of history as JSON values in camelCase."""
    fields = {name: getattr(action, name) for name in _ACTION_FIELDS}
    return _serialize_fields({**fields, "retry_count": max(0, (action.attempt or 1) - 1)})


def serialize_created(created: Created) -> dict[str, Any]:
    """Return the result of a create as JSON values in camelCase."""
    return {"id": created.id, "externalId": created.external_id, "isNew": created.is_new}


def serialize_event(event: HistoryEvent) -> dict[str, Any]:
    """Return an event as JSON values in camelCase."""
    fields = asdict(event)
    renamed = {"key": fields.pop("business_key"), "group": fields.pop("executor_group")}
    return _serialize_fields({**fields, **renamed})


def serialize_executor(record: ExecutorRecord) -> dict[str, Any]:
    """Return an executor as JSON values in camelCase, under the names of the client."""
    fields = ("id", "name", "host", "pid", "status", "groups", "types", "versions", "slots", "started", "lease_until")
    return _serialize_fields(
        {name: getattr(record, name) for name in fields} | {"last_active": to_datetime(record.beat)}
    )


def serialize_definition(summary: ListedDefinition) -> dict[str, Any]:
    """Return the summary of a definition as JSON values in camelCase."""
    return _serialize_fields(asdict(summary))


def serialize_question(question: ListedQuestion) -> dict[str, Any]:
    """Return an entry of the inbox as JSON values in camelCase."""
    return _serialize_fields(asdict(question))


def serialize_record(
    record: User | ApiKey | TeamRecord | ViewRecord | AuditRecord,
) -> dict[str, Any]:
    """Return a user, an API key, a team, a view or an audit record as JSON values in camelCase."""
    return _serialize_fields(asdict(record))


def serialize_limit(use: LimitUse) -> dict[str, Any]:
    """Return a limit as JSON values in camelCase, with what runs and waits."""
    record = use.record
    same = ("type", "state", "capacity", "key_variable", "rate_count", "breaker_count", "failures", "held_by")
    lengths = ("rate_period", "breaker_pause", "breaker_interval", "opened_interval")
    return _serialize_fields(
        {name: getattr(record, name) for name in (*same, "held_reason", "opened_until")}
        | {f"{name}_seconds": _to_seconds(getattr(record, name)) for name in lengths}
        | {"held": record.held_at, "running": use.running, "waiting": use.waiting}
        | {"definition_version": record.version}
    )


def serialize_lane_pause(pause: LanePause) -> dict[str, Any]:
    """Return the pause of a lane as JSON values in camelCase."""
    return _serialize_fields(
        {"kind": pause.kind, "name": pause.name, "paused": pause.paused_at}
        | {"paused_by": pause.paused_by, "reason": pause.reason}
    )


def serialize_schedule(record: ScheduleRecord) -> dict[str, Any]:
    """Return a schedule as JSON values in camelCase, with its variables as an object."""
    fields = asdict(record)
    seconds = fields.pop("jitter") / MICROSECONDS_PER_SECOND
    del fields["vars_json"]
    return {**_serialize_fields(fields), "jitterSeconds": seconds, "vars": record.vars}


def serialize_deletion(**named: str) -> dict[str, Any]:
    """Return the result of a deletion as JSON values: what was deleted, by its name."""
    return {**named, "deleted": True}


def format_json(value: object) -> str:
    """Return JSON text, indented for reading."""
    return write_json(value, is_indented=True)


def _serialize_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_convert_to_camel_case(name): _serialize_value(name, value) for name, value in fields.items()}


def _convert_to_camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _to_seconds(length: int | None) -> float | None:
    return None if length is None else length / MICROSECONDS_PER_SECOND


def _serialize_value(name: str, value: Any) -> Any:
    if name in _TIME_FIELDS and isinstance(value, int):
        value = to_datetime(value)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
