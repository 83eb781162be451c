"""The entry in the inbox of an instance that a person changes."""

from __future__ import annotations

from dataclasses import replace

from flowlet.definition.definition import Definition
from flowlet.definition.people.question_definition import build_inbox_entry
from flowlet.definition.versions.migrations import migrate_if_possible
from flowlet.instance.change import Change

__all__ = ["with_inbox_entry"]


def with_inbox_entry(change: Change, definition: Definition | None) -> Change:
    """Return a change with the entry of an instance that waits for a person after it.

    Args:
        change: The change.
        definition: The instance's definition; None if it is not loaded: then the question has no title.
    """
    after = change.after
    if not after.is_asking:
        return change
    state = definition.find_state(after.state) if definition else None
    question = state.question if state else None
    values = migrate_if_possible(definition, after.vars_json, after.vars_version) if definition else after.vars_json
    entry = build_inbox_entry(question, values, visit=after.visit, entered_us=after.modified_us)
    return replace(change, inbox=entry)
