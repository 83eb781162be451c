"""The sleep of an executor: until an instance is due, or a commit wakes it."""

from __future__ import annotations

import asyncio
import contextlib

from flowlet.clock import MICROSECONDS_PER_SECOND, Clock
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.transition import Transition

__all__ = ["Wakeup", "schedule_wakeup"]


class Wakeup:
    """The sleep of one task, which any other may end. A wake-up that comes while it is awake ends its next sleep.

    Of several times given to ``wake_at`` it keeps the earliest: when that has come, the sleeper has to find the others.

    Attributes:
        is_woken: Whether the next sleep ends at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = asyncio.Event()
        self._due: int | None = None
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
        if due is None or (self._due is not None and self._due <= due):
            return
        self._due = due
        if self._sleeps_until > due:
            self._sleeps_until = due
            self._changed.set()

    async def sleep(self, seconds: float, until: int | None = None) -> None:
        """Wait until woken, or until the first of some times has come.

        Args:
            seconds: How long to wait at most.
            until: A time that the sleeper knows of itself, in microseconds since 1970 UTC.
        """
        ends = (self._clock.now() + round(seconds * MICROSECONDS_PER_SECOND), self._due, until)
        self._sleeps_until = min(end for end in ends if end is not None)
        with contextlib.suppress(TimeoutError):
            while not self.is_woken:
                self._changed.clear()
                async with asyncio.timeout(max(0, self._sleeps_until - self._clock.now()) / MICROSECONDS_PER_SECOND):
                    await self._changed.wait()
        self._sleeps_until, self.is_woken = 0, False
        if self._due is not None and self._due <= self._clock.now():
            self._due = None


def schedule_wakeup(wakeup: Wakeup, committed: Transition) -> None:
    """Wake an executor when a transition that it has committed makes something due; it may run that instance on."""
    has_parent = committed.instance.parent_id is not None
    notifies_parent = has_parent and (committed.wakes_parent or committed.status in ENDED_STATUSES)
    has_spawned = committed.spawned > 0 or committed.wake_at_open_children is not None
    # A message that has come makes the instance due at once, unless it runs on.
    has_message = committed.messages is not None and committed.status is not Status.EXECUTING
    if has_spawned or notifies_parent or has_message:
        wakeup.wake()
    if committed.status in (Status.IN_PROGRESS, Status.WAITING):
        wakeup.wake_at(committed.next_activation_us)
