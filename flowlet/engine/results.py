"""From the result of a handler to the ``Transition`` that follows from it."""

from __future__ import annotations

from typing import Any, NamedTuple

from flowlet.clock import limit_time, to_microseconds
from flowlet.definition.entry import StateEntry
from flowlet.definition.variables import SavedVariables
from flowlet.engine.attempt import Attempt
from flowlet.engine.children import NO_SPAWN, Spawn
from flowlet.engine.messages.effects import build_entry_messages, keep_message
from flowlet.engine.people.entries import build_entry_inbox
from flowlet.engine.plan import Plan
from flowlet.errors import OutcomeError
from flowlet.instance.action import Action, ActionKind, make_action
from flowlet.instance.fingerprint import compute_fingerprint
from flowlet.instance.inbox_entry import InboxEffects
from flowlet.instance.instance import Status
from flowlet.instance.snapshots import record_change
from flowlet.instance.transition import Transition, make_transition
from flowlet.text import MAX_NAME_LENGTH, MAX_REASON_LENGTH, clean_text, format_suggestion, mask_secrets
from flowlet.workflow.outcome import ChildrenWait, Outcome
from flowlet.workflow.states import State

__all__ = [
    "NO_EFFECTS",
    "TransitionEffects",
    "build_effects",
    "end_instance",
    "enter_state",
    "pass_deadline",
    "resolve_next_state",
    "return_to_wait",
]


class TransitionEffects(NamedTuple):
    """The effects of a transition besides entering a state.

    Attributes:
        text: Why this transition was taken; cleaned.
        vars: The variables' JSON text, or None where they have not changed.
        changes: JSON text of their changes, a list of ``PathChange``.
        read_vars: The changed variables, parsed again.
        vars_version: The version of the variables; None if they have not been migrated.
        due: When the state is run, in microseconds since 1970 UTC; None means at once.
        spawn: The children to create.
        wait: Whether the state is entered when children have ended, and how many; None if it waits for none.
        wakes_parent: Whether the parent becomes due.
        is_without_handler: Whether no handler led there, as at a deadline; the line of history then has no duration.
    """

    text: str | None = None
    vars: str | None = None
    changes: str | None = None
    read_vars: Any = None
    vars_version: int | None = None
    due: int | None = None
    spawn: Spawn = NO_SPAWN
    wait: ChildrenWait | None = None
    wakes_parent: bool = False
    is_without_handler: bool = False


NO_EFFECTS = TransitionEffects()
_EXECUTING, _FAILED, _TRANSITION = Status.EXECUTING, Status.FAILED, ActionKind.TRANSITION
"""Each transition reads them, which takes a tenth of a microsecond from an enum of Python 3.11."""


def resolve_next_state(plan: Plan, result: object, choice: str | None) -> tuple[StateEntry, Outcome | None]:
    """Return the state that a handler's result names, and the outcome where the result is one.

    Args:
        plan: The state whose handler it was.
        result: A state, an outcome, a state's present or former name, or None for the choice or the only next state.
        choice: In a manual state, the name of the chosen state.

    Raises:
        OutcomeError: If the result is none of these, or ``next`` does not list the state.
    """
    outcome: Outcome | None = None
    if isinstance(result, State):
        name = _get_state_name(plan, result)
    elif isinstance(result, Outcome):
        outcome = result
        name = _get_state_name(plan, result.state)
    elif isinstance(result, str):
        name = result
    elif result is None:
        name = choice or plan.default_state or _raise_missing_result(plan)
    else:
        raise _build_error(plan, f"a value of type {type(result).__name__}, not a state.")
    entry = plan.entries.get(name) or plan.entries.get(plan.definition.resolve(name))
    if entry is None:
        raise _build_error(plan, f"{clean_text(name, MAX_NAME_LENGTH)!r}, {_explain_unlisted(plan, name)}")
    return entry, outcome


