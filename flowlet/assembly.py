"""The engine of a process, put together in one place: for applications, commands, tests and benchmarks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from flowlet.clock import StoreClock, VirtualClock
from flowlet.definition.registry import Registry
from flowlet.engine.creates.direct_leases import DirectLeases
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.executor import Executor
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import retry_while_away
from flowlet.engine.waiters import Waiters
from flowlet.operations.service import Operations, close_operations
from flowlet.protected_tasks import create_protected_task
from flowlet.settings import ExecutorSettings
from flowlet.shutdown import cancel_and_wait, run_to_end
from flowlet.store.opening import Store, open_store

__all__ = ["Engine", "build_engine", "lease_directly", "open_engine", "run_executor"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """One open database, and everything of a process that works on it.

    Attributes:
        executor: None where the process runs no workflows.
    """

    store: Store
    registry: Registry
    operations: Operations
    waiters: Waiters
    event_broadcaster: EventBroadcaster
    executor: Executor | None

    async def close(self) -> None:
        """Refuse to create instances, and end every wait and every stream of events. The executor has to have ended."""
        await close_operations(self.operations)
        await self.waiters.close()
        self.event_broadcaster.close()


def build_engine(
    store: Store,
    registry: Registry,
    executor_settings: ExecutorSettings | None = None,
    *,
    observer: ExecutorObserver | None = None,
) -> Engine:
    """Return an engine on an open database. Nothing runs yet.

    Args:
        store: The database.
        registry: The workflows.
        executor_settings: The settings of its executor; None for an engine without one.
        observer: Is notified of what the executor does.
    """
    store.state_names.use_loaded(registry)
    waiters = Waiters(store, store.clock)
    executor = Executor(store, registry, executor_settings, observer=observer) if executor_settings else None
    operations = Operations(store, registry)
    if executor is not None:
        lease_directly(operations, executor.direct_leases)
    return Engine(store, registry, operations, waiters, EventBroadcaster(store), executor)


def lease_directly(operations: Operations, direct_leases: DirectLeases) -> None:
    """Let the executor of a process lease what is created through these operations; users do not call this."""
    operations._batcher.direct_leases = direct_leases


@asynccontextmanager
async def open_engine(
    url: str,
    registry: Registry,
    executor_settings: ExecutorSettings | None = None,
    *,
    observer: ExecutorObserver | None = None,
    clock: StoreClock | VirtualClock | None = None,
    schema: str | None = None,
    migrate: bool = True,
    wait: timedelta = timedelta(0),
) -> AsyncIterator[Engine]:
    """Open a database and an engine on it for the length of the block. Nothing runs yet.

    Args:
        url: The database, as ``open_store`` takes it, and so the schema and whether to migrate.
        registry: The workflows.
        executor_settings: The settings of its executor; None for an engine without one.
        observer: Is notified of what the executor does.
        clock: A virtual one in tests.
        schema: The schema of the tables on PostgreSQL.
        migrate: Whether to bring the tables up to date.
        wait: How long to wait for a database that is away.

    Raises:
        StoreError: If the database cannot be opened.
    """
    async with AsyncExitStack() as stack:
        store = await retry_while_away(
            lambda: stack.enter_async_context(open_store(url, schema=schema, clock=clock, migrate=migrate)),
            StoreClock(),
            "opening the database",
            seconds=wait.total_seconds(),
        )
        engine = build_engine(store, registry, executor_settings, observer=observer)
        try:
            yield engine
        finally:
            await run_to_end(engine.close())


@asynccontextmanager
async def run_executor(executor: Executor) -> AsyncIterator[None]:
    """Run an executor for the length of the block; drain it at the end, or stop it at once if the block is cancelled.

    Raises:
        StoreUnavailableError: If the store is away at the start.
    """
    task = create_protected_task(executor.run())
    try:
        await _wait_until_ready(task, executor)
        task.add_done_callback(lambda ended: _report_end(ended, executor))
        yield
    except (asyncio.CancelledError, GeneratorExit):
        await cancel_and_wait(task)
        raise
    finally:
        executor.stop()
        await task


def _report_end(task: asyncio.Task[None], executor: Executor) -> None:
    """Log that an executor has ended although its block runs on: its health check fails from now on."""
    if not executor.is_stopping or task.cancelled():
        error = None if task.cancelled() else task.exception()
        logger.error("the executor has ended by itself: this process runs no workflows any more", exc_info=error)


async def _wait_until_ready(task: asyncio.Task[None], executor: Executor) -> None:
    """Wait until the executor has registered, and raise the error that it ended with instead."""
    waiting = asyncio.create_task(executor.is_ready.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(waiting)
    if task.done():
        task.result()
