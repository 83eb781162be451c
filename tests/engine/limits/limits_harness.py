"""Executors of a limited workflow on one database and one virtual clock: they claim only when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

from flowlet.clock import Duration, VirtualClock, parse_duration, to_microseconds
from flowlet.definition.registry import Registry
from flowlet.engine.limits.claims import list_policies
from flowlet.engine.worker_parts import WorkerParts, build_executor_record, build_worker_parts
from flowlet.instance.instance import Instance
from flowlet.operations.doctor import examine_store
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.limits.limits import LimitUse
from flowlet.store.opening import Store, open_store
from tests.databases import find_schema

__all__ = ["LimitedExecutor", "LimitsHarness", "open_limits"]

LEASE = timedelta(hours=10)
IS_OPEN = "status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"


class LimitedExecutor:
    """One executor: its worker, its workflows, and the operations of a person in its process."""

    def __init__(self, store: Store, registry: Registry, parts: WorkerParts, id: str) -> None:
        self.id = id
        self.worker = parts.worker
        self.parts = parts
        self.operations = Operations(store, registry)

    async def claim(self) -> int:
        """Claim what is due and begin to run it; return how many instances it was."""
        return (await self.worker.claim_due()).instance_count


class LimitsHarness:
    """One database, and as many executors as a test wants."""

    def __init__(self, store: Store, clock: VirtualClock, stack: AsyncExitStack) -> None:
        self.store = store
        self.clock = clock
        self._stack = stack
        self.executors: list[LimitedExecutor] = []

    async def add_executor(self, module: ModuleType, *, slots: int = 10) -> LimitedExecutor:
        """Return a registered executor of a module, which has stored its limits."""
        registry = Registry()
        registry.add(module)
        id = f"executor-{len(self.executors)}"
        settings = ExecutorSettings(name=id, slots=slots, lease=LEASE)
        await self.store.definitions.save_definitions(registry.definitions, now=self.clock.now())
        await self.store.limits.save_policies(list_policies(registry.definitions))
        await self.store.executors.register(build_executor_record(settings, registry, id=id, now=self.clock.now()))
        parts = build_worker_parts(self.store, registry, settings, id, random=Random(7), look_seconds=0)
        self._stack.callback(parts.activations.close)
        self._stack.push_async_callback(parts.committer.close)
        self._stack.push_async_callback(parts.worker.cancel_all)
        added = LimitedExecutor(self.store, registry, parts, id)
        self.executors.append(added)
        return added

    async def create(self, customers: Sequence[str], **values: Any) -> list[int]:
        """Create an instance for each customer."""
        operations = self.executors[-1].operations
        created = [await operations.create("Charges", vars={"customer": name}, **values) for name in customers]
        return [one.id for one in created]

    async def claim_all(self) -> int:
        """Let all executors claim at the same time until none finds anything; return how many instances it was."""
        total = 0
        while count := sum(await asyncio.gather(*(one.claim() for one in self.executors))):
            total += count
        return total

    async def settle(self) -> None:
        """Run whatever is due, until nothing is any more."""
        await self.wait_until_idle()
        while await self.claim_all():
            await self.wait_until_idle()

    async def wait_until_idle(self) -> None:
        await asyncio.gather(*(one.worker.wait_until_idle() for one in self.executors))

    async def advance(self, length: Duration) -> None:
        """Let time pass, and run what is due then."""
        self.clock.advance(to_microseconds(parse_duration(length)))
        await self.settle()

    async def get(self, id: int) -> Instance:
        return await self.store.queries.get(id)

    async def read_limit(self) -> LimitUse:
        """Return the only limit."""
        (found,) = await self.store.limits.list_all(now=self.clock.now())
        return found

    async def count_open(self) -> int:
        sql = f"SELECT COUNT(*) FROM flowlet_workflow WHERE {IS_OPEN}"
        ((count,),) = await self.store.connections.read(lambda session: session.fetch_rows(sql))
        return int(count)

    async def check_all_ended(self) -> None:
        """Check that every instance is FINISHED, that none has a gate, and that the doctor finds nothing."""
        sql = "SELECT id, status, gate FROM flowlet_workflow WHERE status <> 'FINISHED' OR gate IS NOT NULL"
        assert not await self.store.connections.read(lambda session: session.fetch_rows(sql))
        assert not await examine_store(self.store)


@asynccontextmanager
async def open_limits(database_url: str) -> AsyncIterator[LimitsHarness]:
    """Open a database for executors of limited workflows."""
    clock = VirtualClock()
    async with (
        open_store(database_url, schema=find_schema(database_url), clock=clock) as store,
        AsyncExitStack() as stack,
    ):
        yield LimitsHarness(store, clock, stack)
