"""The last decision of an instance: how it left the manual state that it has asked a person in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.errors import RefusedError, StaleError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance
from flowlet.web.services import get_services

__all__ = ["Decision", "build_stale_answer_error", "read_decision"]

LINES_READ = 20
"""How many lines of history are searched: an instance that has gone on for longer has no last decision."""
_PERSON_KINDS = (ActionKind.ANSWERED, ActionKind.MOVED, ActionKind.FORCED, ActionKind.CANCELLED)


@dataclass(frozen=True, slots=True)
class Decision:
    """How an instance left a manual state.

    Attributes:
        text: What was decided, as "Answered: Approve".
        sentence: The same about a workflow, as "#12 was already answered by ada: Approve."
        username: Who decided: the person for whom an API key acted, or the user; None for a deadline.
        at_us: When, in microseconds since 1970 UTC.
    """

    text: str
    sentence: str
    username: str | None
    at_us: int


async def read_decision(instance: Instance, definition: Definition | None) -> Decision | None:
    """Return the last decision of an instance.

    Args:
        instance: The instance.
        definition: Its definition; None if it is not loaded.

    Returns:
        None while it asks, while its deadline's attempt runs or after it has failed, if its definition has no manual
        state or is not loaded, and if there was no decision lately.
    """
    if definition is None or instance.is_asking or not any(state.is_manual for state in definition.states.values()):
        return None
    kinds = (*_PERSON_KINDS, ActionKind.TRANSITION)
    lines = await get_services().store.queries.read_latest_actions(instance.id, limit=LINES_READ, kinds=kinds)
    present = definition.find_state(instance.state)
    if lines and present and present.is_manual and definition.find_state(lines[0].from_state or "") is not present:
        return None  # the newest line is its entry: nobody has decided there, as in an attempt after a deadline
    return _find_decision(lines, definition)


async def build_stale_answer_error(error: StaleError, id: int) -> RefusedError:
    """Return the error of an answer that came too late: who decided what, or the error itself if it still asks."""
    instance = await get_services().store.queries.get(id)
    decision = await read_decision(instance, get_services().registry.find_definition(instance.type))
    if decision is None:
        return error
    return RefusedError(f"{decision.sentence} Your answer was not saved.")


def _find_decision(lines: Sequence[Action], definition: Definition) -> Decision | None:
    for place, line in enumerate(lines):
        state = definition.find_state(line.from_state) if line.from_state else None
        if state is None or not state.is_manual:
            continue
        if line.kind in _PERSON_KINDS:
            return _describe(line, state)
        older = lines[place + 1] if place + 1 < len(lines) else None
        is_answered = older is not None and older.kind is ActionKind.ANSWERED and older.from_state == line.from_state
        return _describe(older if older and is_answered else line, state)
    return None


def _describe(line: Action, state: StateDefinition) -> Decision:
    target = line.to_state or ""
    choice = next((edge.label for edge in state.transitions if edge.target == target and edge.label), target)
    name = line.on_behalf_of or line.username
    subject, person = f"#{line.workflow_id}", name or "a program"
    match line.kind:
        case ActionKind.ANSWERED:
            text, sentence = f"Answered: {choice}", f"{subject} was already answered by {person}: {choice}."
        case ActionKind.CANCELLED:
            text, sentence = "Cancelled", f"{subject} was cancelled by {person}."
        case ActionKind.TRANSITION:
            text, sentence = f"Deadline passed: {choice}", f"The deadline of {subject} has passed: {choice}."
        case _:
            text, sentence = f"Moved manually to {target}", f"{subject} was moved to {target} by {person}."
    return Decision(text, sentence, name, line.at_us)
