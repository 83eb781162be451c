"""Retrying while the store is away: one series of delays and one style of log lines for every loop of the engine."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flowlet.clock import Clock
from flowlet.errors import StoreUnavailableError

__all__ = ["DELAYS_SECONDS", "Backoff", "retry_while_away"]

DELAYS_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""How long to wait before each further attempt; the last one repeats."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Backoff:
    """The delays of one activity that the store does not let through, and their log lines.

    The first failure is a warning, or an error where the store answered with one; those that follow are debug lines, so
    that an outage of an hour is not thousands of warnings. The end of an outage is logged once.

    Args:
        activity: What is retried, as a log line begins: "claiming", "committing 5 transitions".
    """

    __slots__ = ("_activity", "failures")

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self.failures = 0

    def next_delay(self, error: Exception) -> float:
        """Log a failed attempt, and return how long to wait before the next one, in seconds."""
        delay = DELAYS_SECONDS[min(self.failures, len(DELAYS_SECONDS) - 1)]
        is_first = self.failures == 0
        self.failures += 1
        if isinstance(error, StoreUnavailableError):
            level = logging.WARNING if is_first else logging.DEBUG
            logger.log(level, "%s: the store is away, next attempt in %s s: %s", self._activity, delay, error)
        else:
            level = logging.ERROR if is_first else logging.DEBUG
            logger.log(level, "%s: unexpected error, next attempt in %s s", self._activity, delay, exc_info=error)
        return delay

    def reset(self) -> None:
        """Begin anew after an attempt that succeeded."""
        if self.failures:
            logger.info("%s: succeeded after %d failed attempts", self._activity, self.failures)
            self.failures = 0


async def retry_while_away(call: Callable[[], Awaitable[T]], clock: Clock, activity: str) -> T:
    """Return the result of a call, repeated for as long as the store is away.

    Args:
        call: What to repeat. It has to be safe to repeat where its first answer was lost.
        clock: Measures the delays.
        activity: What the call does, as a log line begins.

    Raises:
        Exception: Whatever the call raises, except ``StoreUnavailableError``.
    """
    backoff: Backoff | None = None
    while True:
        try:
            result = await call()
        except StoreUnavailableError as error:
            backoff = backoff or Backoff(activity)
            await clock.sleep(backoff.next_delay(error))
            continue
        if backoff is not None:
            backoff.reset()
        return result
