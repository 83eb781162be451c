"""A whole executor, running in the background of a test in real time, and handlers that wait for the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any

from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store, open_store
from tests.databases import find_schema
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module

__all__ = ["NEVER", "TIMEOUT_SECONDS", "ExecutorHarness", "GatedHandler", "find_tasks", "run_executor", "wait_for"]

TIMEOUT_SECONDS = 40
"""How long a test waits for what has to happen."""
NEVER = timedelta(hours=1)


class ExecutorHarness:
    """An executor that runs in the background of a test."""

    def __init__(self, store: Store, registry: Registry, executor: Executor) -> None:
        self.store = store
        self.registry = registry
        self.executor = executor
        self.task = asyncio.create_task(executor.run())

    async def create_instance(self, *, store: Store | None = None, **values: Any) -> int:
        """Create an instance and return its id; the executor is not woken."""
        store = store or self.store
        now = store.clock.now()
        new = self.registry.get_definition("Orders").build_instance(values.pop("vars", None), now=now, **values)
        (created,) = await store.instances.create([new], now=now)
        return created.id

    async def create_and_wake(self, **values: Any) -> int:
        """Create an instance and wake the executor."""
        id = await self.create_instance(**values)
        self.executor.wake()
        return id

    async def stop_executor(self) -> None:
        """Stop in good order: everything that has ended is committed then."""
        self.executor.stop()
        await wait_for(self.task)

    async def get_instance(self, id: int) -> Instance:
        return await self.store.queries.get(id)

    async def read_action_kinds(self, id: int) -> list[ActionKind]:
        return [line.kind for line in await self.store.queries.read_history(id)]

    async def read_executors(self) -> list[ExecutorRecord]:
        return await self.store.executors.list_all()


@asynccontextmanager
async def run_executor(
    database_url: str, *modules: ModuleType, provided: Dependencies | None = None, **settings: Any
) -> AsyncIterator[ExecutorHarness]:
    """Run an executor; it is stopped at the end, at once if need be."""
    registry = Registry(provided)
    for module in modules:
        registry.add(module)
    given = ExecutorSettings(**{"slots": 4, "poll_interval": NEVER, **settings})
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        run = ExecutorHarness(store, registry, Executor(store, registry, given))
        try:
            await wait_for(run.executor.is_ready.wait())
            yield run
        finally:
            run.executor.stop()
            run.executor.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await run.task


async def wait_for(awaitable: Any) -> Any:
    """Wait for what has to happen, and fail where it does not."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await awaitable


def find_tasks(*names: str) -> list[asyncio.Task[Any]]:
    """Return the tasks of these names that run now, of which there has to be at least one."""
    found = [task for task in asyncio.all_tasks() if task.get_name() in names]
    assert found, f"no task is named {' or '.join(names)}"
    return found


class GatedHandler:
    """A handler that says when it has begun, and ends when it may."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.was_cancelled = asyncio.Event()
        self.run_count = 0

    def build_module(self) -> ModuleType:
        async def check() -> str:
            self.run_count += 1
            self.started.set()
            try:
                await self.may_finish.wait()
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
            return "done"

        return build_workflow_module(**build_single_state(check))
