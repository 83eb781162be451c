"""From what a handler returned to the ``Transition`` that follows from it."""

from __future__ import annotations

from typing import Any, NamedTuple

from flowlet.clock import microseconds
from flowlet.draft import nearest
from flowlet.engine.attempt import Attempt
from flowlet.engine.plan import Entry, Plan
from flowlet.engine.variables import Saved
from flowlet.errors import OutcomeError
from flowlet.fingerprints import fingerprint
from flowlet.instances import Action, ActionKind, NewInstance, Status
from flowlet.states import State
from flowlet.texts import REASON_LIMIT, cleaned
from flowlet.transitions import Outcome, Transition

__all__ = ["NOTHING_ELSE", "Effects", "chosen", "effects_of", "ended_here", "entered", "sent_back"]


class Effects(NamedTuple):
    """What a transition does besides entering a state.

    Attributes:
        text: Why this way was taken; cleaned.
        vars: The variables' JSON text, or None where they have not changed.
        changes: JSON text of what changed in them.
        read_vars: The changed variables, read anew.
        due: When the state is entered, in microseconds since 1970 UTC; None means at once.
        children: The children to create.
        waits_for_children: Whether the state is entered when the last open child has ended.
        wakes_parent: Whether the parent becomes due.
    """

    text: str | None = None
    vars: str | None = None
    changes: str | None = None
    read_vars: Any = None
    due: int | None = None
    children: tuple[NewInstance, ...] = ()
    waits_for_children: bool = False
    wakes_parent: bool = False


NOTHING_ELSE = Effects()


def chosen(plan: Plan, result: object, choice: str | None) -> tuple[Entry, Outcome | None]:
    """Return the state that a handler's result names, and the outcome where it says more than the state.

    Args:
        plan: The state whose handler it was.
        result: A state, an outcome, a state's name, or None for the choice or the only next state.
        choice: In a manual state, the name of the chosen state.

    Raises:
        OutcomeError: If the result is none of these, or ``next`` does not list the state.
    """
    outcome: Outcome | None = None
    if isinstance(result, State):
        name = _name_of(plan, result)
    elif isinstance(result, Outcome):
        outcome = result
        name = _name_of(plan, result.state)
    elif isinstance(result, str):
        name = result
    elif result is None:
        name = choice or plan.default or _unsaid(plan)
    else:
        raise OutcomeError(
            f"{_where(plan)} returned a value of type {type(result).__name__}, not a state. {_may(plan)}"
        )
    entry = plan.entries.get(name)
    if entry is None:
        raise OutcomeError(f"{_where(plan)} returned {cleaned(name, 120)!r}, {_not_listed(plan, name)} {_may(plan)}")
    return entry, outcome


def effects_of(
    plan: Plan, entry: Entry, outcome: Outcome | None, *, at: int, children: tuple[NewInstance, ...], variables: Saved
) -> Effects:
    """Return what an outcome, and the handler's variables, do besides entering the state.

    Args:
        plan: The state whose handler returned the outcome.
        entry: The state it names.
        outcome: None where the handler said no more than the state.
        at: When the attempt ended, in microseconds since 1970 UTC; delays count from there.
        children: What the outcome's requests have become.
        variables: What to store of the variables.

    Raises:
        OutcomeError: If a wait is put before a state that is not run: a manual one or an end.
    """
    if outcome is None:
        return (
            NOTHING_ELSE
            if variables[0] is None
            else Effects(vars=variables[0], changes=variables[1], read_vars=variables[2])
        )
    due = outcome.at_time if outcome.delay is None else at + microseconds(outcome.delay)
    if entry.status is not Status.EXECUTING and (due is not None or outcome.waits_for_children):
        waits = "a person" if entry.status is Status.WAITING else "nothing"
        raise OutcomeError(
            f"{_where(plan)} returned {entry.name!r} with a wait (after, at or when_children_end), "
            f"but the {entry.kind} state {entry.name!r} waits for {waits}. Put a state between the two."
        )
    return Effects(
        text=cleaned(outcome.text) if outcome.text else None,
        vars=variables[0],
        changes=variables[1],
        read_vars=variables[2],
        due=due,
        children=children,
        waits_for_children=outcome.waits_for_children,
        wakes_parent=outcome.wakes_parent,
    )


