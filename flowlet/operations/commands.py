"""The change that each operation makes to an instance, and its line of history. This module does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowlet.accounts.access import get_access
from flowlet.clock import limit_time, to_microseconds
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.definition.entry import build_state_entry
from flowlet.errors import RefusedError, UnknownStateError, VariablesError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.fingerprint import compute_fingerprint
from flowlet.instance.instance import ENDED_STATUSES, Instance, Status
from flowlet.instance.json_text import write_json
from flowlet.operations.people.entries import with_inbox_entry
from flowlet.operations.permitted import Operation, build_refusal, describe_instance, require_permitted
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_NAME_LENGTH, MAX_REASON_LENGTH, clean_text, format_suggestion

__all__ = [
    "Answer",
    "Attribution",
    "Move",
    "apply_answer",
    "apply_cancel",
    "apply_move",
    "apply_pause",
    "apply_resume",
    "build_action",
    "compute_deadline",
    "enter_state",
]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who runs an operation, and when: the store's time in microseconds since 1970 UTC. The name is cleaned here.

    ``on_behalf_of`` is the person for whom an API key acts; None for its owner.
    """

    username: str
    at: int
    on_behalf_of: str | None = field(default_factory=lambda: get_access().on_behalf_of)

    def __post_init__(self) -> None:
        object.__setattr__(self, "username", clean_text(self.username, MAX_IDENTIFIER_LENGTH))

    @property
    def person(self) -> str:
        """The person who runs it: what teams, four eyes and votes compare."""
        return self.on_behalf_of or self.username


@dataclass(frozen=True, slots=True)
class Answer:
    """A choice in a manual state, and the values of its form."""

    choice: str
    form: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """Where an operator moves an instance. ``run_at`` is None for at once; a forced move needs a reason."""

    state: str
    run_at: int | None
    is_forced: bool
    reason: str | None

    def __post_init__(self) -> None:
        if self.is_forced and not (self.reason and self.reason.strip()):
            raise RefusedError("a forced move needs a reason: it is recorded in the history")


def apply_answer(instance: Instance, definition: Definition, attribution: Attribution, *, answer: Answer) -> Change:
    """Return the change of an answer to an instance in a manual state: due at once, to run the handler.

    Raises:
        RefusedError: If the instance does not wait for an answer, or its state does not have this choice.
        VariablesError: If the form's values do not fit the model, or the state has no form.
    """
    require_permitted(Operation.ANSWER, instance, definition, now=attribution.at)
    state = definition.get_state(instance.state)
    choice = definition.resolve(answer.choice)
    if not state.has_transition_to(choice):
        why = f"{clean_text(answer.choice, MAX_NAME_LENGTH)!r} is not a choice of {state.name!r}"
        suggestion = format_suggestion(answer.choice, state.targets)
        raise build_refusal(Operation.ANSWER, instance, why, list(state.targets), suggestion=suggestion)
    given = {"choice": choice, "form": _validate_form(state, answer.form)}
    label = next(edge.label for edge in state.transitions if edge.target == choice)
    action = build_action(
        ActionKind.ANSWERED,
        instance,
        attribution,
        to_state=choice,
        text=label or None,
        version=definition.version,
    )
    action = replace(action, answer_json=write_json(given))
    after = replace(
        instance,
        status=Status.IN_PROGRESS,
        next_activation_us=attribution.at,
        attempt=0,
        answer_json=write_json({**given, "username": attribution.person}),
        reason=None,
        modified_us=attribution.at,
        fingerprint=None,
        failed_us=None,
    )
    return Change(instance, after, (action,))


def apply_move(instance: Instance, definition: Definition, attribution: Attribution, *, move: Move) -> Change:
    """Return the change of a move by an operator; a paused instance stays paused, unless it ends.

    Raises:
        UnknownStateError: If the definition has no such state; the nearest name is suggested.
        RefusedError: If the move is not permitted without force, or has a time but the state has no handler to run.
    """
    target = _find_state(definition, move.state)
    origin = definition.find_state(instance.state)
    is_edge = origin is not None and origin.has_transition_to(target.name)
    if not move.is_forced:
        require_permitted(Operation.MOVE, instance, definition, now=attribution.at)
        if not is_edge:
            states = list(origin.targets) if origin else []
            edge = f"from {instance.state!r} to {target.name!r}"
            why = f"no transition leads {edge}: choose another state, or force the move"
            raise build_refusal(Operation.MOVE, instance, why, states)
    action = build_action(
        ActionKind.MOVED if is_edge else ActionKind.FORCED,
        instance,
        attribution,
        to_state=target.name,
        text=_clean_reason(move.reason),
        version=definition.version,
    )
    return with_inbox_entry(Change(instance, enter_state(instance, target, move, attribution), (action,)), definition)


def apply_pause(
    instance: Instance, definition: Definition | None, attribution: Attribution, *, reason: str | None
) -> Change:
    """Return the change of a pause: PAUSED, or a request for it while an activation runs, which finishes first.

    Raises:
        RefusedError: If the instance has ended, is paused, or has a pause requested.
    """
    require_permitted(Operation.PAUSE, instance, definition, now=attribution.at)
    action = build_action(ActionKind.PAUSED, instance, attribution, text=_clean_reason(reason))
    if instance.status == Status.EXECUTING:
        after = replace(instance, pause_requested=True)  # not modified: its attempt has been running as long as before
        return Change(instance, after, (action,), keeps_version=True)
    after = replace(instance, status=Status.PAUSED, held_status=instance.status, modified_us=attribution.at)
    return Change(instance, after, (action,))