def build_effects(
    plan: Plan,
    entry: StateEntry,
    outcome: Outcome | None,
    *,
    ended_at: int,
    spawn: Spawn,
    variables: SavedVariables,
) -> TransitionEffects:
    """Return the effects of an outcome, and of the handler's variables, besides entering the state.

    Args:
        plan: The state whose handler returned the outcome.
        entry: The state it names.
        outcome: None where the handler returned no more than the state.
        ended_at: When the attempt ended, in microseconds since 1970 UTC; delays count from there.
        spawn: The children to create, from the outcome's requests.
        variables: The variables to store.

    Raises:
        OutcomeError: If the outcome waits before a state that is not run: a manual or receive state, or an end.
    """
    if outcome is None:
        return (
            NO_EFFECTS
            if variables[0] is None
            else TransitionEffects(None, *variables)  # by their places: in each transition
        )
    due = (
        outcome.enter_at_us
        if outcome.enter_after is None
        else limit_time(ended_at + to_microseconds(outcome.enter_after))
    )
    if entry.status is not _EXECUTING and (due is not None or outcome.wait is not None):
        waits = "nothing" if entry.status is not Status.WAITING else "a message" if entry.messages else "a person"
        raise OutcomeError(
            f"{_describe_location(plan)} returned {entry.name!r} with a wait (after, at or when_children_end), "
            f"but the {entry.kind} state {entry.name!r} waits for {waits}. Put a state between the two."
        )
    return TransitionEffects(
        text=clean_text(mask_secrets(outcome.text)) if outcome.text else None,
        vars=variables[0],
        changes=variables[1],
        read_vars=variables[2],
        due=due,
        spawn=spawn,
        wait=outcome.wait,
        wakes_parent=outcome.wakes_parent,
    )


def enter_state(
    attempt: Attempt, entry: StateEntry, effects: TransitionEffects, *, preceding_actions: tuple[Action, ...]
) -> Transition:
    """Return the transition into a state, or to FAILED where the instance runs in circles.

    Args:
        attempt: The attempt that led there, ended.
        entry: The state to enter.
        effects: The other effects of the transition.
        preceding_actions: The lines of history that precede the transition's own.
    """
    instance = attempt.instance
    status, next_activation = _compute_status(attempt, entry, effects)
    open_children = instance.open_children + effects.spawn.total
    waits_for_none = effects.wait is not None and open_children == 0
    streak = instance.streak + 1 if status is _EXECUTING or waits_for_none else 0
    if streak > attempt.policy.loop_limit:
        return _build_loop_failure(attempt, preceding_actions)
    gate = None
    if entry.limits is not None:
        gate = entry.limits.build_gate(instance.vars_json if effects.vars is None else effects.vars)
        if status is _EXECUTING:  # the lease ends, and a slot of the limit begins another one
            status, next_activation = Status.IN_PROGRESS, attempt.ended_at
    snapshot, unsnapped = None, None
    if effects.vars is not None and effects.changes is not None:
        snapshot, unsnapped = record_change(effects.vars, effects.changes, unsnapped=instance.unsnapped_characters)
    action = make_action(
        _TRANSITION,
        attempt.ended_at,
        from_state=instance.state,
        to_state=entry.name,
        text=effects.text,
        attempt=attempt.number,
        duration_ms=None if effects.is_without_handler else attempt.duration_ms,
        executor_id=attempt.executor_id,
        username=attempt.username,
        changes_json=effects.changes,
        version=attempt.policy.version,
        vars_json=snapshot,
    )
    reason = _build_reason(entry, effects)
    return make_transition(
        instance=instance,
        state=entry.name,
        status=status,
        vars_json=effects.vars,
        next_activation_us=next_activation,
        attempt=0,
        visit=instance.visit + 1,
        streak=streak,
        answer_json=None,
        reason=reason,
        at_us=attempt.ended_at,
        actions=(*preceding_actions, action),
        children=effects.spawn.children,
        wake_at_open_children=None if effects.wait is None else effects.wait.compute_rest(open_children),
        wakes_parent=effects.wakes_parent,
        fingerprint=None if reason is None else compute_fingerprint(instance.type, instance.state, reason),
        failed_us=None if reason is None else attempt.ended_at,
        vars_version=effects.vars_version,
        unsnapped_characters=unsnapped,
        gate=gate,
        messages=build_entry_messages(instance, entry, next_activation),
        inbox=build_entry_inbox(attempt, entry, effects.vars),
        spawn_parts=effects.spawn.parts,
        parsed_vars=effects.read_vars if status is _EXECUTING else None,
    )


