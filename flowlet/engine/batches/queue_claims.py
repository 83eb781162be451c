"""Claims from the common queue: what is due and behind no gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from flowlet.engine.batches.traffic import Traffic
from flowlet.engine.limits.open_lanes import OpenLanes
from flowlet.engine.wakeup import Wakeup
from flowlet.instance.instance import PRIORITIES, Instance
from flowlet.store.dialects.batch import LOCKED_MICROSECONDS, ClaimRequest
from flowlet.store.opening import Store

__all__ = ["LOWEST_PRIORITY", "ClaimResult", "QueueClaims"]

LOWEST_PRIORITY = PRIORITIES[0]
"""Below it there is nothing to claim."""


class ClaimResult(NamedTuple):
    """What a claim has found.

    Attributes:
        instance_count: How many instances it returned.
        now: The time by which they were due, in microseconds since 1970 UTC.
        may_have_more: Whether more may be due.
        next_due: When to claim again if that is not so, in microseconds since 1970 UTC; None if nothing is scheduled.
    """

    instance_count: int
    now: int
    may_have_more: bool
    next_due: int | None = None


class QueueClaims:
    """The claims of one executor from the common queue.

    Args:
        store: The database.
        traffic: Limits how much is claimed.
        wakeup: The executor's sleep: one that does not come is no reason to look when the next instance is due.
        executor_id: The id under which instances are claimed.

    Attributes:
        waiting_priority: The highest priority of which the last claim may have left something, or 0.
    """

    def __init__(self, store: Store, traffic: Traffic, wakeup: Wakeup, executor_id: str) -> None:
        self._store = store
        self._traffic = traffic
        self._wakeup = wakeup
        self._executor_id = executor_id
        self.waiting_priority = PRIORITIES[-1]

    async def claim(
        self, limit: int, lanes: OpenLanes, now: int, start: Callable[[Sequence[Instance], int, float], int]
    ) -> ClaimResult:
        """Claim what is due, each priority by itself, and begin to run that.

        Args:
            limit: How many instances at most.
            lanes: Their workflows and groups.
            now: The store's time, in microseconds since 1970 UTC.
            start: Begins to run instances that were leased at ``now`` by a statement that was sent at a monotonic time,
                and returns how many.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        count, wanted = 0, limit
        while wanted > 0:
            began = self._store.clock.monotonic()
            request = self._traffic.limit_claim(ClaimRequest(self._executor_id, lanes.groups, lanes.types, wanted, now))
            claimed, next_due = await self._store.instances.claim(request)
            started = start(claimed, now, began)
            self.waiting_priority = claimed[0].priority if claimed else LOWEST_PRIORITY
            count, wanted = count + started, wanted - started
            if not started:
                if next_due is not None and next_due <= now:  # others hold it, and may give it back without a commit
                    next_due = self._store.clock.now() + LOCKED_MICROSECONDS
                return ClaimResult(count, now, may_have_more=False, next_due=next_due)
            if claimed[0].priority == LOWEST_PRIORITY:
                may_have_more = started == request.get_limit(LOWEST_PRIORITY)
                if may_have_more or self._wakeup.is_woken:
                    return ClaimResult(count, now, may_have_more)
        return ClaimResult(count, now, may_have_more=True)
