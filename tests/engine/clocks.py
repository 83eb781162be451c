"""Clocks for what waits: one that never ends a pause, one that ends it when told, one that remembers the pauses."""

from __future__ import annotations

import asyncio

from flowlet.clock import VirtualClock
from tests.engine.running import seen

__all__ = ["Pauses", "StillClock", "Ticks"]


class StillClock(VirtualClock):
    """A clock on which no pause ever ends: what happens in spite of it was told, not looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeps.set()
        await asyncio.Event().wait()


class Ticks(VirtualClock):
    """A clock whose pauses end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeping = asyncio.Event()
        self._next = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeping.set()
        await self._next.wait()

    async def tick(self) -> None:
        """Let the pause end, and return when the next one has begun, or nobody waits any more."""
        await seen(self.sleeping.wait())
        self.sleeping.clear()
        self.advance(100_000)
        self._next.set()
        self._next = asyncio.Event()


class Pauses(VirtualClock):
    """A clock that remembers the pauses it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(round(seconds, 3))
        await super().sleep(seconds)
