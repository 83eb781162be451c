"""A whole executor, running in the background of a test in real time, and handlers that wait for the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any

from flowlet.engine.executor import Executor
from flowlet.instances import ActionKind, Instance
from flowlet.provided import Provided
from flowlet.registry import Registry
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store, open_store
from tests.engine.making import one_state, workflow_module

__all__ = ["NEVER", "SECONDS", "Gate", "Running", "running", "seen"]

SECONDS = 20
"""How long a test waits for what has to happen."""
NEVER = timedelta(hours=1)


class Running:
    """An executor that runs in the background of a test."""

    def __init__(self, store: Store, registry: Registry, executor: Executor) -> None:
        self.store = store
        self.registry = registry
        self.executor = executor
        self.task = asyncio.create_task(executor.run())

    async def create(self, *, store: Store | None = None, **values: Any) -> int:
        """Create an instance and return its id; the executor is not told."""
        store = store or self.store
        now = store.clock.now()
        new = self.registry.definition("Orders").new_instance(values.pop("vars", None), now=now, **values)
        (created,) = await store.instances.create([new], now=now)
        return created.id

    async def start(self, **values: Any) -> int:
        """Create an instance and wake the executor."""
        id = await self.create(**values)
        self.executor.wake()
        return id

    async def stop(self) -> None:
        """Stop in good order: everything that has ended is committed then."""
        self.executor.stop()
        await seen(self.task)

    async def get(self, id: int) -> Instance:
        return await self.store.reads.get(id)

    async def kinds(self, id: int) -> list[ActionKind]:
        return [line.kind for line in await self.store.reads.history(id)]

    async def executors(self) -> list[ExecutorRecord]:
        return await self.store.executors.all()


@asynccontextmanager
async def running(
    database_url: str, *modules: ModuleType, provided: Provided | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Run an executor; it is stopped at the end, at once if need be."""
    registry = Registry(provided)
    for module in modules:
        registry.add(module)
    given = ExecutorSettings(**{"slots": 4, "poll": NEVER, **settings})
    async with open_store(database_url) as store:
        run = Running(store, registry, Executor(store, registry, registry.provided, given))
        try:
            await seen(run.executor.is_ready.wait())
            yield run
        finally:
            run.executor.stop()
            run.executor.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await run.task


async def seen(awaitable: Any) -> Any:
    """Wait for what has to happen, and fail where it does not."""
    async with asyncio.timeout(SECONDS):
        return await awaitable


class Gate:
    """A handler that says when it has begun, and ends when it may."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_cancelled = asyncio.Event()
        self.runs = 0

    def module(self) -> ModuleType:
        async def check() -> str:
            self.runs += 1
            self.begun.set()
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
            return "done"

        return workflow_module(**one_state(check))
