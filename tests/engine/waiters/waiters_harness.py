"""Waits that a test can watch: a workflow of two states, and a store whose look-ups are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from flowlet.clock import VirtualClock
from flowlet.engine.waiters import Waiters
from flowlet.errors import StoreUnavailableError
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.manual_executor import EngineHarness

__all__ = ["ORDERS", "count_reads", "open_deaf_waiters", "open_waiters"]


@state(start=True, next=["ship"])
async def check() -> Next:
    return ship


@state(next=["done", "ship"])
async def ship() -> str:
    return "done"


done = end()
ORDERS = build_workflow_module(check=check, ship=ship, done=done)


class CountingReads:
    """The look-ups of a store, counted by name, and away when a test wants it."""

    def __init__(self, reads: Any) -> None:
        self._reads = reads
        self.calls: list[str] = []
        self.replacements: dict[str, Callable[..., Any]] = {}
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._reads, name)

        async def count_call(*given: Any, **named: Any) -> Any:
            self.calls.append(name)
            if self.is_away:
                raise StoreUnavailableError("the database is away")
            return await self.replacements.get(name, method)(*given, **named)

        return count_call


@asynccontextmanager
async def open_waiters(engine: EngineHarness, clock: VirtualClock) -> AsyncIterator[Waiters]:
    """Let the test wait as the application does."""
    arrivals = Waiters(engine.store, clock)
    try:
        yield arrivals
    finally:
        await arrivals.close()


@asynccontextmanager
async def open_deaf_waiters(engine: EngineHarness, clock: VirtualClock) -> AsyncIterator[Waiters]:
    """Let the test wait where no commit is heard of: what is found is found by looking."""
    await engine.store.commit_signal.close()
    async with open_waiters(engine, clock) as waiters:
        yield waiters


def count_reads(arrivals: Waiters) -> CountingReads:
    """Count the look-ups of these waits from now on."""
    counting = CountingReads(arrivals._reads)
    arrivals._reads = counting  # type: ignore[assignment]  # it does the same
    return counting
