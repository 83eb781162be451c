"""The effect of entering a state on an instance, computed once per state."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.clock import to_microseconds
from flowlet.definition.definition import StateDefinition
from flowlet.definition.limits.limit_policy import LimitPolicy
from flowlet.definition.people.question_definition import QuestionDefinition
from flowlet.instance.instance import Status
from flowlet.workflow.states import StateKind

__all__ = ["StateEntry", "build_state_entry"]


@dataclass(frozen=True, slots=True)
class StateEntry:
    """The effect of entering a state without a wait.

    Attributes:
        name: The state's name.
        kind: Its kind.
        status: EXECUTING; WAITING for a manual or receive state; FINISHED for an end state; FAILED for an error state.
        deadline: How long a manual or a receive state waits, in microseconds; None means without limit.
        description: Its description, which is the reason of an instance that ends in an error state.
        messages: The names of the messages that a receive state waits for; empty for every other state.
        question: The question of a manual state.
        limits: The limits of a state whose handler runs as soon as it is entered; None for none.
    """

    name: str
    kind: StateKind
    status: Status
    deadline: int | None
    description: str
    messages: tuple[str, ...] = ()
    question: QuestionDefinition | None = None
    limits: LimitPolicy | None = None


_STATUSES = {
    StateKind.START: Status.EXECUTING,
    StateKind.NORMAL: Status.EXECUTING,
    StateKind.MANUAL: Status.WAITING,
    StateKind.RECEIVE: Status.WAITING,
    StateKind.END: Status.FINISHED,
    StateKind.ERROR: Status.FAILED,
}


def build_state_entry(state: StateDefinition) -> StateEntry:
    """Return the effect of entering a state."""
    return StateEntry(
        name=state.name,
        kind=state.kind,
        status=_STATUSES[state.kind],
        deadline=None if state.deadline is None else to_microseconds(state.deadline),
        description=state.description,
        messages=tuple(one.name for one in state.messages),
        question=state.question,
        limits=state.entry_limits,
    )
