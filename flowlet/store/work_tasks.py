"""The tasks of units of work, which no cancellation of a caller interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from flowlet.protected_tasks import build_own_context, create_protected_task

__all__ = ["WorkTasks"]

T = TypeVar("T")


class WorkTasks:
    """The units of work that are under way, each in a task of its own, until they are closed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a unit of work to its end, also where the caller is cancelled meanwhile, and return its result.

        Raises:
            RuntimeError: If they are closed.
        """
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a unit of work, and return its task.

        Raises:
            RuntimeError: If they are closed.
        """
        if self._is_closed:
            work.close()
            raise RuntimeError("the store is closed, and nothing was read or written")
        task = create_protected_task(work, context=build_own_context())
        self._tasks.add(task)
        task.add_done_callback(self._finish_task)
        return task

    async def wait_until_idle(self, *, timeout: float | None = None) -> None:
        """Return when the units of work that are under way now have ended, or after so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def close(self) -> None:
        """Refuse further work, and return when all has ended: after 10 seconds it is cancelled."""
        self._is_closed = True
        await self.wait_until_idle(timeout=10)
        for task in self._tasks:
            task.cancel()
        await self.wait_until_idle(timeout=5)

    def _finish_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # read, or asyncio logs "exception was never retrieved" for an abandoned caller
