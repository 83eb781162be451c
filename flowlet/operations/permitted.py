"""The operations that are permitted on an instance now, and the refusal of the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.errors import RefusedError
from flowlet.instance.instance import Instance, Status
from flowlet.instance.limit_gate import is_limit_gate

__all__ = [
    "Operation",
    "PermittedOperations",
    "build_refusal",
    "compute_permitted_operations",
    "describe_instance",
    "explain_if_refused",
    "is_in_final_state",
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
    ACKNOWLEDGE = "acknowledge"
    ABORT = "abort"


_PARTICIPLES = {
    Operation.ANSWER: "answered",
    Operation.MOVE: "moved",
    Operation.PAUSE: "paused",
    Operation.RESUME: "resumed",
    Operation.CANCEL: "cancelled",
    Operation.RETRY: "retried",
    Operation.WAKE: "woken",
    Operation.EDIT: "edited",
    Operation.ACKNOWLEDGE: "closed",
    Operation.ABORT: "aborted",
}
_NOT_PAUSED = "it is not paused"
_NOT_FAILED = "none of its attempts has failed"
_NOT_ASKING = "it does not wait for an answer"
_FOR_A_PERSON = "it waits for a person: answer it or move it"
_FOR_A_MESSAGE = "it waits for a message: send it or move it"
_HELD = "it is paused: resume it first"
_DUE = "it is already due and waits for an executor"
_RUNNING = "its activation is running: wait until it ends, or abort it"
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
    may_answer = instance.status == Status.WAITING and state is not None and state.is_manual
    may_move = _may_move(instance) and not _is_restricted(state)
    states = state.targets if state and (may_move or may_answer) else ()
    allowed = {
        Operation.ANSWER: may_answer,
        Operation.MOVE: may_move and bool(states),
        Operation.RESUME: instance.status == Status.PAUSED or _is_pausing(instance),
        Operation.RETRY: instance.status == Status.FAILED or _is_retrying(instance, now),
        Operation.ABORT: instance.status == Status.EXECUTING,
        Operation.WAKE: instance.status in (Status.NEW, Status.IN_PROGRESS) and not _is_due(instance, now),
        Operation.EDIT: definition is not None and not (instance.has_ended or instance.status == Status.EXECUTING),
        Operation.PAUSE: not (instance.has_ended or instance.status == Status.PAUSED or _is_pausing(instance)),
        Operation.CANCEL: not instance.has_ended,
        Operation.ACKNOWLEDGE: instance.status == Status.FAILED and instance.fingerprint is not None,
    }
    return PermittedOperations(tuple(operation for operation, is_allowed in allowed.items() if is_allowed), states)


def is_in_final_state(instance: Instance, definition: Definition | None) -> bool:
    """Return whether an instance is in an end or error state, as far as its definition is loaded."""
    state = definition.find_state(instance.state) if definition else None
    return state is not None and state.is_final


def explain_if_refused(
    operation: Operation, instance: Instance, definition: Definition | None, *, now: int, target: str = ""
) -> str | None:
    """Return why an operation would be refused now, as its refusal would; None if it is permitted.

    Args:
        operation: The operation.
        instance: The instance.
        definition: Its definition; None if it is not loaded.
        now: The store's time, in microseconds since 1970 UTC.
        target: The state of a move.
    """
    allowed = compute_permitted_operations(instance, definition, now=now)
    if operation == Operation.MOVE and _may_move(instance):
        if definition is None:
            return "its workflow is not loaded here"
        if reason := _explain_restriction(instance, definition):
            return reason
        if definition.resolve(target) in allowed.states:
            return None
        return f"no transition leads from {instance.state!r} to {target!r}"
    return None if operation in allowed.operations else _explain_refusal(operation, instance)


def require_permitted(operation: Operation, instance: Instance, definition: Definition | None, *, now: int) -> None:
    """Refuse an operation that is not permitted now. A move is checked by the instance's state, not by its target.

    Raises:
        RefusedError: If it is not permitted; the message says why, and lists the operations that are.
    """
    allowed = compute_permitted_operations(instance, definition, now=now)
    reason = _explain_restriction(instance, definition) if operation == Operation.MOVE else None
    if operation in allowed.operations or (operation == Operation.MOVE and _may_move(instance) and not reason):
        return
    reason = reason or _explain_refusal(operation, instance)
    raise build_refusal(operation, instance, reason, [one.value for one in allowed.operations])


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
    if operation == Operation.ACKNOWLEDGE:
        is_closed = instance.status == Status.FAILED
        return "its failure is closed already" if is_closed else f"it has not failed, it is {instance.status}"
    if operation == Operation.ABORT:
        return "none of its attempts is running"
    if operation == Operation.RETRY and instance.status == Status.IN_PROGRESS:
        return _DUE if instance.attempt else _NOT_FAILED
    if operation == Operation.ANSWER and instance.status == Status.WAITING:
        return "its state is not a manual state of the loaded definition: move it, or send the message it waits for"
    if instance.awaits_json is not None and instance.status is Status.WAITING:
        return _REFUSAL_REASONS[operation, instance.status].replace(_FOR_A_PERSON, _FOR_A_MESSAGE)
    return f"it has ended as {instance.status}" if instance.has_ended else _REFUSAL_REASONS[operation, instance.status]


def _explain_restriction(instance: Instance, definition: Definition | None) -> str | None:
    """Return why an instance cannot be moved out of a question that not everybody may decide; None if it can be."""
    state = definition.find_state(instance.state) if definition else None
    if state is None or not _may_move(instance) or not _is_restricted(state):
        return None
    return f"not everybody may decide {state.name!r}: answer it, or force the move"


def _is_restricted(state: StateDefinition | None) -> bool:
    """Return whether not everybody may decide a state: while it waits, and until the instance has left it."""
    return state is not None and state.question is not None and state.question.is_restricted


def _may_move(instance: Instance) -> bool:
    return instance.status not in (Status.EXECUTING, Status.FINISHED, Status.CANCELLED)


def _is_pausing(instance: Instance) -> bool:
    return instance.status == Status.EXECUTING and instance.pause_requested


def _is_due(instance: Instance, now: int) -> bool:
    return (
        (instance.gate is None or is_limit_gate(instance.gate))
        and instance.next_activation_us is not None
        and instance.next_activation_us <= now
        and not instance.waits_for_children
    )


def _is_retrying(instance: Instance, now: int) -> bool:
    return instance.status == Status.IN_PROGRESS and instance.attempt > 0 and not _is_due(instance, now)
