"""The sleep of an executor: until an instance is due, or a commit wakes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from flowlet.clock import MICROSECONDS_PER_SECOND, Clock
from flowlet.engine.batches.queue_claims import ClaimResult
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.transition import Transition
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import Store

__all__ = ["DueTimeCache", "Wakeup", "schedule_wakeup"]


class Wakeup:
    """The sleep of one task, which any other may end. A wake-up that comes while it is awake ends its next sleep.

    Of several times given to ``wake_at`` it keeps the earliest; after that ``sleep`` says whether there were others.

    Attributes:
        is_woken: Whether the next sleep ends at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = asyncio.Event()
        self._due: int | None = None
        self._has_dropped_time = False
        self._sleeps_until = 0
        self.is_woken = False

    @property
    def is_asleep(self) -> bool:
        """Whether the task sleeps, and nothing has woken it yet."""
        return self._sleeps_until > self._clock.now() and not self.is_woken

    def wake(self) -> None:
        """End the sleep now, or the next one at once."""
        self.is_woken = True
        self._changed.set()

    def wake_at(self, due: int | None) -> None:
        """End a sleep at this time at the latest, in microseconds since 1970 UTC; None changes nothing."""
        if due is None or due == self._due:
            return
        if self._due is not None:
            self._has_dropped_time = True
            if self._due < due:
                return
        self._due = due
        if self._sleeps_until > due:
            self._sleeps_until = due
            self._changed.set()

    async def sleep(self, seconds: float, until: int | None = None) -> bool:
        """Wait until woken, or until the first of some times has come.

        Args:
            seconds: How long to wait at most.
            until: A time that the sleeper knows of itself, in microseconds since 1970 UTC.

        Returns:
            Whether a time given to ``wake_at`` has come, and others were dropped: the sleeper has to find them itself.
        """
        ends = (self._clock.now() + round(seconds * MICROSECONDS_PER_SECOND), self._due, until)
        self._sleeps_until = min(end for end in ends if end is not None)
        with contextlib.suppress(TimeoutError):
            while not self.is_woken:
                self._changed.clear()
                async with asyncio.timeout(max(0, self._sleeps_until - self._clock.now()) / MICROSECONDS_PER_SECOND):
                    await self._changed.wait()
        self._sleeps_until, self.is_woken = 0, False
        if self._due is None or self._due > self._clock.now():
            return False
        has_dropped_time, self._due, self._has_dropped_time = self._has_dropped_time, None, False
        return has_dropped_time


class DueTimeCache:
    """When the next instance is due; read from the store again only where that may have changed."""

    def __init__(self, store: Store, settings: ExecutorSettings, types: Sequence[str]) -> None:
        self._store = store
        self._settings = settings
        self._types = types
        self._next_due: int | None = None
        self._refreshed_at = 0.0
        self.is_stale = True

    async def find_next_due(self, claimed: ClaimResult) -> int | None:
        """Return when the next instance is due after the time of the claim."""
        clock = self._store.clock
        is_old = clock.monotonic() - self._refreshed_at >= self._settings.poll_interval.total_seconds()
        has_passed = self._next_due is not None and self._next_due <= claimed.now
        if claimed.instance_count or is_old or has_passed or self.is_stale:
            self.is_stale = False
            try:
                self._next_due = await self._store.instances.find_next_due(
                    self._settings.groups, self._types, now=claimed.now
                )
            except BaseException:
                self.is_stale = True
                raise
            self._refreshed_at = clock.monotonic()
        return self._next_due


def schedule_wakeup(wakeup: Wakeup, committed: Transition) -> None:
    """Wake an executor when a transition that it has committed, and that gave up the lease, makes something due."""
    has_parent = committed.instance.parent_id is not None
    notifies_parent = has_parent and (committed.wakes_parent or committed.status in ENDED_STATUSES)
    has_spawned = committed.spawned > 0 or committed.wake_at_open_children is not None
    if has_spawned or notifies_parent or committed.messages is not None:  # a message that has come makes it due at once
        wakeup.wake()
    if committed.status in (Status.IN_PROGRESS, Status.WAITING):
        wakeup.wake_at(committed.next_activation_us)
