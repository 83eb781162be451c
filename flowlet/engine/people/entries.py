"""What an activation does to the instance's entry in the inbox."""

from __future__ import annotations

from flowlet.definition.definition import StateDefinition
from flowlet.definition.entry import StateEntry
from flowlet.definition.people.question_definition import build_inbox_entry
from flowlet.definition.versions.migrations import migrate_if_possible
from flowlet.engine.attempt import Attempt
from flowlet.instance.inbox_entry import InboxEffects
from flowlet.workflow.states import StateKind

__all__ = ["build_asking_inbox", "build_entry_inbox"]

_MANUAL = StateKind.MANUAL  # each transition reads it, which is slow from an enum


def build_entry_inbox(attempt: Attempt, entry: StateEntry, vars_json: str | None) -> InboxEffects | None:
    """Return what entering a state does; None where neither it nor the state before is a question.

    The entry of an answered question was deleted by the answer.

    Args:
        attempt: The attempt that led there, ended.
        entry: The state that is entered.
        vars_json: The new variables, as JSON text; None if they have not changed.
    """
    if entry.kind is _MANUAL:
        values = _read_shown_vars(attempt) if vars_json is None else vars_json
        visit = attempt.instance.visit + 1
        return InboxEffects(build_inbox_entry(entry.question, values, visit=visit, entered_us=attempt.ended_at))
    return InboxEffects(None) if attempt.is_unanswered else None


def build_asking_inbox(attempt: Attempt, state: StateDefinition) -> InboxEffects:
    """Return the entry of an instance that waits for a person in the state in which it was due.

    Args:
        attempt: The attempt that found no answer, ended.
        state: The manual state.
    """
    values, visit = _read_shown_vars(attempt), attempt.instance.visit
    return InboxEffects(build_inbox_entry(state.question, values, visit=visit, entered_us=attempt.ended_at))


def _read_shown_vars(attempt: Attempt) -> str:
    """Return the variables as they are shown, migrated if the attempt has not done so."""
    instance, definition = attempt.instance, attempt.policy.definition
    text = instance.vars_json
    return migrate_if_possible(definition, text, instance.vars_version) if definition else text
