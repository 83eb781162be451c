"""The operations that are permitted on an instance now, and the refusal of the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flowlet.definition.definition import Definition
from flowlet.errors import RefusedError
from flowlet.instance.instance import Instance, Status

__all__ = [
    "Operation",
    "PermittedOperations",
    "build_refusal",
    "compute_permitted_operations",
    "describe_instance",
    "may_be_retried",
    "require_permitted",
]


class Operation(StrEnum):
    """An operation that a person or a program runs on an instance."""

    ANSWER = "answer"
    MOVE = "move"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    WAKE = "wake"
    EDIT = "edit"


_PARTICIPLES = {
    Operation.ANSWER: "answered",
    Operation.MOVE: "moved",
    Operation.PAUSE: "paused",
    Operation.RESUME: "resumed",
    Operation.CANCEL: "cancelled",
    Operation.RETRY: "retried",
    Operation.WAKE: "woken",
    Operation.EDIT: "edited",
}
_NOT_PAUSED = "it is not paused"
_NOT_FAILED = "none of its attempts has failed"
_NOT_ASKING = "it does not wait for an answer"
_FOR_A_PERSON = "it waits for a person: answer it or move it"
_FOR_A_MESSAGE = "it waits for a message: send it or move it"
_HELD = "it is paused: resume it first"
_DUE = "it is already due and waits for an executor"
_RUNNING = "its activation is running: wait until it ends, or cancel it"
_REFUSAL_REASONS = {
    (Operation.ANSWER, Status.NEW): _NOT_ASKING,
    (Operation.ANSWER, Status.IN_PROGRESS): _NOT_ASKING,
    (Operation.ANSWER, Status.EXECUTING): _NOT_ASKING,
    (Operation.ANSWER, Status.PAUSED): _HELD,
    (Operation.MOVE, Status.EXECUTING): "its activation is running: wait until it ends, or force the move",
    (Operation.PAUSE, Status.PAUSED): "it is already paused",
    (
        Operation.PAUSE,
        Status.EXECUTING,
    ): "a pause is already requested: it takes effect when the running activation ends",
    (Operation.RESUME, Status.NEW): _NOT_PAUSED,
    (Operation.RESUME, Status.EXECUTING): _NOT_PAUSED,
    (Operation.RESUME, Status.IN_PROGRESS): _NOT_PAUSED,
    (Operation.RESUME, Status.WAITING): _NOT_PAUSED,
    (Operation.RETRY, Status.NEW): _NOT_FAILED,
    (Operation.RETRY, Status.EXECUTING): _RUNNING,
    (Operation.RETRY, Status.WAITING): _FOR_A_PERSON,
    (Operation.RETRY, Status.PAUSED): _HELD,
    (Operation.WAKE, Status.NEW): _DUE,
    (Operation.WAKE, Status.EXECUTING): _RUNNING,
    (Operation.WAKE, Status.IN_PROGRESS): _DUE,
    (Operation.WAKE, Status.WAITING): _FOR_A_PERSON,
    (Operation.WAKE, Status.PAUSED): _HELD,
    (Operation.EDIT, Status.EXECUTING): "its activation is running and would not see the change: wait until it ends",
}


@dataclass(frozen=True, slots=True)
class PermittedOperations:
    """The operations that are permitted on an instance now.

    Attributes:
        operations: In the order in which a person would look for them.
        states: The states to which it may be moved without force, in the order of the source; the choices of a manual
            state.
    """

    operations: tuple[Operation, ...]
    states: tuple[str, ...]


def compute_permitted_operations(instance: Instance, definition: Definition | None, *, now: int) -> PermittedOperations:
    """Return the operations that are permitted on an instance.

    Args:
        instance: The instance.
        definition: Its definition; None if it is not loaded: then it can be neither answered, moved nor edited.
        now: The store's time, in microseconds since 1970 UTC.
    """
    state = definition.find_state(instance.state) if definition else None
    states = state.targets if state and _may_move(instance) else ()
    open_again = instance.status == Status.FAILED and may_be_retried(instance.state, definition)
    allowed = {
        Operation.ANSWER: instance.status == Status.WAITING and state is not None and state.is_manual,
        Operation.MOVE: bool(states),
        Operation.RESUME: instance.status == Status.PAUSED or _is_pausing(instance),
        Operation.RETRY: open_again or _is_retrying(instance, now),
        Operation.WAKE: instance.status in (Status.NEW, Status.IN_PROGRESS) and not _is_due(instance, now),
        Operation.EDIT: definition is not None and not (instance.has_ended or instance.status == Status.EXECUTING),
        Operation.PAUSE: not (instance.has_ended or instance.status == Status.PAUSED or _is_pausing(instance)),
        Operation.CANCEL: not instance.has_ended,
    }
    return PermittedOperations(tuple(operation for operation, is_allowed in allowed.items() if is_allowed), states)


def may_be_retried(state: str, definition: Definition | None) -> bool:
    """Return whether an instance that is FAILED in a state may be retried there; in an error state it has ended.

    Args:
        state: The state's name; an unknown state may be retried.
        definition: The instance's definition; None if it is not loaded.
    """
    known = definition.find_state(state) if definition else None
    return not (known and known.is_final)


def require_permitted(operation: Operation, instance: Instance, definition: Definition | None, *, now: int) -> None:
    """Refuse an operation that is not permitted now. A move is checked by the instance's status, not by its target.

    Raises:
        RefusedError: If it is not permitted; the message says why, and lists the operations that are.
    """
    allowed = compute_permitted_operations(instance, definition, now=now)
    if operation in allowed.operations or (operation == Operation.MOVE and _may_move(instance)):
        return
    raise build_refusal(
        operation, instance, _explain_refusal(operation, instance), [one.value for one in allowed.operations]
    )


def build_refusal(
    operation: Operation, instance: Instance, reason: str, alternatives: list[str], *, suggestion: str = ""
) -> RefusedError:
    """Return the error that says which operation is refused, why, and what is permitted instead.

    Args:
        operation: The refused operation.
        instance: The instance.
        reason: Why, without a full stop; refusals of many instances are grouped by it.
        alternatives: The operations or states that are permitted.
        suggestion: A sentence of ``format_suggestion``.
    """
    listed = f"Permitted: {', '.join(alternatives)}." if alternatives else "Nothing is permitted."
    message = f"{describe_instance(instance)} cannot be {_PARTICIPLES[operation]}: {reason}.{suggestion} {listed}"
    return RefusedError(message, alternatives, reason=reason)


def describe_instance(instance: Instance) -> str:
    """Return the name of an instance in messages."""
    return f"workflow {instance.id} ({instance.type}, {instance.status} in state {instance.state!r})"


def _explain_refusal(operation: Operation, instance: Instance) -> str:
    if operation == Operation.RETRY and instance.status == Status.FAILED:
        return "it ended in an error state, which has no transitions: only a forced move leads on from there"
    if operation == Operation.RETRY and instance.status == Status.IN_PROGRESS:
        return _DUE if instance.attempt else _NOT_FAILED
    if operation == Operation.ANSWER and instance.status == Status.WAITING:
        return "its state is not a manual state of the loaded definition: move it, or send the message it waits for"
    if instance.awaits_json is not None and instance.status is Status.WAITING:
        return _REFUSAL_REASONS[operation, instance.status].replace(_FOR_A_PERSON, _FOR_A_MESSAGE)
    return f"it has ended as {instance.status}" if instance.has_ended else _REFUSAL_REASONS[operation, instance.status]


def _may_move(instance: Instance) -> bool:
    return instance.status not in (Status.EXECUTING, Status.FINISHED, Status.CANCELLED)


def _is_pausing(instance: Instance) -> bool:
    return instance.status == Status.EXECUTING and instance.pause_requested


def _is_due(instance: Instance, now: int) -> bool:
    return (
        instance.gate is None
        and instance.next_activation_us is not None
        and instance.next_activation_us <= now
        and not instance.waits_for_children
    )


def _is_retrying(instance: Instance, now: int) -> bool:
    return instance.status == Status.IN_PROGRESS and instance.attempt > 0 and not _is_due(instance, now)