def entered(attempt: Attempt, entry: Entry, effects: Effects, *, before: tuple[Action, ...]) -> Transition:
    """Return the transition into a state, or into FAILED where the instance runs in circles.

    Args:
        attempt: The attempt that led there, ended.
        entry: The state to enter.
        effects: What else the transition does.
        before: The lines of history that precede the transition's own.
    """
    instance = attempt.instance
    status, next_activation = _standing(attempt, entry, effects)
    waits = effects.waits_for_children and instance.open_children + len(effects.children) > 0
    streak = instance.streak + 1 if status is Status.EXECUTING or (effects.waits_for_children and not waits) else 0
    if streak > attempt.policy.loop_limit:
        return _circling(attempt, before)
    action = Action(
        ActionKind.TRANSITION,
        attempt.at,
        from_state=instance.state,
        to_state=entry.name,
        text=effects.text,
        attempt=attempt.number,
        duration_ms=attempt.duration_ms,
        executor_id=attempt.executor_id,
        username=attempt.username,
        changes=effects.changes,
        version=attempt.policy.version,
    )
    reason = _reason(entry, effects)
    return Transition(
        instance=instance,
        state=entry.name,
        status=status,
        vars=effects.vars,
        next_activation=next_activation,
        attempt=0,
        visit=instance.visit + 1,
        streak=streak,
        answer=None,
        reason=reason,
        at=attempt.at,
        actions=(*before, action),
        children=effects.children,
        waits_for_children=effects.waits_for_children,
        wakes_parent=effects.wakes_parent,
        fingerprint=None if reason is None else fingerprint(instance.type, entry.name, reason),
        failed=None if reason is None else attempt.at,
        read_vars=effects.read_vars,
    )


def sent_back(attempt: Attempt) -> Transition:
    """Return an instance in a manual state to its wait: it was due, but the state has no deadline any more."""
    return _staying(attempt, Status.WAITING, actions=(), reason=None)


def ended_here(attempt: Attempt, entry: Entry) -> Transition:
    """Return the end of an instance whose state has become an end or error state since it got there."""
    text = f"{entry.name!r} is an {entry.kind} state in version {attempt.policy.version}: the instance ends here."
    action = Action(
        ActionKind.LOG,
        attempt.at,
        from_state=entry.name,
        text=text,
        executor_id=attempt.executor_id,
        version=attempt.policy.version,
    )
    return _staying(attempt, entry.status, actions=(action,), reason=_reason(entry, NOTHING_ELSE))


def _standing(attempt: Attempt, entry: Entry, effects: Effects) -> tuple[Status, int | None]:
    """Return the status in the entered state and the next activation."""
    if entry.status is not Status.EXECUTING:
        return entry.status, None if entry.deadline is None else attempt.at + entry.deadline
    if effects.waits_for_children:
        return Status.IN_PROGRESS, effects.due
    if effects.due is not None and effects.due > attempt.at:
        return Status.IN_PROGRESS, effects.due
    # The same next activation: a row that keeps its lease changes no column of an index, which is cheap on PostgreSQL.
    return Status.EXECUTING, attempt.instance.next_activation


def _reason(entry: Entry, effects: Effects) -> str | None:
    if entry.status is not Status.FAILED:
        return None
    return cleaned(effects.text or entry.description or f"it reached the error state {entry.name!r}", REASON_LIMIT)


def _circling(attempt: Attempt, before: tuple[Action, ...]) -> Transition:
    reason = (
        f"it made {attempt.policy.loop_limit:,} transitions without any wait: is it running in circles? "
        f"Put a wait into the circle (after, at), or raise loop_limit of its Workflow."
    )
    action = Action(
        ActionKind.FAILED,
        attempt.at,
        from_state=attempt.instance.state,
        text=reason,
        executor_id=attempt.executor_id,
        version=attempt.policy.version,
    )
    return _staying(attempt, Status.FAILED, actions=(*before, action), reason=reason)


def _staying(attempt: Attempt, status: Status, *, actions: tuple[Action, ...], reason: str | None) -> Transition:
    instance = attempt.instance
    return Transition(
        instance=instance,
        state=instance.state,
        status=status,
        vars=None,
        next_activation=None,
        attempt=0,
        visit=instance.visit,
        streak=0,
        answer=instance.answer,
        reason=reason,
        at=attempt.at,
        actions=actions,
        fingerprint=None if reason is None else fingerprint(instance.type, instance.state, reason),
        failed=None if reason is None else attempt.at,
    )


def _name_of(plan: Plan, state: State[..., Any]) -> str:
    name = plan.definition.name_of(state)
    if name is None:
        raise OutcomeError(f"{_where(plan)} returned {state!r}, which is a state of another module. {_may(plan)}")
    return name


def _unsaid(plan: Plan) -> str:
    raise OutcomeError(
        f"{_where(plan)} returned nothing, which is enough only where exactly one next state is declared. {_may(plan)}"
    )


def _not_listed(plan: Plan, name: str) -> str:
    if name in plan.definition.states:
        return "which its next states do not list."
    near = nearest(name, plan.entries)
    return "which is no state here." + (f" Did you mean {near!r}?" if near else "")


def _where(plan: Plan) -> str:
    return f"{plan.state.file}:{plan.state.line}: state {plan.state.name!r}"


def _may(plan: Plan) -> str:
    return f"Permitted: {', '.join(plan.entries)}."
