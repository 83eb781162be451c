"""Executors moved by hand: every claim, every run and every commit is a call of the test, in the order it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

from flowlet.clock import VirtualClock
from flowlet.definition.registry import Registry
from flowlet.engine.committer import Committer
from flowlet.engine.handler_transaction import HandlerTransaction
from flowlet.engine.messages.reader import MessageReader
from flowlet.engine.worker_parts import build_executor_record, build_worker_parts
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance
from flowlet.instance.transition import Transition
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store, open_store
from flowlet.workflow.context import Relatives
from tests.databases import find_schema

__all__ = ["EngineHarness", "ManualExecutor", "open_engine"]

LEASE = timedelta(seconds=30)


class EngineHarness:
    """One database, the workflows of a test, and as many executors as it wants."""

    def __init__(self, store: Store, registry: Registry, clock: VirtualClock) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock

    async def add_executor(self, id: str = "executor-a", *, lease: timedelta = LEASE) -> ManualExecutor:
        """Return a registered executor."""
        settings = ExecutorSettings(name=id, slots=10, lease=lease)
        record = build_executor_record(settings, self.registry, id=id, now=self.clock.now())
        await self.store.executors.register(record)
        return ManualExecutor(self, settings)

    async def create_instance(self, name: str = "Orders", **values: Any) -> int:
        """Create an instance and return its id."""
        new = self.registry.get_definition(name).build_instance(
            values.pop("vars", None), now=self.clock.now(), **values
        )
        (created,) = await self.store.instances.create([new], now=self.clock.now())
        return created.id

    async def get_instance(self, id: int) -> Instance:
        return await self.store.queries.get(id)

    async def read_history(self, id: int, kind: ActionKind | None = None) -> list[Action]:
        lines = await self.store.queries.read_history(id)
        return [line for line in lines if kind is None or line.kind is kind]

    async def fetch_rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return what a statement reads."""
        return await self.store.connections.read(lambda session: session.fetch_rows(sql, values))

    async def execute_sql(self, sql: str, values: dict[str, Any] | None = None) -> None:
        """Run one statement in a transaction of its own."""
        await self.store.connections.write(lambda session: session.execute(sql, values))

    async def read_tables(self) -> list[list[tuple[Any, ...]]]:
        """Return every row that a commit may touch: to see that nothing was written."""
        tables = ("flowlet_workflow", "flowlet_action", "flowlet_counter")
        return [sorted(await self.fetch_rows(f"SELECT * FROM {table}"), key=repr) for table in tables]


class ManualExecutor:
    """One executor, which claims, runs and commits only when the test calls it."""

    def __init__(self, engine: EngineHarness, settings: ExecutorSettings) -> None:
        self._engine = engine
        self.id = settings.name
        parts = build_worker_parts(engine.store, engine.registry, settings, self.id, random=Random(7))
        self.activations = parts.activations

    async def claim_due(self, limit: int = 100, *, groups: Sequence[str] = ("default",)) -> list[Instance]:
        """Lease what is due."""
        types = self._engine.registry.names
        request = ClaimRequest(self.id, groups, types, limit, self._engine.clock.now())
        return (await self._engine.store.instances.claim(request)).instances

    async def claim_instance(self, id: int) -> Instance:
        """Lease what is due, which has to be this one instance."""
        (instance,) = await self.claim_due()
        assert instance.id == id
        return instance

    async def run_instance(self, instance: Instance, *, read_vars: Any = None) -> Transition:
        """Run one activation and return its transition, uncommitted.

        Args:
            instance: The instance, as claimed, or as the previous transition of the lease left it.
            read_vars: The variables that the previous transition has parsed.
        """
        reads = self._engine.store.queries
        children = tuple(await reads.list_children(instance.id)) if instance.children else ()
        parent = await reads.get(instance.parent_id) if instance.parent_id else None
        message = None
        if instance.unread and (names := self.activations.get_received_names(instance)):
            instance, message = await MessageReader(self._engine.store).read_next(instance, names)
        own = HandlerTransaction(self._engine.store, self.id)
        try:
            return await self.activations.run(
                instance,
                relatives=Relatives(children, parent),
                transaction=own.open,
                read_vars=read_vars,
                message=message,
            )
        finally:
            if own.end():
                await own.close()

    async def commit_transitions(self, *transitions: Transition) -> list[CommitResult]:
        """Commit transitions as one batch and return what became of each."""
        now = self._engine.clock.now()
        verdicts = await self._engine.store.instances.commit(self.id, transitions, now=now)
        return [verdicts[transition.instance.id] for transition in transitions]

    async def run_due_instance(self, id: int) -> Transition:
        """Claim the one instance that is due, run it and commit it."""
        transition = await self.run_instance(await self.claim_instance(id))
        assert await self.commit_transitions(transition) == [CommitResult.COMMITTED]
        return transition

    @asynccontextmanager
    async def open_committer(self, *, limit: int = 256, writers: int = 1, **options: Any) -> AsyncIterator[Committer]:
        """Give a committer of this executor."""
        committer = Committer(self._engine.store, self.id, max_batch_size=limit, writer_count=writers, **options)
        try:
            yield committer
        finally:
            await committer.close()


@asynccontextmanager
async def open_engine(
    database_url: str, *modules: ModuleType, clock: VirtualClock | None = None
) -> AsyncIterator[EngineHarness]:
    """Open a database for these workflows."""
    registry = Registry()
    for module in modules:
        registry.add(module)
    clock = clock or VirtualClock()
    async with open_store(database_url, schema=find_schema(database_url), clock=clock) as store:
        yield EngineHarness(store, registry, clock)
