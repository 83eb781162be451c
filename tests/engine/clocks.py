"""Clocks of three kinds: one never ends a pause, one ends it when the test calls it, one records the pauses."""

from __future__ import annotations

import asyncio

from flowlet.clock import VirtualClock
from tests.engine.executor_harness import wait_for

__all__ = ["RecordingClock", "SteppedClock", "StillClock"]


class StillClock(VirtualClock):
    """A clock on which no pause ever ends: a test that passes on it was notified, and did not poll."""

    def __init__(self) -> None:
        super().__init__()
        self.is_sleeping = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.is_sleeping.set()
        await asyncio.Event().wait()


class SteppedClock(VirtualClock):
    """A clock whose pauses end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_sleeping = asyncio.Event()
        self._next = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.is_sleeping.set()
        await self._next.wait()

    async def tick(self) -> None:
        """Let the pause end, and return when the next one has begun, or the last wait has ended."""
        await wait_for(self.is_sleeping.wait())
        self.is_sleeping.clear()
        self.advance(100_000)
        self._next.set()
        self._next = asyncio.Event()


class RecordingClock(VirtualClock):
    """A clock that remembers the pauses it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded_sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.recorded_sleeps.append(round(seconds, 3))
        await super().sleep(seconds)
