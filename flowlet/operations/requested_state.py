"""Bringing an instance to a state, as a request names it: an answer or a move, with an edit of its variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from flowlet.clock import to_microseconds
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.definition.versions.state_names import StateNames
from flowlet.errors import VariablesError
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, Status
from flowlet.operations.commands import Answer, Attribution, Move, apply_answer, apply_move
from flowlet.operations.people.decision_operations import read_question_and_person
from flowlet.operations.people.decisions import apply_decision
from flowlet.operations.permitted import (
    Operation,
    build_refusal,
    compute_permitted_operations,
    describe_instance,
)
from flowlet.operations.variable_edits import VariableEdit, apply_edit
from flowlet.store.changes import change_instance
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version

__all__ = ["RequestedState", "StateOperations"]

DecideAnswer = Callable[..., Change]
"""``apply_answer``, or ``apply_decision`` for the person who answers, with the choices made so far."""


@dataclass(frozen=True, slots=True)
class RequestedState:
    """The state that an instance is to enter, and the conditions.

    Attributes:
        state: The state; for an instance that waits for this choice, the answer.
        form: The values of a manual state's form; the request is an answer then, and nothing else.
        when: When the state runs; None for at once.
        is_forced: Whether the move may leave the graph.
        reason: Why; required if it is forced.
        from_states: It has to be in one of these; empty for any state.
        edit: The variables to set and to remove before; None for none.
    """

    state: str
    form: Mapping[str, Any] | None = None
    when: datetime | None = None
    is_forced: bool = False
    reason: str | None = None
    from_states: Sequence[str] = ()
    edit: VariableEdit | None = None


class StateOperations:
    """Brings instances to states: see ``Operations``, whose part this is.

    Args:
        store: The database.
        registry: The loaded workflows.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def enter_state(
        self,
        id: int,
        requested: RequestedState,
        *,
        username: str,
        expected_version: int | None = None,
        is_admin: bool | None = None,
    ) -> Instance:
        """Answer an instance that waits for this choice, and move any other one; edit its variables before.

        All of it is decided under the lock of the row, and is one transaction: either everything happens or nothing.

        Args:
            id: The instance.
            requested: The state and the conditions.
            username: Who does it.
            expected_version: The version that the caller has read; None for any.
            is_admin: Whether the user may answer for every team; None for what the user's stored role says.

        Raises:
            RefusedError: If it is in none of the states to come from, may not go there or be edited now, or is not for
                the user to answer.
            VariablesError: If the variables or the form do not fit, or a part does not go with the others.
            UnknownStateError: If the definition has no such state.
            UnknownWorkflowError: If the definition is not loaded.
        """
        names = await self._store.state_names.read()
        by = Attribution(username, self._store.clock.now())
        decide_answer: DecideAnswer = apply_answer
        decide_edited: DecideAnswer = apply_answer

        async def prepare(session: DatabaseSession, instance: Instance) -> None:
            nonlocal decide_answer, decide_edited
            if instance.status is Status.WAITING:  # also for a message, in a state that has become a question since
                asked, person = await read_question_and_person(session, instance, by.person, is_admin=is_admin)
                decide_answer = partial(apply_decision, asked=asked, person=person)
                decide_edited = partial(apply_decision, asked=replace(asked, votes=()), person=person)

        def decide(instance: Instance) -> Change:
            check_version(describe_instance(instance), instance.version, expected_version)
            definition = self._registry.get_definition(instance.type)
            return apply_requested_state(
                instance,
                definition,
                by,
                requested=requested,
                names=names,
                decide_answer=decide_answer,
                decide_edited=decide_edited,
            )

        return await change_instance(self._store.connections, id, decide, now=by.at, prepare=prepare)


def apply_requested_state(
    instance: Instance,
    definition: Definition,
    attribution: Attribution,
    *,
    requested: RequestedState,
    names: StateNames,
    decide_answer: DecideAnswer,
    decide_edited: DecideAnswer,
) -> Change:
    """Return the change of an instance for a requested state: the edit, if it has one, and the answer or the move.

    Args:
        instance: The instance, locked.
        definition: Its definition.
        attribution: Who does it, and when.
        requested: The state and the conditions.
        names: The names of states: a state to come from may have its former name.
        decide_answer: Returns the change of an answer, for the person who gives it.
        decide_edited: Does so after an edit, which the choices made so far do not survive.
    """
    permitted = compute_permitted_operations(instance, definition, now=attribution.at)
    if requested.from_states and instance.state not in names.expand(instance.type, requested.from_states):
        expected = ", ".join(repr(state) for state in requested.from_states)
        why = f"its state is {instance.state!r}, and none of the expected {expected}"
        raise build_refusal(Operation.MOVE, instance, why, list(permitted.states))
    is_choice = Operation.ANSWER in permitted.operations and definition.resolve(requested.state) in permitted.states
    is_answer = not requested.is_forced and (is_choice or requested.form is not None)
    if faults := _find_conflicts(requested, is_answer=is_answer):
        raise VariablesError(f"the request for {describe_instance(instance)}", faults)
    if is_answer:
        answer = Answer(requested.state, requested.form or {})
        enter, enter_edited = partial(decide_answer, answer=answer), partial(decide_edited, answer=answer)
    else:
        run_at = None if requested.when is None else to_microseconds(requested.when)
        move = Move(requested.state, run_at, requested.is_forced, requested.reason)
        enter = enter_edited = partial(apply_move, move=move)
    if requested.edit is None:
        return enter(instance, definition, attribution)
    enter_edited(instance, definition, attribution)  # refused before the variables are looked at
    edited = apply_edit(instance, definition, attribution, edit=requested.edit)
    if edited is None:
        return enter(instance, definition, attribution)
    entered = enter_edited(edited.after, definition, attribution)
    return replace(
        entered,
        before=instance,
        actions=(*edited.actions, *entered.actions),
        keeps_version=False,  # also where the answer is a vote: the variables have changed
        inbox=entered.inbox or edited.inbox,
    )


def _find_conflicts(requested: RequestedState, *, is_answer: bool) -> dict[str, str]:
    """Return the fault of each part that does not go with the others."""
    if is_answer:
        faults = {"nextActivation": requested.when is not None, "reason": requested.reason is not None}
        return {name: "does not go with an answer: leave it out" for name, is_given in faults.items() if is_given}
    if requested.is_forced and requested.form is not None:
        return {"form": "cannot be combined with force: a forced move is not an answer"}
    if requested.is_forced and not (requested.reason and requested.reason.strip()):
        return {"reason": "is missing: a forced move requires a reason, for the history"}
    return {}
