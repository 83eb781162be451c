"""Clocks: the store's clock in production, a virtual clock in tests; and durations as people write them.

Times are whole microseconds since 1970 UTC, as in the tables, without time zones.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from flowlet.errors import DurationError

__all__ = [
    "Clock",
    "Duration",
    "StoreClock",
    "VirtualClock",
    "format_duration",
    "is_calendar_time",
    "limit_time",
    "parse_duration",
    "parse_time",
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


def parse_time(text: str) -> datetime:
    """Return the time of an ISO 8601 text, as a person enters it: in UTC, unless it names another offset.

    Raises:
        ValueError: If it is no such text.
    """
    given = datetime.fromisoformat(text)
    return given if given.tzinfo else given.replace(tzinfo=UTC)


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
    """A clock that changes only when it is advanced: time in tests.

    Args:
        start: The time at which it begins.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = to_microseconds(start)

    def synchronize(self, now: int) -> None:
        """Ignore the store's clock: tests use virtual time only.

        Args:
            now: The store's time, in microseconds since 1970 UTC.
        """

    def now(self) -> int:
        """Return the virtual time, in microseconds since 1970 UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the virtual time in seconds."""
        return self._now / MICROSECONDS_PER_SECOND

    def advance(self, microseconds: int) -> None:
        """Advance the time.

        Args:
            microseconds: By how much.

        Raises:
            ValueError: If it is negative.
        """
        if microseconds < 0:
            raise ValueError(f"time can only be advanced, not moved by {microseconds} microseconds")
        self._now += microseconds

    async def sleep(self, seconds: float) -> None:
        """Advance the time instead of waiting; a negative number is no wait, as for asyncio.

        Args:
            seconds: For how long the caller would wait.
        """
        self.block(seconds)
        await asyncio.sleep(0)

    def block(self, seconds: float) -> None:
        """Advance the time instead of waiting, as ``sleep`` does.

        Args:
            seconds: For how long the caller would wait.
        """
        self.advance(max(0, round(seconds * MICROSECONDS_PER_SECOND)))


Duration = str | timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "millisecond": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "sec": timedelta(seconds=1),
    "second": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "minute": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "hour": timedelta(hours=1),
    "d": timedelta(days=1),
    "day": timedelta(days=1),
    "w": timedelta(weeks=1),
    "week": timedelta(weeks=1),
}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)(?:\s*,\s*(?=\d)|\s+and\s+|\s*)", re.ASCII)
_ISO = re.compile(
    r"P(?=.)(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_MAX_DURATION_LENGTH = 100
_MAX_DURATION = timedelta(days=36525)
_EXAMPLES = "Write it like '10 minutes', '1h30m', '500ms', '2 days' or 'PT10M'"


def parse_duration(value: Duration) -> timedelta:
    """Return the duration that a text describes; a timedelta is returned unchanged.

    Units are ms, s, m (minutes), h, d and w, also written out, and can be combined ("1h 30m"). ISO 8601 durations are
    accepted up to weeks; months and years are rejected, because their length varies.

    Raises:
        DurationError: If a part of the text is not understood, has no unit, or the duration is negative or longer than
            a hundred years.
    """
    parsed = value if isinstance(value, timedelta) else _parse_text(value)
    if parsed is None:
        raise DurationError(f"{value!r} is not a duration. {_EXAMPLES}.")
    if not timedelta(0) <= parsed <= _MAX_DURATION:
        raise DurationError(f"{value!r} is not between zero and a hundred years.")
    return parsed


def format_duration(value: timedelta) -> str:
    """Return a duration in words that ``parse_duration`` accepts: "1 hour 30 minutes", "0 seconds"."""
    parts = []
    for name in ("day", "hour", "minute", "second"):
        amount, value = divmod(value, _UNITS[name])
        if amount:
            parts.append(f"{amount} {name}{'s' if amount != 1 else ''}")
    if value:
        parts.append(f"{value / timedelta(milliseconds=1):g} milliseconds")
    return " ".join(parts) or "0 seconds"


def _parse_text(text: str) -> timedelta | None:
    if not isinstance(text, str):
        raise DurationError(f"{text!r} is a {type(text).__name__}, not a duration. {_EXAMPLES}.")
    if len(text) > _MAX_DURATION_LENGTH:
        raise DurationError(
            f"{text[:_MAX_DURATION_LENGTH]!r}... is longer than {_MAX_DURATION_LENGTH} characters. {_EXAMPLES}."
        )
    text = text.strip()
    if iso := _ISO.fullmatch(text):
        parts = [(amount, unit) for unit, amount in iso.groupdict().items() if amount]
    else:
        parts = _PART.findall(text.lower())
        if "".join(match[0] for match in _PART.finditer(text.lower())) != text.lower():
            return None
    if not parts or any(_find_unit(unit) is None for _, unit in parts):
        return None
    try:
        return sum((float(amount) * (_find_unit(unit) or timedelta(0)) for amount, unit in parts), timedelta(0))
    except OverflowError:
        return timedelta.max


def _find_unit(name: str) -> timedelta | None:
    return _UNITS.get(name) or (_UNITS.get(name[:-1]) if len(name) > 3 and name.endswith("s") else None)
