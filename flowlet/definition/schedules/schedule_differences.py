"""What differs between the schedules of two versions of a definition, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowlet.definition.versions.definition_change import DefinitionChange, DifferenceKind

__all__ = ["compare_schedules"]

_FIELDS = {
    "cron": "cron",
    "every": "interval",
    "timezone": "time zone",
    "overlap": "overlap",
    "catchUp": "catch-up",
    "jitterSeconds": "jitter",
}


def compare_schedules(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> Iterator[DefinitionChange]:
    """Yield what differs between the schedules of two documents. A value of a variable is not shown."""
    before = {schedule["name"]: schedule for schedule in old}
    after = {schedule["name"]: schedule for schedule in new}
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before:
            when = after[name]["cron"] or f"every {after[name]['every']}"
            text = f"schedule {name!r} is added: {when} ({after[name]['timezone']})"
            yield DefinitionChange(DifferenceKind.ADDED, "schedule", name, text)
        elif name not in after:
            yield DefinitionChange(DifferenceKind.REMOVED, "schedule", name, f"schedule {name!r} is removed")
        else:
            for text in _compare_fields(before[name], after[name]):
                yield DefinitionChange(DifferenceKind.CHANGED, "schedule", name, f"schedule {name!r}: {text}")


def _compare_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for field, label in _FIELDS.items():
        if old[field] != new[field]:
            yield f"{label} {_format_value(field, old[field])} becomes {_format_value(field, new[field])}"
    if old["vars"] != new["vars"]:
        yield "its variables differ"


def _format_value(field: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g} s" if field == "jitterSeconds" else repr(value)
