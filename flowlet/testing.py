"""Testing workflows: a real engine on a database of its own, on a clock that the test moves by hand.

    async def test_an_order_is_charged_and_shipped() -> None:
        async with Harness("shop.orders") as flow:
            id = await flow.start("OrderWorkflow", vars={"sku": "A-1", "amount": 2000})
            await flow.answer(id, "charge", form={"comment": "known customer"}, username="anna")
            ended = await flow.run_to_end(id)

        assert ended.succeeded

Everything is what production runs, only the clock is not: hours of timers and retries pass in no time.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Self, TypeAlias

from pydantic import BaseModel

from flowlet.clock import VirtualClock, to_datetime, to_microseconds
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.durations import Duration, format_duration, parse_duration
from flowlet.engine.activation import ActivationRunner
from flowlet.engine.committer import Committer
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import Worker
from flowlet.errors import NotEndedError
from flowlet.instance.instance import ENTRY_KINDS, Action, ActionKind, Instance, Status
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store, open_store

__all__ = ["Harness", "Modules", "VirtualClock"]

Modules: TypeAlias = str | ModuleType | Sequence[str | ModuleType]
"""One workflow module or several, each by its import name, its path, or as the module itself."""

MAX_HISTORY_LINES = 8
"""How many lines of history a message shows."""


@dataclass(frozen=True, slots=True)
class _OpenHarness:
    store: Store
    operations: Operations
    worker: Worker


class Harness:
    """Workflows under test, and the time they live in.

    Nothing runs by itself: ``start`` and ``answer`` run whatever is due, ``advance`` moves the clock. Between two calls
    every instance waits for a time, for a person, for its children, or has ended. Only a handler's own waiting takes
    real time, and so does its ``timeout``.

    Args:
        modules: The workflow modules.
        provide: The resources that handlers ask for: a ``Provided``, or objects by their type.
        database_url: A database to use; else a SQLite file that is deleted at the end.
        clock: The time; else a clock that begins at 2030-01-01 00:00 UTC.
        seed: Of the delays between attempts: the same seed gives the same delays.
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
        self.registry = Registry(_build_dependencies(provide))
        for module in [modules] if isinstance(modules, str | ModuleType) else modules:
            self.registry.load(module) if isinstance(module, str) else self.registry.add(module)
        self.clock = clock or VirtualClock()
        self._url = database_url
        self._executor_id = f"harness-{uuid.uuid4().hex[:12]}"
        self._random = Random(seed)  # noqa: S311 - jitter
        named = {definition.group for definition in self.registry.definitions}
        self._settings = ExecutorSettings(groups=tuple(sorted({"default", *named, *groups})), slots=slots)
        self._stack = AsyncExitStack()
        self._open: _OpenHarness | None = None

    async def __aenter__(self) -> Self:
        """Open the database and the resources.

        Raises:
            StoreUnavailableError: If the database cannot be opened.
        """
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(self._create_database_url(stack), clock=self.clock))
            await stack.enter_async_context(self.registry.provided)
            await store.definitions.save_definitions(self.registry.definitions, now=self.clock.now())
            await store.executors.register(self._build_executor_record())
            stack.push_async_callback(self._deregister_executor, store)
            self._open = _OpenHarness(store, Operations(store, self.registry), self._create_worker(store, stack))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close the resources and the database; the harness cannot be used any more."""
        self._open = None
        await self._stack.aclose()

    @property
    def store(self) -> Store:
        """The opened database."""
        return self._opened.store

    @property
    def operations(self) -> Operations:
        """What people do to instances: pause, resume, cancel, move... Call ``settle`` after it to run what is due."""
        return self._opened.operations

    def now(self) -> datetime:
        """Return the virtual time, in UTC."""
        return to_datetime(self.clock.now())

    async def start(
        self,
        name: str,
        *,
        vars: BaseModel | Mapping[str, Any] | None = None,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        username: str | None = None,
        settle: bool = True,
    ) -> int:
        """Create an instance and return its id; a known external id gives the known instance's.

        Args:
            name: The workflow's name.
            vars: The variables; None means an empty object.
            key: The business key.
            external_id: Unique over all instances; a random one if None.
            group: Instead of the workflow's executor group.
            priority: Instead of the workflow's, 0 to 9.
            username: Who creates it.
            settle: Whether to run at once what is due; else it waits for the next ``settle`` or ``advance``.

        Raises:
            UnknownWorkflowError: If no module has a workflow of this name.
            VariablesError: If the variables do not fit the model.
        """
        created = await self.operations.create(
            name, vars=vars, key=key, external_id=external_id, group=group, priority=priority, username=username
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
        """Answer a manual state, as a person or the API would.

        Args:
            id: The instance.
            choice: The name of the chosen state.
            form: The values of the state's form.
            username: Who answers.
            settle: Whether to run at once what is due.

        Raises:
            RefusedError: If the instance waits for no answer, or not for this one; it lists what is permitted.
            VariablesError: If the values do not fit the form.
        """
        values = form.model_dump(mode="json", by_alias=True) if isinstance(form, BaseModel) else form
        await self.operations.answer(id, choice, form=values, username=username)
        if settle:
            await self.settle()

    async def settle(self) -> None:
        """Run whatever is due now, and what becomes due by it, until nothing is due any more."""
        runner = self._opened.worker
        while True:
            await runner.claim_due()
            if not runner.running:
                return
            await runner.wait_until_idle()

    async def advance(self, length: Duration) -> None:
        """Let time pass: what becomes due on the way runs at its own time, in order.

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
            NotEndedError: If it has not ended by then, or waits for what time alone does not bring. It says where the
                instance stands, and shows the last lines of its history.
            UnknownInstanceError: If there is none of this id.
        """
        until = self.clock.now() + to_microseconds(parse_duration(within))
        await self.settle()
        instance = await self.get(id)
        while not instance.has_ended:
            if not await self._advance_to_next(until):
                raise NotEndedError(await self._describe_progress(instance, parse_duration(within)))
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
        """Return the lines of an instance's history, the oldest first; with ``kind`` only those."""
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

    def _create_worker(self, store: Store, stack: AsyncExitStack) -> Worker:
        registry, settings, id = self.registry, self._settings, self._executor_id
        activations = ActivationRunner(
            registry.get_definition, registry.provided, self.clock, self._random, id, max_threads=settings.slots
        )
        stack.callback(activations.close)
        committer = Committer(store, id, max_batch_size=settings.batch)
        stack.push_async_callback(committer.close)
        waker = Wakeup(self.clock)
        return Worker(store, activations, committer, waker, settings, executor_id=id, types=registry.names)

    @property
    def _opened(self) -> _OpenHarness:
        if self._open is None:
            raise RuntimeError("the harness is not open: use it inside 'async with Harness(...) as flow'")
        return self._open

    async def _deregister_executor(self, store: Store) -> None:
        await store.executors.deregister(self._executor_id, now=self.clock.now())

    async def _advance_to_next(self, until: int) -> bool:
        """Move the clock to when something is next due; return False, and leave it, if nothing is by then."""
        now = self.clock.now()
        due = await self.store.instances.find_next_due(self._settings.groups, now=now)
        if due is None or due > until:
            return False
        self.clock.advance(due - now)
        return True

    async def _describe_progress(self, instance: Instance, within: timedelta) -> str:
        lines = (await self.history(instance.id))[-MAX_HISTORY_LINES:]
        told = "".join(f"\n    {_format_action(line)}" for line in lines)
        reason = f"\nIts reason: {instance.reason}" if instance.reason else ""
        return (
            f"{instance.type} {instance.id} ({instance.external_id}) has not ended within {format_duration(within)}: "
            f"it is {instance.status} in state {instance.state!r}, {self._describe_wait(instance)}.{reason}\n"
            f"The last lines of its history:{told}"
        )

    def _describe_wait(self, instance: Instance) -> str:
        if instance.type not in self.registry.names:
            return f"and no module here has the workflow; those here: {', '.join(self.registry.names)}"
        if instance.group not in self._settings.groups:
            return f"and its executor group {instance.group!r} is not run: pass Harness(groups=...)"
        if instance.waits_for_children:
            return f"waiting for {instance.open_children} children"
        if instance.status is Status.WAITING:
            targets = self.registry.get_definition(instance.type).get_state(instance.state).targets
            return f"waiting for an answer ({', '.join(targets)}): await flow.answer(...)"
        if instance.next_activation_us is not None:
            return f"due at {to_datetime(instance.next_activation_us):%Y-%m-%d %H:%M:%S} UTC"
        return "and no time is set for it"

    def _build_executor_record(self) -> ExecutorRecord:
        now = self.clock.now()
        return ExecutorRecord(
            id=self._executor_id,
            name="harness",
            host="",
            pid=0,
            groups=self._settings.groups,
            types=self.registry.names,
            slots=self._settings.slots,
            status="RUNNING",
            started=now,
            beat=now,
            lease_until=now + to_microseconds(timedelta(days=36525)),  # nobody beats for it
        )


def _build_dependencies(provide: Mapping[Any, object] | Dependencies | None) -> Dependencies:
    if isinstance(provide, Dependencies):
        return provide
    provided = Dependencies()
    for type, instance in (provide or {}).items():
        provided.provide_value(type, instance)
    return provided


def _format_action(line: Action) -> str:
    when = f"{to_datetime(line.at_us):%Y-%m-%d %H:%M:%S}"
    moved = " -> ".join(name for name in (line.from_state, line.to_state) if name)
    text = (line.text or "").partition("\n")[0]
    return " ".join(part for part in (when, line.kind.value, moved, text) if part)
