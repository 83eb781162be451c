"""What API, console and command line do with workflows: each operation is one transaction, recorded with who did it.

The rules are in ``permitted`` and ``moves``; here they are applied to the instance as the store holds it, under the
lock of its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from flowlet.clock import to_microseconds
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.durations import Duration, parse_duration
from flowlet.engine.create_batcher import CreateBatcher
from flowlet.errors import RefusedError, UnknownWorkflowError, VariablesError
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, NewInstance, Status
from flowlet.operations.commands import (
    USERNAME_LIMIT,
    Answer,
    Attribution,
    Move,
    apply_answer,
    apply_cancel,
    apply_move,
    apply_pause,
    apply_resume,
    apply_retry,
    apply_wake,
)
from flowlet.operations.permitted import PermittedOperations, compute_permitted_operations, describe_instance
from flowlet.operations.variable_edits import VariableEdit, apply_edit
from flowlet.store.changes import change_instance, change_instances
from flowlet.store.connection import DatabaseSession
from flowlet.store.handler_connection import HandlerConnection
from flowlet.store.instances import CreatedInstance
from flowlet.store.opening import Store
from flowlet.text import clean_text
from flowlet.workflow.context import Transaction

__all__ = ["Operations"]

CANCEL_BATCH_SIZE = 100
"""How many children one transaction cancels at most."""


class Operations:
    """Creates instances, answers, moves, pauses, resumes, cancels, retries, wakes and edits them.

    Every operation on an instance returns it as it is then, and raises ``UnknownInstanceError`` if there is none of
    this id, ``RefusedError`` if it may not be done now, and ``StoreUnavailableError`` if the database is away; what
    raises has changed nothing. Texts are stored without characters that no database can hold, and bounded.

    Args:
        store: The database.
        registry: The workflows that are known here. An instance of another one can still be paused, resumed,
            cancelled, retried and woken.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._batcher = CreateBatcher(store)
        self._expected_version: int | None = None

    def with_expected_version(self, version: int) -> Operations:
        """Return these operations for somebody who has looked at an instance of this version.

        They raise ``RefusedError`` where it has another one by now, and do nothing. The children that a cancel ends too
        may be of any version.
        """
        expecting = copy(self)
        expecting._expected_version = version
        return expecting

    async def create(
        self,
        type: str,
        *,
        vars: BaseModel | Mapping[str, Any] | None = None,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        when: datetime | Duration | None = None,
        username: str | None = None,
        connection: Transaction | None = None,
    ) -> CreatedInstance:
        """Create an instance of a workflow; a known external id gives the known instance, unchanged.

        Creates of one process that come at about the same time are one transaction.

        Args:
            type: The workflow's name.
            vars: The variables; None means an empty object.
            key: The business key.
            external_id: Unique over all instances; a random one if None.
            group: Instead of the workflow's executor group.
            priority: Instead of the workflow's, 0 to 9.
            when: When it runs first, as a moment or a length of time from now; None, or a past one, means at once.
            username: Who creates it; None for code.
            connection: A connection of the same database inside the caller's own transaction: the instance is
                created when that commits, or not at all.

        Raises:
            UnknownWorkflowError: If no workflow has this name here.
            VariablesError: If the variables do not fit the model, or another value cannot be stored; if ``when`` is
                given and the workflow begins by waiting for a person.
            DurationError: If ``when`` is a text that is not a length of time.
            StoreUnavailableError: If the database is away.
        """
        now = self._store.clock.now()
        new = self._registry.get_definition(type).build_instance(
            vars,
            now=now,
            key=key,
            external_id=external_id,
            group=group,
            priority=priority,
            username=None if username is None else clean_text(username, USERNAME_LIMIT),
        )
        new = _schedule_first_run(new, _resolve_time(when, now))
        if connection is not None:
            statement = connection.guard_statement() if isinstance(connection, HandlerConnection) else nullcontext()
            session = DatabaseSession(connection, self._store.connections.dialect)
            with statement:
                (created,) = await self._store.instances.create_in_transaction(session, [new], now=now)
            return created
        return await self._batcher.create(new)

    async def answer(self, id: int, choice: str, *, form: Mapping[str, Any] | None = None, username: str) -> Instance:
        """Choose where an instance goes that waits in a manual state; the state's handler runs then.

        Raises:
            RefusedError: If it does not wait for an answer, or the choice is none of its state's; these are listed.
            VariablesError: If the form's values do not fit its model, or values are given and the state has no form.
            UnknownWorkflowError: If its workflow is not known here.
        """
        answer = Answer(choice, {} if form is None else form)
        by = self._attribute_to(username)
        return await self._apply_change(
            id, lambda instance: apply_answer(instance, self._get_definition(instance), answer, by), by
        )

    async def move(
        self,
        id: int,
        state: str,
        *,
        username: str,
        when: datetime | Duration | None = None,
        force: bool = False,
        reason: str | None = None,
    ) -> Instance:
        """Move an instance along a transition of its state, or by force to any state.

        It enters the state as if its handler had chosen it: attempts begin anew, a manual state waits, an end ends it.
        One that is paused stays paused there. One that has run out of attempts goes on.

        Args:
            id: Which instance.
            state: Where to.
            username: Who moves it.
            when: From when on the state is run, as a moment or a length of time from now; None means at once.
            force: Whether it may leave the graph, and take an instance from its running activation, which then writes
                nothing, or from an end.
            reason: Why; needed for force.

        Raises:
            UnknownStateError: If the definition has no such state.
            RefusedError: If no transition leads there, or it is executing or has ended, without force; if force has
                no reason; if ``when`` is given for a state that is not run.
            UnknownWorkflowError: If its workflow is not known here.
            DurationError: If ``when`` is a text that is not a length of time.
            ValueError: If ``when`` is a moment without a time zone.
        """
        by = self._attribute_to(username)
        move = Move(state, _resolve_time(when, by.at), force, reason)
        return await self._apply_change(
            id, lambda instance: apply_move(instance, self._get_definition(instance), move, by), by
        )

    async def pause(self, id: int, *, username: str, reason: str | None = None) -> Instance:
        """Hold an instance until it is resumed. A running activation ends and commits first.

        Deadlines and timers go on: what became due meanwhile is due when it is resumed.

        Raises:
            RefusedError: If it has ended, or is paused or asked to pause already.
        """
        by = self._attribute_to(username)
        return await self._apply_change(
            id, lambda instance: apply_pause(instance, self._find_definition(instance), by, reason=reason), by
        )

    async def resume(self, id: int, *, username: str) -> Instance:
        """Let a paused instance go on where it was held, or take back a pause that has not come into effect.

        Raises:
            RefusedError: If it is neither paused nor asked to pause.
        """
        by = self._attribute_to(username)
        return await self._apply_change(
            id, lambda instance: apply_resume(instance, self._find_definition(instance), by), by
        )

    async def cancel(
        self, id: int, *, username: str, reason: str | None = None, with_children: bool = False
    ) -> Instance:
        """End an instance at once; a running activation writes nothing any more.

        Args:
            id: Which instance.
            username: Who cancels it.
            reason: Why.
            with_children: Whether its open children end too, and theirs: after it, in transactions of their own. Of an
                instance that has ended already only the open children are cancelled.

        Raises:
            RefusedError: If it has ended already, and has no open child that is to be cancelled.
        """
        by = self._attribute_to(username)

        def decide(instance: Instance) -> Change | None:
            if instance.has_ended and with_children and instance.open_children:
                return None
            return apply_cancel(instance, self._find_definition(instance), by, reason=reason)

        instance = await self._apply_change(id, decide, by)
        if with_children:
            await self._cancel_descendants(id, by, reason)
        return instance

    async def retry(self, id: int, *, username: str) -> Instance:
        """Let a FAILED instance go on in the state where it failed, or one that waits for its next attempt begin it.

        Raises:
            RefusedError: If no attempt of it has failed, or it ended in an error state.
        """
        by = self._attribute_to(username)
        return await self._apply_change(
            id, lambda instance: apply_retry(instance, self._find_definition(instance), by), by
        )

    async def wake(self, id: int, *, username: str) -> Instance:
        """Run an instance now that waits for a timer, for its next attempt, or for its children.

        Raises:
            RefusedError: If it waits for none of these.
        """
        by = self._attribute_to(username)
        return await self._apply_change(
            id, lambda instance: apply_wake(instance, self._find_definition(instance), by), by
        )

    async def edit_variables(
        self,
        id: int,
        values: Mapping[str, Any],
        *,
        username: str,
        unset: Sequence[str] = (),
        expected_version: int | None = None,
    ) -> Instance:
        """Set and remove variables by name; the others stay. An edit that changes nothing leaves no trace.

        Args:
            id: Which instance.
            values: The new values by name.
            username: Who edits them.
            unset: Names to remove; a model's default takes the place of its field.
            expected_version: The instance's version that was looked at; None for whichever it has.

        Raises:
            RefusedError: If it is executing or has ended, or is not of the expected version any more.
            VariablesError: If a name is unknown, or the variables would not fit the model.
            UnknownWorkflowError: If its workflow is not known here.
        """
        by = self._attribute_to(username)
        edit = VariableEdit(values, tuple(unset), expected_version)
        return await self._apply_change(
            id, lambda instance: apply_edit(instance, self._get_definition(instance), edit, by), by
        )

    def get_permitted_operations(self, instance: Instance) -> PermittedOperations:
        """Return what may be done with an instance now, as it was read."""
        return compute_permitted_operations(instance, self._find_definition(instance), now=self._store.clock.now())

    async def _apply_change(
        self, id: int, decide: Callable[[Instance], Change | None], attribution: Attribution
    ) -> Instance:
        def decide_if_expected(instance: Instance) -> Change | None:
            if self._expected_version not in (None, instance.version):
                why = f"has moved on since it was looked at (version {instance.version}, not {self._expected_version})"
                raise RefusedError(f"{describe_instance(instance)} {why}, and nothing was done. Look again.")
            return decide(instance)

        return await change_instance(self._store.connections, id, decide_if_expected, now=attribution.at)

    async def _cancel_descendants(self, id: int, attribution: Attribution, reason: str | None) -> None:
        """Cancel all that descends from an instance, level by level: who is cancelled has no more children."""

        def decide(instance: Instance) -> Change | None:
            return (
                None
                if instance.has_ended
                else apply_cancel(instance, self._find_definition(instance), attribution, reason=reason)
            )

        level = [id]
        while level:
            below = [child.id for parent in level for child in await self._store.queries.list_children(parent)]
            for first in range(0, len(below), CANCEL_BATCH_SIZE):
                ids = below[first : first + CANCEL_BATCH_SIZE]
                await change_instances(self._store.connections, ids, decide, now=attribution.at)
            level = below

    def _attribute_to(self, username: str) -> Attribution:
        return Attribution(username, self._store.clock.now())

    def _get_definition(self, instance: Instance) -> Definition:
        return self._registry.get_definition(instance.type)

    def _find_definition(self, instance: Instance) -> Definition | None:
        try:
            return self._registry.get_definition(instance.type)
        except UnknownWorkflowError:
            return None


def _schedule_first_run(new: NewInstance, run_at: int | None) -> NewInstance:
    """Return a new instance that runs first when it is due."""
    if run_at is None:
        return new
    if new.status is Status.WAITING:
        fault = "its start state waits for a person, and is not run: leave it out"
        raise VariablesError(f"a new {new.type}", {"nextActivation": fault})
    return replace(new, next_activation_us=max(run_at, new.next_activation_us or run_at))


def _resolve_time(when: datetime | Duration | None, now: int) -> int | None:
    if when is None:
        return None
    return to_microseconds(when) if isinstance(when, datetime) else now + to_microseconds(parse_duration(when))
