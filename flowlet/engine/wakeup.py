"""The sleep of an executor: until an instance is due, or a commit wakes it."""

from __future__ import annotations

import asyncio
import contextlib

from flowlet.clock import MICROSECONDS_PER_SECOND, Clock
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.transition import Transition

__all__ = ["Wakeup", "schedule_wakeup"]


class Wakeup:
    """The sleep of one task, which any other may end. A wake-up that comes while it is awake ends its next sleep."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()
        self._due: int | None = None
        self._sleeps_until = 0

    @property
    def is_asleep(self) -> bool:
        """Whether the task sleeps, and nothing has woken it yet."""
        return self._sleeps_until > self._clock.now() and not self._event.is_set()

    @property
    def is_woken(self) -> bool:
        """Whether the next sleep ends at once."""
        return self._event.is_set()

    def wake(self) -> None:
        """End the sleep now, or the next one at once."""
        self._event.set()

    def wake_at(self, due: int | None) -> None:
        """End the sleep at this time at the latest, in microseconds since 1970 UTC; None changes nothing."""
        if due is None or (self._due is not None and self._due <= due):
            return
        self._due = due
        if self._sleeps_until > due:
            self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Return after the given time at the latest, or when woken, or at the time given to ``wake_at``."""
        self._sleeps_until = self._clock.now() + round(seconds * MICROSECONDS_PER_SECOND)
        if self._due is not None:
            self._sleeps_until = min(self._sleeps_until, self._due)
        left = (self._sleeps_until - self._clock.now()) / MICROSECONDS_PER_SECOND
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0)):
                await self._event.wait()
        self._sleeps_until = 0
        if self._due is not None and self._due <= self._clock.now():
            self._due = None
        self._event.clear()


def schedule_wakeup(wakeup: Wakeup, committed: Transition) -> None:
    """Wake an executor when a transition that it has committed, and that gave up the lease, makes something due."""
    has_parent = committed.instance.parent_id is not None
    notifies_parent = has_parent and (committed.wakes_parent or committed.status in ENDED_STATUSES)
    if committed.spawned or notifies_parent or committed.wake_at_open_children is not None:
        wakeup.wake()
    elif committed.status in (Status.IN_PROGRESS, Status.WAITING):
        wakeup.wake_at(committed.next_activation_us)
        if committed.messages is not None:  # its commit may have found a message: then it is due at once
            wakeup.wake()
