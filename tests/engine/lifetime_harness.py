"""Cancellation at any step of the event loop, and what must not be left of an engine after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flowlet.clock import StoreClock
from flowlet.store.connection import Connections
from flowlet.store.opening import Store
from tests.engine.executor_harness import wait_for

__all__ = ["LifetimeHarness"]

CLOCK = StoreClock()
THREAD_SECONDS = 5.0
LOOP_THREAD_PREFIX = "asyncio_"
"""The loop's own pool of threads, which ends with the loop."""


class LifetimeHarness:
    """Runs a life, cancels it at a step, and checks that nothing of it is left.

    A step is a callback that the event loop is given. So a moment lies before any await of any task of the life, and
    does not depend on how fast the machine is.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._is_over = False
        self.late_calls: list[str] = []
        for name in ("read", "write", "run_on_engine"):
            monkeypatch.setattr(Connections, name, self._record_late_calls(name))

    async def count_steps(self, run: Callable[[], Awaitable[None]]) -> int:
        """Return how many steps a life has that is not cancelled."""
        with _watch_steps(None, lambda: None) as steps:
            await run()
        return steps[0]

    async def cancel_at(self, step: int, run: Callable[[], Awaitable[None]]) -> int | None:
        """Run a life in a task, and cancel it at a step; return how many it had if it ended before, otherwise None."""
        self._is_over = False
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        life = asyncio.ensure_future(run())
        with _watch_steps(step, life.cancel) as steps:
            await wait_for(asyncio.wait([life]))
        self._is_over = True
        self.check_nothing_runs(tasks, threads)
        if life.cancelled():
            return None
        life.result()
        return steps[0]

    def check_nothing_runs(self, tasks: set[asyncio.Task[Any]], threads: set[threading.Thread]) -> None:
        """Check that there are no tasks and no threads besides those that were there before."""
        left = [task.get_coro() for task in asyncio.all_tasks() - tasks if not task.done()]
        assert not left, f"tasks are left: {left}"
        new = [one for one in set(threading.enumerate()) - threads if not one.name.startswith(LOOP_THREAD_PREFIX)]
        for thread in new:
            thread.join(THREAD_SECONDS)  # an idle one is about to end
        alive = [thread.name for thread in new if thread.is_alive()]
        assert not alive, f"threads are left: {alive}"

    async def check_store(self, store: Store) -> None:
        """Check that every executor is ended, and holds nothing."""
        self._is_over = False
        assert [one.id for one in await store.executors.list_all() if one.is_live] == []
        sql = "SELECT id, executor_id FROM flowlet_workflow WHERE executor_id IS NOT NULL"
        assert await store.connections.read(lambda session: session.fetch_rows(sql)) == []

    def _record_late_calls(self, name: str) -> Callable[..., Any]:
        original = getattr(Connections, name)

        async def call(connections: Connections, *values: Any, **options: Any) -> Any:
            if self._is_over:
                self.late_calls.append(name)
            return await original(connections, *values, **options)

        return call


@contextmanager
def _watch_steps(step: int | None, on_step: Callable[[], object]) -> Iterator[list[int]]:
    """Count the callbacks that the running loop is given, and call ``on_step`` as the given one's successor."""
    loop: Any = asyncio.get_running_loop()
    counted, original = [0], loop.call_soon

    def call_soon(callback: Any, *values: Any, **options: Any) -> Any:
        counted[0] += 1
        handle = original(callback, *values, **options)
        if counted[0] == step:
            original(on_step)
        return handle

    loop.call_soon = call_soon
    try:
        yield counted
    finally:
        del loop.call_soon
