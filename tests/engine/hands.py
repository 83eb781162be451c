"""Executors moved by hand: every claim, every run and every commit is a call of the test, in the order it wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

from flowlet.clock import VirtualClock, microseconds
from flowlet.engine.activation import Activations
from flowlet.engine.committer import Committer
from flowlet.engine.own_transaction import OwnTransaction
from flowlet.instances import Action, ActionKind, Instance
from flowlet.registry import Registry
from flowlet.store.dialect import ClaimRequest
from flowlet.store.executors import ExecutorRecord
from flowlet.store.instances import Verdict
from flowlet.store.opening import Store, open_store
from flowlet.transitions import Transition

__all__ = ["Hand", "Hands", "opened"]

LEASE = timedelta(seconds=30)


class Hands:
    """One database, the workflows of a test, and as many executors as it wants."""

    def __init__(self, store: Store, registry: Registry, clock: VirtualClock) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock

    async def hand(self, id: str = "executor-a", *, lease: timedelta = LEASE) -> Hand:
        """Return a registered executor."""
        now = self.clock.now()
        record = ExecutorRecord(
            id=id,
            name=id,
            host="here",
            pid=1,
            groups=("default",),
            types=self.registry.names,
            slots=10,
            status="RUNNING",
            started=now,
            beat=now,
            lease_until=now + microseconds(lease),
        )
        await self.store.executors.register(record)
        return Hand(self, id)

    async def create(self, name: str = "Orders", **values: Any) -> int:
        """Create an instance and return its id."""
        new = self.registry.definition(name).new_instance(values.pop("vars", None), now=self.clock.now(), **values)
        (created,) = await self.store.instances.create([new], now=self.clock.now())
        return created.id

    async def get(self, id: int) -> Instance:
        return await self.store.reads.get(id)

    async def history(self, id: int, kind: ActionKind | None = None) -> list[Action]:
        lines = await self.store.reads.history(id)
        return [line for line in lines if kind is None or line.kind is kind]

    async def rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return what a statement reads."""
        return await self.store.connections.read(lambda session: session.rows(sql, values))

    async def execute(self, sql: str, values: dict[str, Any] | None = None) -> None:
        """Run one statement in a transaction of its own."""
        await self.store.connections.write(lambda session: session.execute(sql, values))

    async def contents(self) -> list[list[tuple[Any, ...]]]:
        """Return every row that a commit may touch: to see that nothing was written."""
        tables = ("workflow", "workflow_action", "workflow_tally")
        return [sorted(await self.rows(f"SELECT * FROM {table}"), key=repr) for table in tables]


class Hand:
    """One executor: claims, runs and commits when it is told to, and does nothing by itself."""

    def __init__(self, hands: Hands, id: str) -> None:
        self._hands = hands
        self.id = id
        self.activations = Activations(
            hands.registry.definition, hands.registry.provided, hands.clock, Random(7), id, threads=2
        )

    async def claim(self, limit: int = 100, *, groups: Sequence[str] = ("default",)) -> list[Instance]:
        """Lease what is due."""
        types = self._hands.registry.names
        request = ClaimRequest(self.id, groups, types, limit, self._hands.clock.now())
        return await self._hands.store.instances.claim(request)

    async def claim_one(self, id: int) -> Instance:
        """Lease what is due, which has to be this one instance."""
        (instance,) = await self.claim()
        assert instance.id == id
        return instance

    async def run(self, instance: Instance) -> Transition:
        """Run one activation and return its transition, uncommitted."""
        reads = self._hands.store.reads
        children = tuple(await reads.children(instance.id)) if instance.children else ()
        parent = await reads.get(instance.parent_id) if instance.parent_id else None
        own = OwnTransaction(self._hands.store, self.id)
        async with own:
            return await self.activations.run(instance, children=children, parent=parent, transaction=own.open)

    async def commit(self, *transitions: Transition) -> list[Verdict]:
        """Commit transitions as one batch and return what became of each."""
        now = self._hands.clock.now()
        verdicts = await self._hands.store.instances.commit(self.id, transitions, now=now)
        return [verdicts[transition.instance.id] for transition in transitions]

    async def move(self, id: int) -> Transition:
        """Claim the one instance that is due, run it and commit it."""
        transition = await self.run(await self.claim_one(id))
        assert await self.commit(transition) == [Verdict.COMMITTED]
        return transition

    @asynccontextmanager
    async def committer(self, *, limit: int = 256, writers: int = 1, **more: Any) -> AsyncIterator[Committer]:
        """Give a committer of this executor."""
        committer = Committer(self._hands.store, self.id, limit=limit, writers=writers, **more)
        try:
            yield committer
        finally:
            await committer.close()


@asynccontextmanager
async def opened(database_url: str, *modules: ModuleType, clock: VirtualClock | None = None) -> AsyncIterator[Hands]:
    """Open a database for these workflows."""
    registry = Registry()
    for module in modules:
        registry.add(module)
    clock = clock or VirtualClock()
    async with open_store(database_url, clock=clock) as store:
        yield Hands(store, registry, clock)
