"""What differs between two versions of a definition, read from their documents: in words, and for a diagram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowlet.definition.schedules.schedule_differences import compare_schedules
from flowlet.definition.versions.definition_change import DefinitionChange, DifferenceKind
from flowlet.definition.versions.schema_fields import flatten_schema

__all__ = ["DefinitionDifference", "compare_documents"]

StatePair = tuple[str, str]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DefinitionDifference:
    """The differences of two versions of a definition; states have the newer version's names.

    Attributes:
        changes: All differences, in words.
        renamed_states: The former name of each renamed state.
        changed_states: The states whose kind or policies differ.
    """

    changes: tuple[DefinitionChange, ...]
    added_states: frozenset[str] = frozenset()
    removed_states: frozenset[str] = frozenset()
    renamed_states: Mapping[str, str] = field(default_factory=dict)
    changed_states: frozenset[str] = frozenset()
    added_transitions: frozenset[StatePair] = frozenset()
    removed_transitions: frozenset[StatePair] = frozenset()


_WORKFLOW_FIELDS = {
    "start": "start state",
    "executorGroup": "executor group",
    "priority": "priority",
    "loopLimit": "loop limit",
    "retry": "retry policy",
    "varsVersion": "version of the variables",
    "keep": "time that ended workflows are kept",
    "limits": "limits",
}
_STATE_FIELDS = {
    "kind": "kind",
    "retry": "retry policy",
    "timeoutSeconds": "timeout",
    "onError": "state after an error",
    "deadlineSeconds": "deadline",
    "onDeadline": "state after the deadline",
    "limits": "limits",
}
_STATE_NAMES = ("start", "onError", "onDeadline")
"""The fields that hold the name of a state."""


def compare_documents(old: Document, new: Document) -> DefinitionDifference:
    """Return what differs from one document of a definition to another one.

    Descriptions and lines of the source are not compared.

    Args:
        old: The document of ``Definition.to_json``.
        new: The other one. Its ``renamedFrom`` says which states are the same under another name.
    """
    return _Comparison(old, new).compare()


class _Comparison:
    def __init__(self, old: Document, new: Document) -> None:
        self._old, self._new = old, new
        self._new_states = {state["name"]: state for state in new["states"]}
        old_names = {state["name"] for state in old["states"]}
        self._former: dict[str, str] = {
            name: former
            for name, state in self._new_states.items()
            for former in state.get("renamedFrom", ())
            if former in old_names and name not in old_names
        }
        self._present: dict[str, str] = {former: name for name, former in self._former.items()}
        self._old_states = {self._rename(state["name"]): state for state in old["states"]}

    def compare(self) -> DefinitionDifference:
        added = frozenset(self._new_states.keys() - self._old_states.keys())
        removed = frozenset(self._old_states.keys() - self._new_states.keys())
        old_edges, new_edges = self._list_edges(self._old_states, is_old=True), self._list_edges(self._new_states)
        state_changes = list(self._compare_states())
        changes = (
            *self._compare_workflow(),
            *(
                _describe_state(DifferenceKind.ADDED, self._new_states[name])
                for name in self._new_states
                if name in added
            ),
            *(
                _describe_state(DifferenceKind.REMOVED, state)
                for name, state in self._old_states.items()
                if name in removed
            ),
            *self._describe_renamed(),
            *state_changes,
            *_compare_edges(old_edges, new_edges),
            *compare_schedules(self._old["schedules"], self._new["schedules"]),
            *_compare_fields(self._old["variables"], self._new["variables"], "variable"),
        )
        return DefinitionDifference(
            changes,
            added,
            removed,
            dict(self._former),
            frozenset(change.name for change in state_changes),
            frozenset(new_edges.keys() - old_edges.keys()),
            frozenset(old_edges.keys() - new_edges.keys()),
        )

    def _rename(self, name: str) -> str:
        return self._present.get(name, name)

    def _list_edges(self, states: Mapping[str, Document], *, is_old: bool = False) -> dict[StatePair, str]:
        """Return the label of each transition."""
        return {
            (name, self._rename(edge["target"]) if is_old else edge["target"]): edge["label"]
            for name, state in states.items()
            for edge in state["transitions"]
        }

    def _compare_workflow(self) -> Iterator[DefinitionChange]:
        if self._old["version"] != self._new["version"]:
            text = f"version {self._old['version']} becomes {self._new['version']}"
            yield DefinitionChange(DifferenceKind.CHANGED, "workflow", "", text)
        for text in self._compare_values(self._old, self._new, _WORKFLOW_FIELDS):
            yield DefinitionChange(DifferenceKind.CHANGED, "workflow", "", text)

    def _describe_renamed(self) -> Iterator[DefinitionChange]:
        for name, former in self._former.items():
            yield DefinitionChange(DifferenceKind.RENAMED, "state", name, f"state {former!r} is now called {name!r}")

    def _compare_states(self) -> Iterator[DefinitionChange]:
        for name, new in self._new_states.items():
            old = self._old_states.get(name)
            if old is None:
                continue
            for text in self._compare_values(old, new, _STATE_FIELDS):
                yield DefinitionChange(DifferenceKind.CHANGED, "state", name, f"state {name!r}: {text}")
            for change in _compare_fields(old["form"] or {}, new["form"] or {}, "form field"):
                text = f"state {name!r}: {change.text}"
                yield DefinitionChange(DifferenceKind.CHANGED, "state", name, text)
            for change in _compare_messages(old, new):
                text = f"state {name!r}: {change.text}"
                yield DefinitionChange(DifferenceKind.CHANGED, "state", name, text)

    def _compare_values(self, old: Document, new: Document, fields: Mapping[str, str]) -> Iterator[str]:
        for key, label in fields.items():
            before, after = old.get(key), new.get(key)
            if key in _STATE_NAMES and isinstance(before, str):
                before = self._rename(before)
            if before != after:
                yield f"{label} {_format_value(key, before)} becomes {_format_value(key, after)}"


def _compare_messages(old: Document, new: Document) -> Iterator[DefinitionChange]:
    before, after = ({one["name"]: one["schema"] for one in document.get("messages", ())} for document in (old, new))
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before or name not in after:
            kind = DifferenceKind.ADDED if name not in before else DifferenceKind.REMOVED
            yield DefinitionChange(kind, "message", name, f"message {name!r} is {kind}")
        else:
            yield from _compare_fields(before[name], after[name], f"field of message {name!r}")


def _describe_state(kind: DifferenceKind, state: Document) -> DefinitionChange:
    name = state["name"]
    return DefinitionChange(kind, "state", name, f"state {name!r} ({state['kind']}) is {kind}")


def _compare_edges(old: Mapping[StatePair, str], new: Mapping[StatePair, str]) -> Iterator[DefinitionChange]:
    for pair in [*new, *(pair for pair in old if pair not in new)]:
        name = " -> ".join(pair)
        if pair not in old:
            yield DefinitionChange(DifferenceKind.ADDED, "transition", name, f"transition {name} is added")
        elif pair not in new:
            yield DefinitionChange(DifferenceKind.REMOVED, "transition", name, f"transition {name} is removed")
        elif old[pair] != new[pair]:
            text = f"transition {name}: label {old[pair]!r} becomes {new[pair]!r}"
            yield DefinitionChange(DifferenceKind.CHANGED, "transition", name, text)


def _compare_fields(old: Document, new: Document, subject: str) -> Iterator[DefinitionChange]:
    before, after = flatten_schema(old), flatten_schema(new)
    for path in [*after, *(path for path in before if path not in after)]:
        if path not in before:
            text = f"{subject} {path!r} is added: {after[path].describe()}"
            yield DefinitionChange(DifferenceKind.ADDED, subject, path, text)
        elif path not in after:
            yield DefinitionChange(DifferenceKind.REMOVED, subject, path, f"{subject} {path!r} is removed")
        elif before[path] != after[path]:
            was, becomes = before[path].describe(), after[path].describe()
            text = f"{was} becomes {becomes}" if was != becomes else "its rules differ"
            yield DefinitionChange(DifferenceKind.CHANGED, subject, path, f"{subject} {path!r}: {text}")


def _format_value(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if key.endswith("Seconds"):
        return f"{value:g} s"
    if key == "retry":
        never = f", never {', '.join(value['never'])}" if value["never"] else ""
        return f"{value['limit']} times, {value['min']} to {value['max']}, {value['backoff']}{never}"
    if key == "limits":
        return _format_limits(value)
    return repr(value)


def _format_limits(value: Document) -> str:
    limit, rate, breaker = value["limit"], value["rate"], value["breaker"]
    by = f" by {limit['by']!r}" if limit and limit["by"] else ""
    parts = [f"{limit['count']} at once{by}"] if limit else []
    parts += [f"{rate['count']} per {rate['per']}"] if rate else []
    parts += [f"a pause of {breaker['pause']} after {breaker['count']} failures in a row"] if breaker else []
    parts += [f"then one each {breaker['interval']}"] if breaker and breaker["interval"] else []
    return ", ".join(parts)
