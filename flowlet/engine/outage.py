"""Outages of the store: retrying while it is away, and how long it was away lately.

One series of delays serves every loop of the engine, and an outage is one line in the log.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Self, TypeVar

from flowlet.clock import Clock, to_microseconds
from flowlet.errors import FlowletError, StoreUnavailableError
from flowlet.log_setup import PROCESS_OUTAGE, OutageLog

__all__ = ["DELAYS_SECONDS", "Backoff", "ConnectionLossError", "Contact", "retry_while_away"]

DELAYS_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""How long to wait before each further attempt; the last one repeats. It is what the end of an outage costs at most."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class ConnectionLossError(FlowletError):
    """The database closes the connection whenever it receives this batch, and answers all else."""

    def __init__(self, length: int, cause: Exception) -> None:
        super().__init__(
            f"the database closes the connection whenever it receives what is to be written here, about {length:,} "
            f"characters, and answers all else: {cause}"
        )


class Backoff:
    """The delays of one activity that the store does not let through, and their log lines.

    That the store is away is one line for all activities of the process, and so is that it is back. Where the store
    answered with an error, the first one is logged as an error, and the success that follows. All other lines are debug
    lines, so that an hour is not thousands of errors.

    A context manager: at the end of its block the activity has succeeded or was given up.

    Args:
        activity: What is retried, as a log line begins: "claiming", "committing 5 transitions".
        is_rare: Whether the activity notices that the store is back long after it is.
        outage_log: Where outages are logged.
    """

    __slots__ = ("_activity", "_has_logged_error", "_is_rare", "_outage_log", "failures")

    def __init__(self, activity: str, *, is_rare: bool = False, outage_log: OutageLog = PROCESS_OUTAGE) -> None:
        self._activity = activity
        self._is_rare = is_rare
        self._outage_log = outage_log
        self._has_logged_error = False
        self.failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.failures:
            self._outage_log.record_given_up(self)

    def next_delay(self, error: Exception) -> float:
        """Log a failed attempt, and return how long to wait before the next one, in seconds."""
        delay = DELAYS_SECONDS[min(self.failures, len(DELAYS_SECONDS) - 1)]
        self.failures += 1
        if isinstance(error, StoreUnavailableError):
            self._outage_log.record_failure(self, error, is_rare=self._is_rare)
            logger.debug("%s: the store is away, next attempt in %s s: %s", self._activity, delay, error)
        else:
            level = logging.DEBUG if self._has_logged_error else logging.ERROR
            self._has_logged_error = True
            logger.log(level, "%s: unexpected error, next attempt in %s s", self._activity, delay, exc_info=error)
        return delay

    def reset(self) -> None:
        """Begin anew after an attempt that succeeded."""
        if self.failures:
            level = logging.INFO if self._has_logged_error else logging.DEBUG
            logger.log(level, "%s: succeeded after %d failed attempts", self._activity, self.failures)
            self._outage_log.record_success(self)
            self.failures, self._has_logged_error = 0, False


class Contact:
    """How long the store could be reached lately. Leases are measured in such time.

    A lease that ran out while the store was away, or while this process or the whole machine stood still, says nothing
    about its executor: it could not renew it. So times without contact are subtracted from the age of leases. Before
    the first contact there was none.

    Args:
        clock: The store's clock. Where the machine's own clock does not show a suspend, it is behind until the next
            heartbeat sets it; that jump is a time without contact, too.
        lease: The length of a lease. Half of it without a sign of life counts as a time without contact.
        outage_log: Where outages are logged.
    """

    def __init__(self, clock: Clock, lease: timedelta, *, outage_log: OutageLog = PROCESS_OUTAGE) -> None:
        self._clock = clock
        self._outage_log = outage_log
        self._lease = to_microseconds(lease)
        self._last_seen = clock.now()
        self._failing_since: int | None = None
        self._outages: list[tuple[float, int]] = [(-math.inf, self._last_seen)]

    def record_running(self) -> int:
        """Note that this process has just been running, and return the time, in microseconds since 1970 UTC."""
        now = self._clock.now()
        if now - self._last_seen > self._lease // 2:
            self._add_outage(self._last_seen, now)
        self._last_seen = now
        return now

    def record_success(self) -> None:
        """Note that the store has just answered."""
        now = self.record_running()
        self._outage_log.record_contact()
        if self._failing_since is not None:
            self._add_outage(self._failing_since, now)
            self._failing_since = None

    def record_failure(self, since: int) -> None:
        """Note that the store did not answer a call that began at the given time, in microseconds since 1970 UTC."""
        if self._failing_since is None:
            self._failing_since = since

    def _add_outage(self, began: float, ended: int) -> None:
        while self._outages and self._outages[-1][1] >= began:
            began = min(began, self._outages.pop()[0])
        self._outages.append((began, ended))

    def get_expired_before(self) -> int | None:
        """Return the latest end of a lease that has run out, in microseconds since 1970 UTC.

        None while there has not yet been contact for the length of a lease.
        """
        now = until = self._clock.now()
        reached = lost = 0
        for place in reversed(range(len(self._outages))):
            began, ended = self._outages[place]
            reached += max(0, until - ended)
            if reached >= self._lease:
                del self._outages[:place]
                break
            if math.isinf(began):
                return None
            lost, until = lost + (ended - int(began)), int(began)
        return now - lost


async def retry_while_away(
    call: Callable[[], Awaitable[T]], clock: Clock, activity: str, *, seconds: float = math.inf
) -> T:
    """Return the result of a call, repeated for as long as the store is away.

    Args:
        call: What to repeat. It has to be safe to repeat where its first answer was lost.
        clock: Measures the delays.
        activity: What the call does, as a log line begins.
        seconds: After this time it is not repeated any more.

    Raises:
        StoreUnavailableError: If the store is still away after that time.
        Exception: Whatever else the call raises.
    """
    until = clock.monotonic() + seconds
    with Backoff(activity) as backoff:
        while True:
            try:
                result = await call()
            except StoreUnavailableError as error:
                if clock.monotonic() >= until:
                    raise
                await clock.sleep(backoff.next_delay(error))
            else:
                backoff.reset()
                return result
