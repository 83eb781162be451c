"""What each operation makes of an instance: the change that is written, and the line of history. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from flowlet.clock import microseconds
from flowlet.definition import Definition, StateDefinition, validated
from flowlet.draft import nearest
from flowlet.engine.plan import entry_of
from flowlet.errors import RefusedError, UnknownStateError, VariablesError
from flowlet.fingerprints import fingerprint
from flowlet.instances import ENDED, Action, ActionKind, Instance, Status
from flowlet.permitted import Operation, called, refusal, refuse_unless
from flowlet.store.changes import Change
from flowlet.texts import REASON_LIMIT, cleaned

__all__ = ["Answer", "By", "Move", "answered", "cancelled", "line", "moved", "paused", "resumed", "retried", "woken"]

USERNAME_LIMIT = 255


@dataclass(frozen=True, slots=True)
class By:
    """Who operates, and when: the store's time in microseconds since 1970 UTC. The name is cleaned here."""

    username: str
    at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "username", cleaned(self.username, USERNAME_LIMIT))


@dataclass(frozen=True, slots=True)
class Answer:
    """A choice in a manual state, and the values of its form."""

    choice: str
    form: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """Where an operator moves an instance. ``due`` is None for at once; a move with force needs a reason."""

    state: str
    due: int | None
    is_forced: bool
    reason: str | None

    def __post_init__(self) -> None:
        if self.is_forced and not (self.reason and self.reason.strip()):
            raise RefusedError("a forced move needs a reason, which goes into the history: give one")


def answered(instance: Instance, definition: Definition, answer: Answer, by: By) -> Change:
    """Return what an answer makes of an instance in a manual state: due at once, to run the state's handler.

    Raises:
        RefusedError: If it does not wait for an answer, or the choice is none of its state's.
        VariablesError: If the form's values do not fit, or the state has no form.
    """
    refuse_unless(Operation.ANSWER, instance, definition, now=by.at)
    state = definition.states[instance.state]
    if not state.permits(answer.choice):
        raise refusal(Operation.ANSWER, instance, _no_choice(state, answer.choice), list(state.targets))
    document = {"choice": answer.choice, "form": _checked_form(state, answer.form), "username": by.username}
    label = next(edge.label for edge in state.transitions if edge.target == answer.choice)
    action = line(
        ActionKind.ANSWERED, instance, by, to_state=answer.choice, text=label or None, version=definition.version
    )
    after = replace(
        instance,
        status=Status.IN_PROGRESS,
        next_activation=by.at,
        attempt=0,
        answer=orjson.dumps(document).decode(),
        reason=None,
        modified=by.at,
        fingerprint=None,
        failed=None,
    )
    return Change(instance, after, (action,))


def moved(instance: Instance, definition: Definition, move: Move, by: By) -> Change:
    """Return what an operator's move makes of an instance; one that is paused stays so, unless it ends.

    Raises:
        UnknownStateError: If the definition has no such state; the nearest name is suggested.
        RefusedError: If it may not be moved there without force, or is to enter a state later that is not run.
    """
    target = _known_state(definition, move.state)
    origin = definition.states.get(instance.state)
    is_edge = origin is not None and origin.permits(target.name)
    if not move.is_forced:
        refuse_unless(Operation.MOVE, instance, definition, now=by.at)
        if not is_edge:
            states = list(origin.targets) if origin else []
            why = f"no transition leads from {instance.state!r} to {target.name!r}: choose another state, or force it"
            raise refusal(Operation.MOVE, instance, why, states)
    action = line(
        ActionKind.MOVED if is_edge else ActionKind.FORCED,
        instance,
        by,
        to_state=target.name,
        text=_text(move.reason),
        version=definition.version,
    )
    return Change(instance, _standing_in(instance, target, move, by), (action,))


def paused(instance: Instance, definition: Definition | None, by: By, *, reason: str | None) -> Change:
    """Return what a pause makes of an instance: PAUSED, or a request to its running activation, which ends first.

    Raises:
        RefusedError: If it has ended, is paused, or is asked to pause already.
    """
    refuse_unless(Operation.PAUSE, instance, definition, now=by.at)
    action = line(ActionKind.PAUSED, instance, by, text=_text(reason))
    if instance.status == Status.EXECUTING:
        after = replace(instance, pause_requested=True, modified=by.at)
        return Change(instance, after, (action,), keeps_version=True)
    after = replace(instance, status=Status.PAUSED, held_status=instance.status, modified=by.at)
    return Change(instance, after, (action,))


def resumed(instance: Instance, definition: Definition | None, by: By) -> Change:
    """Return what resuming makes of an instance: the status it was held in, or no request to pause any more.

    Raises:
        RefusedError: If it is neither paused nor asked to pause.
    """
    refuse_unless(Operation.RESUME, instance, definition, now=by.at)
    action = line(ActionKind.RESUMED, instance, by)
    if instance.status == Status.EXECUTING:
        after = replace(instance, pause_requested=False, modified=by.at)
        return Change(instance, after, (action,), keeps_version=True)
    held = instance.held_status or Status.IN_PROGRESS
    return Change(instance, replace(instance, status=held, held_status=None, modified=by.at), (action,))


