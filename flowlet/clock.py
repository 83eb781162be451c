"""Clocks: the store's clock in production, a virtual clock in tests.

Times are whole microseconds since 1970 UTC, as in the tables, without time zones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

__all__ = [
    "Clock",
    "StoreClock",
    "VirtualClock",
    "is_calendar_time",
    "limit_time",
    "set_call_deadline",
    "shorten_to_deadline",
    "to_datetime",
    "to_microseconds",
]

MICROSECONDS_PER_SECOND = 1_000_000
_call_deadline: ContextVar[tuple[asyncio.Task[Any] | None, float]] = ContextVar("flowlet_call_deadline")
"""A task, and when it stops to wait for the database, in the time of the event loop."""


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
    """Return microseconds since 1970 as an aware datetime in UTC; the nearest one outside of the years 1 to 9999.

    It never fails: a stored time that no calendar has would keep every page and list from showing its row.
    """
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=limit_time(value))


def is_calendar_time(value: int) -> bool:
    """Return whether a time in microseconds since 1970 is in the years 1 to 9999 in UTC."""
    return FIRST_TIME <= value <= LAST_TIME


def limit_time(value: int) -> int:
    """Return a time in microseconds since 1970, or the nearest one in the years 1 to 9999."""
    return min(max(value, FIRST_TIME), LAST_TIME)


FIRST_TIME = to_microseconds(datetime.min.replace(tzinfo=UTC))
LAST_TIME = to_microseconds(datetime.max.replace(tzinfo=UTC))


def set_call_deadline(seconds: float | None) -> None:
    """Let the statements of the current task end so many seconds from now; None for no deadline.

    The deadline is not that of other tasks, even if the current one starts them: they may go on beyond it.
    """
    if seconds is None:
        _call_deadline.set((None, 0.0))
    else:
        _call_deadline.set((asyncio.current_task(), asyncio.get_running_loop().time() + seconds))


def shorten_to_deadline(seconds: float | None) -> float | None:
    """Return a timeout in seconds, or None for none, that ends at the current task's deadline at the latest."""
    task, until = _call_deadline.get((None, 0.0))
    if task is None or task is not asyncio.current_task():
        return seconds
    left = max(0.0, until - asyncio.get_running_loop().time())
    return left if seconds is None else min(seconds, left)


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


def _find_elapsed_clock() -> Callable[[], int]:
    """Return what reads the nanoseconds since this machine was started; where the system can tell, of a suspend too."""
    boot_clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns if boot_clock is None else partial(time.clock_gettime_ns, boot_clock)


_read_elapsed_ns = _find_elapsed_clock()


class StoreClock:
    """The database server's time, advanced by this machine's monotonic clock between two readings.

    So executors whose own clocks differ agree on which instances are due and which leases have run out.
    ``synchronize`` is called with a reading at startup and at each heartbeat. Before the first one, the clock shows
    this machine's wall time.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1000 - _read_elapsed_ns() // 1000

    def synchronize(self, now: int) -> None:
        """Set the clock to a reading of the store's clock, in microseconds since 1970 UTC."""
        self._offset = now - _read_elapsed_ns() // 1000

    def now(self) -> int:
        """Return the store's time, in microseconds since 1970 UTC."""
        return _read_elapsed_ns() // 1000 + self._offset

    def monotonic(self) -> float:
        """Return this machine's monotonic seconds, those of a suspend included where the system can tell."""
        return _read_elapsed_ns() / 1_000_000_000

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
