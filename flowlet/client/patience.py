"""Whether a request is sent again, and after how long: the same for both clients."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from flowlet.client.calls import Call
from flowlet.client.errors import ClientError, TooManyRequestsError, UnavailableError, UnreachableError
from flowlet.durations import Duration, duration
from flowlet.errors import SettingsError
from flowlet.retry import Retry

__all__ = ["Patience", "Reconnection", "is_passing", "retry_after"]

MOST_RETRIES = 100
FIRST_DELAY, LONGEST_DELAY = "250ms", "5s"
RECONNECT_MS, LONGEST_RECONNECT = 2_000, timedelta(seconds=30)


def is_passing(error: ClientError) -> bool:
    """Return whether the same request may fare better a little later."""
    return isinstance(error, UnreachableError | TooManyRequestsError | UnavailableError)


def retry_after(error: ClientError) -> float:
    """Return how many seconds the server wants to be left alone; 0 where it says nothing."""
    return error.retry_after or 0.0 if isinstance(error, TooManyRequestsError | UnavailableError) else 0.0


class Patience:
    """How often and for how long a request is sent again that may be.

    Args:
        retries: How many attempts follow the first one at most, 0 to 100.
        within: No attempt begins later than that after the first one; a time that the server is told to wait comes on
            top.
        random: Where the delays are drawn from: evenly from zero to a bound that doubles each time, 5 seconds at most.

    Raises:
        SettingsError: If ``retries`` is out of range.
        DurationError: If ``within`` is not a length of time.
    """

    def __init__(self, retries: int, within: Duration, random: Random) -> None:
        if not 0 <= retries <= MOST_RETRIES:
            raise SettingsError(f"retries={retries!r} is not between 0 and {MOST_RETRIES}")
        self._retry = Retry(limit=retries, min=FIRST_DELAY, max=LONGEST_DELAY)
        self._within_seconds = duration(within) / timedelta(seconds=1)
        self._random = random

    def delay(self, call: Call[object], error: ClientError, *, attempt: int, elapsed: float) -> float | None:
        """Return how many seconds to wait before a request is sent again; None if it is not.

        Args:
            call: The request.
            error: What it came to.
            attempt: Which attempt that was, counted from 1.
            elapsed: How many seconds ago the first attempt began.
        """
        if not (call.may_repeat and is_passing(error) and self._retry.allows(attempt, error)):
            return None
        seconds = max(self._retry.delay(attempt, self._random).total_seconds(), retry_after(error))
        is_late = elapsed + seconds > self._within_seconds + (call.wait_seconds or 0.0)
        return None if is_late else seconds


class Reconnection:
    """How long a stream of events waits before it connects again: as the server says, and longer each time."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def succeed(self) -> None:
        """Begin anew: something has come."""
        self._failures = 0

    def delay(self, *, retry_ms: int | None, error: ClientError | None) -> float:
        """Return how many seconds to wait after one more connection has ended.

        Args:
            retry_ms: What the server has said last; None for nothing.
            error: Why it ended; None if the server ended it in good order.
        """
        self._failures += 1
        first = timedelta(milliseconds=max(1, RECONNECT_MS if retry_ms is None else retry_ms))
        retry = Retry(min=first, max=max(first, LONGEST_RECONNECT))
        seconds = retry.delay(self._failures, self._random).total_seconds()
        return seconds if error is None else max(seconds, retry_after(error))
