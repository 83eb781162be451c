"""Clocks: the store's clock in production, a virtual clock in tests.

Times are whole microseconds since 1970 UTC, as in the tables, without time zones.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "StoreClock", "VirtualClock", "to_datetime", "to_microseconds"]

MICROSECONDS_PER_SECOND = 1_000_000


def to_microseconds(value: datetime | timedelta) -> int:
    """Return a time as whole microseconds since 1970 UTC, or a duration as whole microseconds.

    Raises:
        ValueError: If a datetime has no time zone.
    """
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: pass an aware datetime, such as datetime.now(UTC)")
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def to_datetime(value: int) -> datetime:
    """Return microseconds since 1970 as an aware datetime in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)


class Clock(Protocol):
    """The clock of the engine."""

    def now(self) -> int:
        """Return the current time, in microseconds since 1970 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never decrease, to measure durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for the given number of seconds."""
        ...

    def block(self, seconds: float) -> None:
        """Block the calling thread for the given number of seconds; never call it in the event loop's thread."""
        ...


class StoreClock:
    """The database server's time, advanced by this machine's monotonic clock between two readings.

    So executors whose own clocks differ agree on which instances are due and which leases have run out.
    ``synchronize`` is called with a reading at startup and at each heartbeat. Before the first one, the clock shows
    this machine's wall time.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1000 - time.monotonic_ns() // 1000

    def synchronize(self, now: int) -> None:
        """Set the clock to a reading of the store's clock, in microseconds since 1970 UTC."""
        self._offset = now - time.monotonic_ns() // 1000

    def now(self) -> int:
        """Return the store's time, in microseconds since 1970 UTC."""
        return time.monotonic_ns() // 1000 + self._offset

    def monotonic(self) -> float:
        """Return this machine's monotonic seconds."""
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Wait for the given number of seconds."""
        await asyncio.sleep(seconds)

    def block(self, seconds: float) -> None:
        """Block the calling thread for the given number of seconds; a negative number is no wait, as for ``sleep``."""
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that changes only when it is advanced: time in tests."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = to_microseconds(start)

    def synchronize(self, now: int) -> None:
        """Ignore the store's clock: tests use virtual time only."""

    def now(self) -> int:
        """Return the virtual time, in microseconds since 1970 UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the virtual time in seconds."""
        return self._now / MICROSECONDS_PER_SECOND

    def advance(self, microseconds: int) -> None:
        """Advance the time.

        Raises:
            ValueError: If the amount is negative.
        """
        if microseconds < 0:
            raise ValueError(f"time can only be advanced, not moved by {microseconds} microseconds")
        self._now += microseconds

    async def sleep(self, seconds: float) -> None:
        """Advance the time instead of waiting; a negative number is no wait, as for asyncio."""
        self.block(seconds)
        await asyncio.sleep(0)

    def block(self, seconds: float) -> None:
        """Advance the time instead of waiting, as ``sleep`` does."""
        self.advance(max(0, round(seconds * MICROSECONDS_PER_SECOND)))
