"""The operations on workflows that the API, the console and the command line share.

Each operation is one transaction, and the history records who did it. The rules are in ``permitted`` and ``commands``;
this module applies them to the stored instance while it holds the lock of its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel

from flowlet.clock import Duration
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.engine.creates.create_batcher import CreateBatcher
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance
from flowlet.instance.new_instance import Created
from flowlet.operations import commands
from flowlet.operations.commands import Answer, Attribution, Move
from flowlet.operations.descendants import cancel_descendants
from flowlet.operations.lanes import LaneOperations
from flowlet.operations.limits import LimitOperations
from flowlet.operations.messages import MessageOperations
from flowlet.operations.people.decision_operations import DecisionOperations
from flowlet.operations.people.personal_creates import create_for_person, is_personal
from flowlet.operations.people.teams import TeamOperations
from flowlet.operations.permitted import (
    Operation,
    PermittedOperations,
    compute_permitted_operations,
    describe_instance,
    explain_if_refused,
)
from flowlet.operations.repair import RepairOperations
from flowlet.operations.requested_state import StateOperations
from flowlet.operations.run_times import resolve_time, schedule_first_run
from flowlet.operations.schedules import ScheduleOperations
from flowlet.operations.variable_edits import VariableEdit, apply_edit
from flowlet.operations.views.saved_views import ViewOperations
from flowlet.store.callers.session import open_caller_session
from flowlet.store.changes import change_instance
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.text import MAX_IDENTIFIER_LENGTH, clean_text

__all__ = ["Operations", "close_operations"]


class Operations(RepairOperations):
    """Creates, answers, moves, pauses, resumes, cancels, retries and wakes instances, and edits their variables.

    Every operation on an instance returns the instance as it is afterwards. It takes these arguments:

    - ``username``: Who runs the operation; recorded in the history.
    - ``expected_version``: The version of the instance that the caller has read; None for any version.
    - ``reason``, of some: Why; recorded too.

    It raises ``UnknownInstanceError`` if there is no such instance, ``RefusedError`` if the operation is not permitted
    now, ``StaleError`` if the instance has another version than expected, and ``StoreUnavailableError`` if the
    database cannot be reached. An operation that raises has changed nothing. Texts are cut to their limit, and
    characters that databases cannot store are replaced.

    Args:
        store: The database.
        registry: The loaded workflows. An instance of a workflow that is not loaded can still be paused, resumed,
            cancelled, retried and woken; the other operations raise ``UnknownWorkflowError``.

    Attributes:
        send: Sends a message to an instance; see ``MessageOperations``, also for ``list_unread``.
        enter_state: Answers or moves an instance, and edits its variables, in one; see ``StateOperations``.
        schedules, teams, views, limits, lanes: The operations on these; a lane is a whole workflow, or a group.
        decisions: Who may answer; and ``assign``, which assigns the question of an instance to a user.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        super().__init__(store, registry)
        self._batcher = CreateBatcher(store)
        messages = MessageOperations(store, registry)
        self.send, self.list_unread = messages.send, messages.list_unread
        self.enter_state = StateOperations(store, registry).enter_state
        self.schedules, self.decisions = ScheduleOperations(store, registry), DecisionOperations(store, registry)
        self.teams, self.views = TeamOperations(store), ViewOperations(store)
        self.limits, self.lanes = LimitOperations(store), LaneOperations(store)

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
        connection: Any = None,
    ) -> Created:
        """Create an instance of a workflow. If the external id exists, return the existing instance unchanged.

        Creates of one process that arrive at about the same time share one transaction.

        Args:
            type: The workflow's name.
            vars: The variables; None for an empty object.
            key: The business key; None for the external id.
            external_id: Unique over all instances; None for a generated one.
            group: The executor group; None for the workflow's own.
            priority: 0 to 9; None for the workflow's own.
            when: When the instance first runs: a time, or a duration from now. None or a past time means at once.
            username: Who creates it; None for code.
            connection: A connection to the same database inside the caller's own transaction, of ``databases``,
                SQLAlchemy or a driver, or that of ``ctx.transaction()``: the instance is created when that transaction
                commits, or not at all.

        Raises:
            UnknownWorkflowError: If no loaded workflow has this name.
            VariablesError: If the variables do not fit the model, another value cannot be stored, or ``when`` is given
                and the workflow starts in a manual state.
            DurationError: If ``when`` is a text that is not a duration.
            StoreUnavailableError: If the database cannot be reached.
            TooLargeError: If the database does not accept an instance of this size.
            StoreError: If ``connection`` cannot be shared, or has no transaction.
        """
        now = self._store.clock.now()
        new = self._registry.get_definition(type).build_instance(
            vars,
            now=now,
            key=key,
            external_id=external_id,
            group=group,
            priority=priority,
            username=None if username is None else clean_text(username, MAX_IDENTIFIER_LENGTH),
        )
        new = schedule_first_run(new, resolve_time(when, now))
        if connection is not None:
            async with open_caller_session(connection, self._store.connections.dialect) as session:
                return (await self._store.instances.create_in_transaction(session, [new], now=now))[0]
        if is_personal(new):
            return await create_for_person(self._store, new)
        return await self._batcher.create(new)

    async def answer(
        self,
        id: int,
        choice: str,
        *,
        form: BaseModel | Mapping[str, Any] | None = None,
        username: str,
        expected_version: int | None = None,
        is_admin: bool | None = None,
    ) -> Instance:
        """Answer an instance that waits in a manual state: the state's handler runs next.

        Where the state needs several persons for a choice, those before the last one only vote, and it waits on.

        Args:
            id: The instance.
            choice: The next state, one of the state's choices.
            form: The values of the state's form, as its model or by name.
            username: Who answers.
            expected_version: The version that the caller has read; None for any.
            is_admin: Whether the user may answer for every team; None for what the user's stored role says.

        Raises:
            RefusedError: If the instance does not wait for an answer, the choice is not one of those that it lists, or
                the user may not answer it.
            VariablesError: If the form's values do not fit its model, or values are given and the state has no form.
        """
        values = form.model_dump(mode="json", by_alias=True) if isinstance(form, BaseModel) else form
        return await self.decisions.answer(
            id, Answer(choice, {} if values is None else values), username, expected_version, is_admin=is_admin
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
        expected_version: int | None = None,
    ) -> Instance:
        """Move an instance along a transition of its state, or by force to any state.

        The instance enters the state as if its handler had returned it: attempts start from zero, a manual state
        waits, an end state ends the instance. A paused instance stays paused there. One that has run out of attempts
        runs again.

        Args:
            id: The instance.
            state: The state to move to.
            username: Who moves it.
            when: When the state runs: a time, or a duration from now; None for at once.
            force: Also move to a state that no transition leads to, from one that not everybody may decide, and an
                instance that is executing, whose activation then writes nothing, or that has ended.
            reason: Why; required with ``force``.
            expected_version: The version that the caller has read; None for any.

        Raises:
            UnknownStateError: If the definition has no such state.
            RefusedError: Without ``force``, if no transition leads there, or the instance is executing or has ended;
                if ``force`` has no reason; if ``when`` is given for a state that has no handler to run.
            DurationError: If ``when`` is a text that is not a duration.
            ValueError: If ``when`` is a time without a time zone.
        """
        by = self._attribute_to(username)
        decide = partial(commands.apply_move, move=Move(state, resolve_time(when, by.at), force, reason))
        return await self._apply_loaded(id, decide, by, expected_version)

    async def pause(
        self, id: int, *, username: str, reason: str | None = None, expected_version: int | None = None
    ) -> Instance:
        """Pause an instance until it is resumed. A running activation finishes and commits first.

        Deadlines and timers keep running: what became due during the pause is due when the instance is resumed.

        Raises:
            RefusedError: If the instance has ended, is paused, or has a pause requested.
        """
        decide = partial(commands.apply_pause, reason=reason)
        return await self._apply_change(id, decide, self._attribute_to(username), expected_version)

    async def resume(self, id: int, *, username: str, expected_version: int | None = None) -> Instance:
        """Resume a paused instance where it was paused, or withdraw a requested pause.

        Raises:
            RefusedError: If the instance is not paused and has no pause requested.
        """
        return await self._apply_change(id, commands.apply_resume, self._attribute_to(username), expected_version)

    async def cancel(
        self,
        id: int,
        *,
        username: str,
        reason: str | None = None,
        with_children: bool = False,
        expected_version: int | None = None,
    ) -> Instance:
        """End an instance at once; a running activation writes nothing more.

        Args:
            id: The instance.
            username: Who cancels it.
            reason: Why.
            with_children: Also cancel its open descendants, in further transactions; an ended instance stays as it is.
            expected_version: The version that the caller has read; None for any.

        Raises:
            RefusedError: If the instance has already ended, and no open child is to be cancelled.
        """
        by = self._attribute_to(username)

        def decide(instance: Instance, definition: Definition | None, by: Attribution) -> Change | None:
            if instance.has_ended and with_children and instance.open_children:
                return None
            return commands.apply_cancel(instance, definition, by, reason=reason)

        instance = await self._apply_change(id, decide, by, expected_version)
        if with_children:
            await cancel_descendants(self._store, id, by, reason=reason, find_definition=self._registry.find_definition)
        return await self._store.queries.get(id) if with_children else instance

    async def edit_variables(
        self,
        id: int,
        vars: Mapping[str, Any],
        *,
        username: str,
        unset: Sequence[str] = (),
        expected_version: int | None = None,
    ) -> Instance:
        """Set and remove variables by name; the others stay. An edit that changes nothing is not recorded.

        Args:
            id: The instance.
            vars: The new values by name.
            username: Who edits them.
            unset: Names to remove; a field with a default gets its default.
            expected_version: The version that the caller has read; None for any.

        Raises:
            RefusedError: If the instance is executing or has ended, or the edit changes who must not decide it.
            VariablesError: If a name is unknown, or the variables would not fit the model.
        """
        decide = partial(apply_edit, edit=VariableEdit(vars, tuple(unset)))
        return await self._apply_loaded(id, decide, self._attribute_to(username), expected_version)

    def get_permitted_operations(self, instance: Instance) -> PermittedOperations:
        """Return which operations are permitted on an instance in the state in which the caller has read it."""
        return compute_permitted_operations(
            instance, self._registry.find_definition(instance.type), now=self._store.clock.now()
        )

    def explain_refusal(self, instance: Instance, operation: str, *, target: str = "") -> str | None:
        """Return why an operation would be refused; None if it would not.

        Args:
            instance: The instance as the caller has read it.
            operation: The name of the operation, such as "pause".
            target: For "answer" and "move", the state.
        """
        definition, now = self._registry.find_definition(instance.type), self._store.clock.now()
        return explain_if_refused(Operation(operation), instance, definition, now=now, target=target)

    async def _apply_loaded(
        self,
        id: int,
        decide: Callable[[Instance, Definition, Attribution], Change | None],
        attribution: Attribution,
        expected_version: int | None,
    ) -> Instance:
        """Apply a change that needs the definition, as ``_apply_change`` does."""

        def decide_loaded(instance: Instance, definition: Definition | None, by: Attribution) -> Change | None:
            return decide(instance, definition or self._registry.get_definition(instance.type), by)

        return await self._apply_change(id, decide_loaded, attribution, expected_version)

    async def _apply_change(
        self,
        id: int,
        decide: Callable[[Instance, Definition | None, Attribution], Change | None],
        attribution: Attribution,
        expected_version: int | None,
    ) -> Instance:
        """Lock an instance, check its version, decide and write; return it as it is afterwards."""

        def check_and_decide(instance: Instance) -> Change | None:
            check_version(describe_instance(instance), instance.version, expected_version)
            return decide(instance, self._registry.find_definition(instance.type), attribution)

        return await change_instance(self._store.connections, id, check_and_decide, now=attribution.at)

    def _attribute_to(self, username: str) -> Attribution:
        return Attribution(username, self._store.clock.now())


async def close_operations(operations: Operations) -> None:
    """Refuse to create instances any more, and return when those under way are durable or have failed: within 10 s."""
    await operations._batcher.close()  # no method, because the methods are those that users call
