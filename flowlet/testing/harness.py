"""The harness: an engine on a database of its own, whose time the test moves."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Self

from pydantic import BaseModel

from flowlet.clock import Duration, VirtualClock, parse_duration, to_datetime, to_microseconds
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Modules, Registry
from flowlet.engine.limits.claims import list_policies
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.engine.worker_parts import WorkerParts, build_executor_record, build_worker_parts
from flowlet.errors import NotEndedError
from flowlet.instance.action import ENTRY_KINDS, Action, ActionKind
from flowlet.instance.instance import Instance
from flowlet.instance.message import Sent
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import Store, open_store
from flowlet.testing.dependencies import build_dependencies
from flowlet.testing.open_harness import OpenHarness
from flowlet.testing.progress import describe_progress
from flowlet.workflow.workflow import VarsModel, Workflow

__all__ = ["Harness", "Modules"]

LEASE = timedelta(days=36_525)
"""A lease that never runs out: a harness sends no heartbeats."""


class Harness:
    """Workflows under test, and their clock.

    Nothing runs in the background: ``start`` and ``answer`` run whatever is due, ``advance`` moves the clock. Between
    two calls every instance waits for a time, a person, a message or its children, or has ended. Schedules of the
    modules fire as the time passes. Only a handler's own waits take real time, and so does its ``timeout``.

    Args:
        modules: The workflow modules.
        provide: The resources of the handlers: a ``Dependencies``, or objects by their type.
        database_url: The database; None uses a SQLite file that is deleted at the end.
        clock: The clock; None uses one that begins at 2030-01-01 00:00 UTC.
        seed: The seed of the delays between attempts: the same seed gives the same delays.
        slots: How many activations run at once.
        groups: The executor groups to run besides those that the definitions name.

    Raises:
        DefinitionError: If a module has faults.
    """

    def __init__(
        self,
        modules: Modules,
        *,
        provide: Mapping[Any, object] | Dependencies | None = None,
        database_url: str | None = None,
        clock: VirtualClock | None = None,
        seed: int = 0,
        slots: int = 64,
        groups: Sequence[str] = (),
    ) -> None:
        self.registry = Registry(build_dependencies(provide))
        self.registry.load_all(modules)
        self.clock = clock or VirtualClock()
        self._url = database_url
        self._executor_id = f"harness-{uuid.uuid4().hex[:12]}"
        self._random = Random(seed)  # noqa: S311 - jitter
        named = {definition.group for definition in self.registry.definitions}
        self._settings = ExecutorSettings(
            name="harness", groups=tuple(sorted({"default", *named, *groups})), slots=slots, lease=LEASE
        )
        self._stack = AsyncExitStack()
        self._open: OpenHarness | None = None

    async def __aenter__(self) -> Self:
        """Open the database and the resources.

        Raises:
            StoreUnavailableError: If the database cannot be opened.
        """
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(self._create_database_url(stack), clock=self.clock))
            store.state_names.use_loaded(self.registry)
            await stack.enter_async_context(self.registry.provided)
            await store.definitions.save_definitions(self.registry.definitions, now=self.clock.now())
            scheduler = Scheduler(store, self.registry, self._settings)
            await scheduler.save_declared()
            await store.limits.save_policies(list_policies(self.registry.definitions))
            await store.executors.register(
                build_executor_record(self._settings, self.registry, id=self._executor_id, now=self.clock.now())
            )
            stack.push_async_callback(self._deregister_executor, store)
            parts = self._build_worker_parts(store, stack)
            operations = Operations(store, self.registry)
            self._open = OpenHarness(store, operations, parts.worker, parts.gates, scheduler, parts.spawner)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close the resources and the database; the harness cannot be used any more."""
        self._opened.store.check_event_loop()
        self._open = None
        await self._stack.aclose()

    @property
    def store(self) -> Store:
        """The opened database."""
        return self._opened.store

    @property
    def operations(self) -> Operations:
        """The operations of people: pause, resume, cancel, move... Call ``settle`` after one to run what is due."""
        return self._opened.operations

    def now(self) -> datetime:
        """Return the virtual time, in UTC."""
        return to_datetime(self.clock.now())

    async def start(
        self,
        workflow: str | Workflow[VarsModel],
        vars: VarsModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        when: datetime | Duration | None = None,
        username: str | None = None,
        settle: bool = True,
    ) -> int:
        """Create an instance and return its id; a known external id gives the known instance's.

        Args:
            workflow: The workflow's declaration, or its name.
            vars: The variables; None means an empty object.
            key: The business key.
            external_id: Unique over all instances; a generated one if None.
            group: Instead of the workflow's executor group.
            priority: Instead of the workflow's, 0 to 9.
            when: When it runs first, as a moment or a length of virtual time from now; None means at once.
            username: Who creates it.
            settle: Whether to run at once what is due; else it waits for the next ``settle`` or ``advance``.

        Raises:
            UnknownWorkflowError: If no module has a workflow of this name.
            VariablesError: If the variables do not fit the model.
        """
        created = await self.operations.create(
            workflow if isinstance(workflow, str) else workflow.name,
            vars=vars,
            key=key,
            external_id=external_id,
            group=group,
            priority=priority,
            when=when,
            username=username,
        )
        if settle:
            await self.settle()
        return created.id

    async def answer(
        self,
        id: int,
        choice: str,
        *,
        form: BaseModel | Mapping[str, Any] | None = None,
        username: str = "tester",
        settle: bool = True,
    ) -> None:
        """Answer a manual state, as a person or an API client does.

        Args:
            id: The instance.
            choice: The name of the chosen state.
            form: The values of the state's form.
            username: Who answers.
            settle: Whether to run at once what is due.

        Raises:
            RefusedError: If the instance does not wait for an answer, or not for this one; the error lists the choices.
            VariablesError: If the values do not fit the form.
        """
        await self.operations.answer(id, choice, form=form, username=username, is_admin=True)
        if settle:
            await self.settle()

    async def send(
        self,
        name: str,
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        to: int | str,
        key: str | None = None,
        expires: Duration | None = None,
        settle: bool = True,
    ) -> Sent:
        """Send a message to an instance; the errors are those of ``MessageOperations.send``.

        Args:
            name: The message's name.
            body: An object of its model, or its values; None for an empty object.
            to: The id of the instance, or its external id.
            key: Its idempotency key; a random one if None.
            expires: How long it may wait; None for ever.
            settle: Whether to run at once what is due.
        """
        sent = await self.operations.send(name, body, to=to, key=key, expires=expires)
        if settle:
            await self.settle()
        return sent

    async def settle(self) -> None:
        """Run whatever is due now, and what becomes due by it, until nothing is due any more."""
        await self._opened.run_due(self._executor_id)

    async def advance(self, length: Duration) -> None:
        """Let time pass. What becomes due meanwhile runs at its own time, in order.

        Args:
            length: How much virtual time passes.

        Raises:
            DurationError: If it is not a length of time.
        """
        until = self.clock.now() + to_microseconds(parse_duration(length))
        await self.settle()
        while await self._advance_to_next(until):
            await self.settle()
        self.clock.advance(until - self.clock.now())

    async def run_to_end(self, id: int, *, within: Duration = "30 days") -> Instance:
        """Let time pass until an instance has ended, and return it.

        Args:
            id: The instance.
            within: How much time may pass.

        Raises:
            NotEndedError: If it has not ended by then, or waits for a person or a message. It says in which state the
                instance is, and shows the last lines of its history.
            UnknownInstanceError: If there is none of this id.
        """
        until = self.clock.now() + to_microseconds(parse_duration(within))
        await self.settle()
        instance = await self.get(id)
        while not instance.has_ended:
            if not await self._advance_to_next(until):
                raise NotEndedError(
                    describe_progress(
                        instance,
                        await self.history(id),
                        within=parse_duration(within),
                        registry=self.registry,
                        groups=self._settings.groups,
                    )
                )
            await self.settle()
            instance = await self.get(id)
        return instance

    async def get(self, id: int) -> Instance:
        """Return an instance as it is now.

        Raises:
            UnknownInstanceError: If there is none of this id.
        """
        return await self.store.queries.get(id)

    async def vars(self, id: int) -> Any:
        """Return an instance's variables: an object of the workflow's model, or a dict where it has none.

        Raises:
            UnknownInstanceError: If there is none of this id.
        """
        instance = await self.get(id)
        return self.registry.get_definition(instance.type).read_vars(instance.vars_json)

    async def history(self, id: int, kind: ActionKind | None = None) -> list[Action]:
        """Return the lines of an instance's history, the oldest first.

        Args:
            id: The instance.
            kind: Only lines of this kind.
        """
        lines = await self.store.queries.read_history(id)
        return [line for line in lines if kind is None or line.kind is kind]

    async def path(self, id: int) -> list[str]:
        """Return the names of the states that an instance has entered, the start state first."""
        lines = await self.history(id)
        return [line.to_state for line in lines if line.kind in ENTRY_KINDS and line.to_state is not None]

    async def children(self, id: int) -> list[Instance]:
        """Return the instances that an instance has spawned, the oldest first."""
        return await self.store.queries.list_children(id)

    def _create_database_url(self, stack: AsyncExitStack) -> str:
        if self._url is not None:
            return self._url
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="flowlet-", ignore_cleanup_errors=True))
        return f"sqlite:///{Path(folder) / 'flowlet.db'}"

    def _build_worker_parts(self, store: Store, stack: AsyncExitStack) -> WorkerParts:
        # Any number of claims may come at one moment of virtual time: each looks at the gates.
        parts = build_worker_parts(
            store, self.registry, self._settings, self._executor_id, random=self._random, look_seconds=0
        )
        stack.callback(parts.activations.close)
        stack.push_async_callback(parts.committer.close)
        stack.push_async_callback(parts.worker.cancel_all)
        return parts

    @property
    def _opened(self) -> OpenHarness:
        if self._open is None:
            raise RuntimeError("the harness is not open: use it inside 'async with Harness(...) as flow'")
        self._open.store.check_event_loop()
        return self._open

    async def _deregister_executor(self, store: Store) -> None:
        await store.executors.deregister(self._executor_id, now=self.clock.now())

    async def _advance_to_next(self, until: int) -> bool:
        """Move the clock to the next due time; return False, and leave the clock, if nothing is due until then."""
        now = self.clock.now()
        due = await self._opened.find_next_due(self._settings.groups, self.registry.names, now=now)
        if due is None or due > until:
            return False
        self.clock.advance(due - now)
        return True