def pass_deadline(attempt: Attempt, entry: StateEntry, missing: str) -> Transition:
    """Return the transition into the state of ``on_deadline``; ``missing`` is what has not come before the deadline."""
    text = f"{missing} before the deadline"
    return enter_state(attempt, entry, TransitionEffects(text=text, is_without_handler=True), preceding_actions=())


def return_to_wait(attempt: Attempt) -> Transition:
    """Return the transition back to WAITING in a manual state: it was due, but the state no longer has a deadline."""
    return _stay_in_state(attempt, Status.WAITING, actions=(), reason=None)


def end_instance(attempt: Attempt, entry: StateEntry) -> Transition:
    """Return the end of an instance whose state has become an end or error state since the instance entered it."""
    text = f"{entry.name!r} is an {entry.kind} state in version {attempt.policy.version}: the instance ends here."
    action = Action(
        ActionKind.LOG,
        attempt.ended_at,
        from_state=entry.name,
        text=text,
        executor_id=attempt.executor_id,
        version=attempt.policy.version,
    )
    return _stay_in_state(attempt, entry.status, actions=(action,), reason=_build_reason(entry, NO_EFFECTS))


def _compute_status(attempt: Attempt, entry: StateEntry, effects: TransitionEffects) -> tuple[Status, int | None]:
    """Return the status in the entered state and the next activation."""
    if entry.status is not _EXECUTING:
        return entry.status, None if entry.deadline is None else limit_time(attempt.ended_at + entry.deadline)
    if effects.wait is not None:
        return Status.IN_PROGRESS, effects.due
    if effects.due is not None and effects.due > attempt.ended_at:
        return Status.IN_PROGRESS, effects.due
    # The same next activation: a row that keeps its lease changes no column of an index, which is cheap on PostgreSQL.
    return _EXECUTING, attempt.instance.next_activation_us


def _build_reason(entry: StateEntry, effects: TransitionEffects) -> str | None:
    if entry.status is not _FAILED:
        return None
    return clean_text(
        effects.text or entry.description or f"it reached the error state {entry.name!r}", MAX_REASON_LENGTH
    )


def _build_loop_failure(attempt: Attempt, preceding_actions: tuple[Action, ...]) -> Transition:
    reason = (
        f"it made {attempt.policy.loop_limit:,} transitions without any wait: is it running in circles? "
        f"Put a wait into the circle (after, at), or raise loop_limit of its Workflow."
    )
    action = Action(
        ActionKind.FAILED,
        attempt.ended_at,
        from_state=attempt.instance.state,
        text=reason,
        executor_id=attempt.executor_id,
        version=attempt.policy.version,
    )
    return _stay_in_state(attempt, Status.FAILED, actions=(*preceding_actions, action), reason=reason)


def _stay_in_state(attempt: Attempt, status: Status, *, actions: tuple[Action, ...], reason: str | None) -> Transition:
    instance = attempt.instance
    return Transition(
        instance=instance,
        state=instance.state,
        status=status,
        vars_json=None,
        next_activation_us=None,
        attempt=0,
        visit=instance.visit,
        streak=0,
        answer_json=instance.answer_json,
        reason=reason,
        at_us=attempt.ended_at,
        actions=actions,
        fingerprint=None if reason is None else compute_fingerprint(instance.type, instance.state, reason),
        failed_us=None if reason is None else attempt.ended_at,
        messages=keep_message(instance),
        inbox=InboxEffects(None) if attempt.is_unanswered else None,
    )


def _get_state_name(plan: Plan, state: State[..., Any]) -> str:
    name = plan.definition.get_state_name(state)
    if name is None:
        raise _build_error(plan, f"{state!r}, which is a state of another module.")
    return name


def _raise_missing_result(plan: Plan) -> str:
    raise _build_error(plan, "nothing, which is enough only where exactly one next state is declared.")


def _explain_unlisted(plan: Plan, name: str) -> str:
    if name in plan.definition.states:
        return "which its next states do not list."
    return "which is no state here." + format_suggestion(name, plan.entries)


def _describe_location(plan: Plan) -> str:
    return f"{plan.state.file}:{plan.state.line}: state {plan.state.name!r}"


def _build_error(plan: Plan, returned: str) -> OutcomeError:
    return OutcomeError(f"{_describe_location(plan)} returned {returned} Permitted: {', '.join(plan.entries)}.")