def apply_resume(instance: Instance, definition: Definition | None, attribution: Attribution) -> Change:
    """Return the change of a resume: the status before the pause, or the end of a requested pause.

    Raises:
        RefusedError: If the instance is not paused and has no pause requested.
    """
    require_permitted(Operation.RESUME, instance, definition, now=attribution.at)
    action = build_action(ActionKind.RESUMED, instance, attribution)
    if instance.status == Status.EXECUTING:
        after = replace(instance, pause_requested=False)
        return Change(instance, after, (action,), keeps_version=True)
    held = instance.held_status or Status.IN_PROGRESS
    return Change(instance, replace(instance, status=held, held_status=None, modified_us=attribution.at), (action,))


def apply_cancel(
    instance: Instance, definition: Definition | None, attribution: Attribution, *, reason: str | None
) -> Change:
    """Return the change of a cancel: the instance ends at once, even while an executor holds it.

    Raises:
        RefusedError: If the instance has already ended.
    """
    require_permitted(Operation.CANCEL, instance, definition, now=attribution.at)
    action = build_action(ActionKind.CANCELLED, instance, attribution, text=_clean_reason(reason))
    after = replace(
        _revoke_lease(instance),
        status=Status.CANCELLED,
        gate=None,
        next_activation_us=None,
        wake_at_open_children=None,
        awaits_json=None,
        message_id=None,
        reason=clean_text(reason or f"cancelled by {attribution.person}", MAX_REASON_LENGTH),
        modified_us=attribution.at,
        ended_us=attribution.at,
        fingerprint=None,
        failed_us=None,
    )
    return Change(instance, after, (action,))


def build_action(
    kind: ActionKind,
    instance: Instance,
    attribution: Attribution,
    *,
    to_state: str | None = None,
    text: str | None = None,
    changes: str | None = None,
    version: int | None = None,
) -> Action:
    """Return the line of history that records an operation and who ran it."""
    return Action(
        kind,
        attribution.at,
        from_state=instance.state,
        to_state=to_state,
        text=text,
        username=attribution.username,
        on_behalf_of=attribution.on_behalf_of,
        changes_json=changes,
        version=version or instance.definition_version,
    )


def enter_state(instance: Instance, target: StateDefinition, move: Move, attribution: Attribution) -> Instance:
    """Return the instance in the state to which it is moved.

    Args:
        instance: The instance as it is.
        target: The state.
        move: How it gets there.
        attribution: Who moves it, and when.

    Raises:
        RefusedError: If the move has a time, but the state has no handler to run.
    """
    entry = build_state_entry(target)
    if move.run_at is not None and entry.status is not Status.EXECUTING:
        waits = "waits for a message" if entry.messages else "waits for a person"
        effect = waits if entry.status is Status.WAITING else "ends it"
        raise RefusedError(
            f"{describe_instance(instance)} cannot be moved to {target.name!r} at a later time: "
            f"this {entry.kind} state {effect}. Leave out the time."
        )
    # In a receive state an activation looks for a message first.
    status = Status.IN_PROGRESS if entry.status is Status.EXECUTING or entry.messages else entry.status
    is_held = status not in ENDED_STATUSES and (instance.status is Status.PAUSED or instance.pause_requested)
    reached = move.reason or entry.description or f"it was moved to the error state {target.name!r}"
    reason = clean_text(reached, MAX_REASON_LENGTH) if status is Status.FAILED else None
    return replace(
        _revoke_lease(instance) if move.is_forced else replace(instance, held_status=None),
        status=Status.PAUSED if is_held else status,
        held_status=status if is_held else None,
        state=target.name,
        gate=None,
        next_activation_us=max(attribution.at, move.run_at or 0)
        if status is Status.IN_PROGRESS
        else compute_deadline(target, attribution),
        attempt=0,
        visit=instance.visit + 1,
        streak=0,
        crashes=0,
        wake_at_open_children=None,
        answer_json=None,
        awaits_json=None,
        unread_seen=0,
        message_id=None,
        reason=reason,
        modified_us=attribution.at,
        ended_us=attribution.at if status in ENDED_STATUSES else None,
        fingerprint=None if reason is None else compute_fingerprint(instance.type, target.name, reason),
        failed_us=None if reason is None else attribution.at,
    )


def compute_deadline(state: StateDefinition, attribution: Attribution) -> int | None:
    """Return the deadline of a state that is entered now, in microseconds since 1970 UTC; None if it has none."""
    return None if state.deadline is None else limit_time(attribution.at + to_microseconds(state.deadline))


def _revoke_lease(instance: Instance) -> Instance:
    """Return an instance that no executor holds: with a new token, so that the former holder writes nothing."""
    return replace(instance, executor_id=None, token=instance.token + 1, pause_requested=False, held_status=None)


def _find_state(definition: Definition, name: str) -> StateDefinition:
    if found := definition.find_state(name):
        return found
    raise UnknownStateError(
        f"{definition.name} version {definition.version} has no state {clean_text(name, MAX_NAME_LENGTH)!r}."
        f"{format_suggestion(name, definition.states)} It has: {', '.join(definition.states)}."
    )


def _validate_form(state: StateDefinition, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a form to store, after validating them against its model."""
    subject = f"the form of {state.name!r}"
    if not isinstance(form, Mapping):
        raise VariablesError(subject, {"": f"has to be an object, not {type(form).__name__}"})
    if state.form_codec is not None:
        return state.form_codec.accept(form)
    if form:
        raise VariablesError(
            subject, {clean_text(name, MAX_NAME_LENGTH): "this state has no form: leave it out" for name in form}
        )
    return {}


def _clean_reason(reason: str | None) -> str | None:
    return clean_text(reason) if reason else None
