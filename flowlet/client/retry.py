"""The policies for retries and reconnects, shared by both clients."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from flowlet.client.errors import ClientError, TooManyRequestsError, UnavailableError, UnreachableError
from flowlet.client.request import ApiRequest
from flowlet.clock import Duration, parse_duration
from flowlet.errors import SettingsError
from flowlet.workflow.retry import Retry

__all__ = ["ReconnectPolicy", "RetryPolicy", "get_retry_after", "is_transient"]

MAX_RETRIES = 100
FIRST_DELAY, MAX_DELAY = "250ms", "5s"
DEFAULT_RECONNECT_MILLISECONDS, MAX_RECONNECT_DELAY = 2_000, timedelta(seconds=30)


def is_transient(error: ClientError) -> bool:
    """Return whether the same request may succeed a little later."""
    return isinstance(error, UnreachableError | TooManyRequestsError | UnavailableError)


def get_retry_after(error: ClientError) -> float:
    """Return the server's Retry-After in seconds; 0 if it sent none."""
    return error.retry_after_seconds or 0.0 if isinstance(error, TooManyRequestsError | UnavailableError) else 0.0


class RetryPolicy:
    """How often and for how long a request that is safe to repeat is retried.

    Args:
        retries: How many attempts may follow the first one, 0 to 100.
        max_elapsed: No attempt begins later than this after the first one. The time that the server is asked to wait is
            added to it.
        random: The source of the delays, which are drawn evenly from zero to a bound that doubles with each attempt, up
            to 5 seconds.

    Raises:
        SettingsError: If ``retries`` is out of range.
        DurationError: If ``max_elapsed`` is not a duration.
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
        """Return how many seconds to wait before the next attempt; None if there is none.

        Args:
            api_request: The request.
            error: The error of the last attempt.
            attempt: The number of the last attempt, counted from 1.
            elapsed_seconds: How many seconds ago the first attempt began.
        """
        if not (api_request.may_repeat and is_transient(error) and self._retry.may_retry(attempt, error)):
            return None
        seconds = max(self._retry.draw_delay(attempt, self._random).total_seconds(), get_retry_after(error))
        is_late = elapsed_seconds + seconds > self._max_elapsed_seconds + (api_request.wait_seconds or 0.0)
        return None if is_late else seconds


class ReconnectPolicy:
    """How long an event stream waits before it reconnects: the server's ``retry:``, and longer after each failure."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def reset(self) -> None:
        """Forget past failures, after data has arrived."""
        self._failures = 0

    def compute_delay(self, *, retry_milliseconds: int | None, error: ClientError | None) -> float:
        """Return how many seconds to wait before reconnecting, and count one more failure.

        Args:
            retry_milliseconds: The server's last ``retry:``; None if it sent none.
            error: Why the connection ended; None if the server closed it in order.
        """
        self._failures += 1
        first = timedelta(
            milliseconds=max(1, DEFAULT_RECONNECT_MILLISECONDS if retry_milliseconds is None else retry_milliseconds)
        )
        retry = Retry(min=first, max=max(first, MAX_RECONNECT_DELAY))
        seconds = retry.draw_delay(self._failures, self._random).total_seconds()
        return seconds if error is None else max(seconds, get_retry_after(error))
