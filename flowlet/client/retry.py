"""Whether a request is sent again, and after how long: the same for both clients."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from flowlet.client.errors import ClientError, TooManyRequestsError, UnavailableError, UnreachableError
from flowlet.client.request import ApiRequest
from flowlet.durations import Duration, parse_duration
from flowlet.errors import SettingsError
from flowlet.workflow.retry import Retry

__all__ = ["ReconnectPolicy", "RetryPolicy", "get_retry_after", "is_transient"]

MAX_RETRIES = 100
FIRST_DELAY, MAX_DELAY = "250ms", "5s"
DEFAULT_RECONNECT_MILLISECONDS, MAX_RECONNECT_DELAY = 2_000, timedelta(seconds=30)


def is_transient(error: ClientError) -> bool:
    """Return whether the same request may fare better a little later."""
    return isinstance(error, UnreachableError | TooManyRequestsError | UnavailableError)


def get_retry_after(error: ClientError) -> float:
    """Return how many seconds the server wants to be left alone; 0 where it says nothing."""
    return error.retry_after_seconds or 0.0 if isinstance(error, TooManyRequestsError | UnavailableError) else 0.0


class RetryPolicy:
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

    def __init__(self, retries: int, max_elapsed: Duration, random: Random) -> None:
        if not 0 <= retries <= MAX_RETRIES:
            raise SettingsError(f"retries={retries!r} is not between 0 and {MAX_RETRIES}")
        self._retry = Retry(limit=retries, min=FIRST_DELAY, max=MAX_DELAY)
        self._max_elapsed_seconds = parse_duration(max_elapsed) / timedelta(seconds=1)
        self._random = random

    def compute_delay(
        self, api_request: ApiRequest[object], error: ClientError, *, attempt: int, elapsed_seconds: float
    ) -> float | None:
        """Return how many seconds to wait before a request is sent again; None if it is not.

        Args:
            api_request: The request.
            error: What it came to.
            attempt: Which attempt that was, counted from 1.
            elapsed_seconds: How many seconds ago the first attempt began.
        """
        if not (api_request.may_repeat and is_transient(error) and self._retry.may_retry(attempt, error)):
            return None
        seconds = max(self._retry.draw_delay(attempt, self._random).total_seconds(), get_retry_after(error))
        is_late = elapsed_seconds + seconds > self._max_elapsed_seconds + (api_request.wait_seconds or 0.0)
        return None if is_late else seconds


class ReconnectPolicy:
    """How long a stream of events waits before it connects again: as the server says, and longer each time."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def reset(self) -> None:
        """Begin anew: something has come."""
        self._failures = 0

    def compute_delay(self, *, retry_milliseconds: int | None, error: ClientError | None) -> float:
        """Return how many seconds to wait after one more connection has ended.

        Args:
            retry_milliseconds: What the server has said last; None for nothing.
            error: Why it ended; None if the server ended it in good order.
        """
        self._failures += 1
        first = timedelta(
            milliseconds=max(1, DEFAULT_RECONNECT_MILLISECONDS if retry_milliseconds is None else retry_milliseconds)
        )
        retry = Retry(min=first, max=max(first, MAX_RECONNECT_DELAY))
        seconds = retry.draw_delay(self._failures, self._random).total_seconds()
        return seconds if error is None else max(seconds, get_retry_after(error))
