"""What entering a state makes of an instance, worked out once per state."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.clock import to_microseconds
from flowlet.definition.definition import StateDefinition
from flowlet.instance.instance import Status
from flowlet.workflow.states import StateKind

__all__ = ["StateEntry", "build_state_entry"]


@dataclass(frozen=True, slots=True)
class StateEntry:
    """What entering a state at once makes of an instance.

    Attributes:
        status: EXECUTING, or WAITING for a manual state, or the end's own.
        deadline: How long a manual state waits for its answer, in microseconds; None means for ever.
        description: The state's; the reason of an instance that an error state ended.
    """

    name: str
    kind: StateKind
    status: Status
    deadline: int | None
    description: str


_STATUSES = {
    StateKind.START: Status.EXECUTING,
    StateKind.NORMAL: Status.EXECUTING,
    StateKind.MANUAL: Status.WAITING,
    StateKind.END: Status.FINISHED,
    StateKind.ERROR: Status.FAILED,
}


def build_state_entry(state: StateDefinition) -> StateEntry:
    """Return what entering a state makes of an instance."""
    return StateEntry(
        name=state.name,
        kind=state.kind,
        status=_STATUSES[state.kind],
        deadline=None if state.deadline is None else to_microseconds(state.deadline),
        description=state.description,
    )