def cancelled(instance: Instance, definition: Definition | None, by: By, *, reason: str | None) -> Change:
    """Return what a cancel makes of an instance: ended at once, whoever holds it.

    Raises:
        RefusedError: If it has ended already.
    """
    refuse_unless(Operation.CANCEL, instance, definition, now=by.at)
    action = line(ActionKind.CANCELLED, instance, by, text=_text(reason))
    after = replace(
        _taken(instance),
        status=Status.CANCELLED,
        next_activation=None,
        waits_for_children=False,
        reason=cleaned(reason or f"cancelled by {by.username}", REASON_LIMIT),
        modified=by.at,
        ended=by.at,
        fingerprint=None,
        failed=None,
    )
    return Change(instance, after, (action,))


def retried(instance: Instance, definition: Definition | None, by: By) -> Change:
    """Return what a retry makes of an instance: due at once in the state it is in.

    One that is FAILED begins to count its attempts anew. A manual state that failed without an answer waits for one
    again, with a new deadline, where the definition is loaded here.

    Raises:
        RefusedError: If no attempt has failed, or it ended in an error state.
    """
    refuse_unless(Operation.RETRY, instance, definition, now=by.at)
    action = line(ActionKind.RETRIED, instance, by)
    after = replace(
        instance, status=Status.IN_PROGRESS, next_activation=by.at, waits_for_children=False, modified=by.at
    )
    if instance.status == Status.IN_PROGRESS:
        return Change(instance, after, (action,))
    state = definition.states.get(instance.state) if definition else None
    if state and state.is_manual and instance.answer is None:
        after = replace(after, status=Status.WAITING, next_activation=_deadline(state, by))
    after = replace(after, attempt=0, streak=0, crashes=0, reason=None, ended=None, fingerprint=None, failed=None)
    return Change(instance, after, (action,))


def woken(instance: Instance, definition: Definition | None, by: By) -> Change:
    """Return what "run now" makes of an instance: due at once, without waiting for its timer or its children.

    Raises:
        RefusedError: If it waits for neither.
    """
    refuse_unless(Operation.WAKE, instance, definition, now=by.at)
    after = replace(instance, next_activation=by.at, waits_for_children=False, modified=by.at)
    return Change(instance, after, (line(ActionKind.WOKEN, instance, by),))


def line(
    kind: ActionKind,
    instance: Instance,
    by: By,
    *,
    to_state: str | None = None,
    text: str | None = None,
    changes: str | None = None,
    version: int | None = None,
) -> Action:
    """Return the line of history that tells what was done with an instance, and by whom."""
    return Action(
        kind,
        by.at,
        from_state=instance.state,
        to_state=to_state,
        text=text,
        username=by.username,
        changes=changes,
        version=version or instance.definition_version,
    )


def _standing_in(instance: Instance, target: StateDefinition, move: Move, by: By) -> Instance:
    """Return the instance as it stands in the state it was moved to."""
    entry = entry_of(target)
    if move.due is not None and entry.status is not Status.EXECUTING:
        waits = "waits for a person" if entry.status is Status.WAITING else "ends it"
        raise RefusedError(
            f"{called(instance)} cannot be moved to {target.name!r} at a later time: this {entry.kind} state {waits}. "
            "Leave out when."
        )
    status = Status.IN_PROGRESS if entry.status is Status.EXECUTING else entry.status
    is_held = status not in ENDED and (instance.status is Status.PAUSED or instance.pause_requested)
    reached = move.reason or entry.description or f"it was moved to the error state {target.name!r}"
    reason = cleaned(reached, REASON_LIMIT) if status is Status.FAILED else None
    return replace(
        _taken(instance) if move.is_forced else replace(instance, held_status=None),
        status=Status.PAUSED if is_held else status,
        held_status=status if is_held else None,
        state=target.name,
        next_activation=max(by.at, move.due or 0) if status is Status.IN_PROGRESS else _deadline(target, by),
        attempt=0,
        visit=instance.visit + 1,
        streak=0,
        crashes=0,
        waits_for_children=False,
        answer=None,
        reason=reason,
        modified=by.at,
        ended=by.at if status in ENDED else None,
        fingerprint=None if reason is None else fingerprint(instance.type, target.name, reason),
        failed=None if reason is None else by.at,
    )


def _deadline(state: StateDefinition, by: By) -> int | None:
    return None if state.deadline is None else by.at + microseconds(state.deadline)


def _taken(instance: Instance) -> Instance:
    """Return an instance that nobody holds any more: the token is moved, so that who held it writes nothing."""
    return replace(instance, executor_id=None, token=instance.token + 1, pause_requested=False, held_status=None)


def _known_state(definition: Definition, name: str) -> StateDefinition:
    if found := definition.states.get(name):
        return found
    near = nearest(name, definition.states)
    guess = f" Did you mean {near!r}?" if near else ""
    raise UnknownStateError(
        f"{definition.name} version {definition.version} has no state {cleaned(name, 120)!r}.{guess} "
        f"It has: {', '.join(definition.states)}."
    )


def _no_choice(state: StateDefinition, choice: str) -> str:
    near = nearest(choice, state.targets)
    guess = f", did you mean {near!r}?" if near else ""
    return f"{cleaned(choice, 120)!r} is no choice of {state.name!r}{guess}"


def _checked_form(state: StateDefinition, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form's values as they were given, once they have been read against the model."""
    subject = f"the form of {state.name!r}"
    if not isinstance(form, Mapping):
        raise VariablesError(subject, {"": f"has to be an object, not {type(form).__name__}"})
    if state.form is not None:
        validated(state.form, form, subject)
    elif form:
        raise VariablesError(subject, {cleaned(name, 120): "this state has no form: leave it out" for name in form})
    return dict(form)


def _text(reason: str | None) -> str | None:
    return cleaned(reason) if reason else None
