"""Leases at creation: what a process creates, and can run at once, is leased in the transaction that creates it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from flowlet.clock import Clock
from flowlet.engine.batches.queue_claims import LOWEST_PRIORITY
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import Worker
from flowlet.instance.instance import Instance, Status
from flowlet.instance.new_instance import NewInstance
from flowlet.settings import ExecutorSettings

__all__ = ["DirectLeases", "ReservedSlots"]

_NEW = Status.NEW  # each create reads it, which is slow from an enum


class ReservedSlots:
    """Slots of an executor that are kept for the instances of one transaction that creates some.

    Attributes:
        new_instances: The instances to create; those that are to be leased name the executor.
    """

    def __init__(self, new_instances: Sequence[NewInstance], worker: Worker | None, *, now: int, began: float) -> None:
        self.new_instances = new_instances
        self._worker = worker
        self._now = now
        self._began = began

    def start(self, leased: Sequence[Instance]) -> None:
        """Run what the transaction has leased, as what a claim returns."""
        if self._worker is not None and leased:
            self._worker.start_claimed(leased, self._now, self._began)


class DirectLeases:
    """Lets the creates of a process lease for its own executor, so that no claim has to find what they create.

    An executor that waits for work does so: its last claim has left nothing that it could lease, and no news has come
    since. One that has work does so for priorities above that of its last claim, which has taken the highest first. So
    what waits is overtaken by a higher priority only, or by the length of one claim, if it has come since the last one.
    Half of the slots are left to claims, which share among executors, workflows and priorities.

    Args:
        clock: The store's clock.
        wakeup: The executor's sleep.
        settings: Its slots and groups.

    Attributes:
        worker: Runs what is leased; None while the executor does not claim.
    """

    def __init__(self, clock: Clock, wakeup: Wakeup, settings: ExecutorSettings) -> None:
        self._clock = clock
        self._wakeup = wakeup
        self._groups = frozenset(settings.groups)
        self._slots_for_claims = settings.slots // 2
        self.worker: Worker | None = None

    @property
    def is_open(self) -> bool:
        """Whether the executor waits for work."""
        return self.worker is not None and self._wakeup.is_asleep and self.worker.has_lease

    def open(self, worker: Worker) -> None:
        """Lease for a worker from now on."""
        self.worker = worker

    def close(self) -> None:
        """Lease nothing any more."""
        self.worker = None

    @contextlib.contextmanager
    def reserve(self, new_instances: Sequence[NewInstance], now: int) -> Iterator[ReservedSlots]:
        """Keep slots, for the length of the block, for those of some new instances that can run at once.

        Args:
            new_instances: The instances.
            now: The store's time, in microseconds since 1970 UTC.
        """
        worker = self.worker
        if worker is None or not worker.has_lease:
            yield ReservedSlots(new_instances, None, now=now, began=0.0)
            return
        lowest = LOWEST_PRIORITY if self.is_open else worker.queue.waiting_priority + 1
        # What claims have requested still counts as free: an executor without free slots is healthy though it waits.
        limit = worker.free_slots - worker.requested_slots - self._slots_for_claims
        marked: list[NewInstance] = []
        count = 0
        for new in new_instances:
            may_lease = count < limit and new.priority >= lowest and self._can_run(worker, new, now)
            count += may_lease
            marked.append(replace(new, executor_id=worker.executor_id) if may_lease else new)
        worker.lease_count += count  # also if the answer is lost
        with worker.keep_slots(count):
            yield ReservedSlots(marked, worker, now=now, began=self._clock.monotonic())

    def _can_run(self, worker: Worker, new: NewInstance, now: int) -> bool:
        is_due = new.status is _NEW and new.next_activation_us is not None and new.next_activation_us <= now
        return is_due and new.gate is None and new.group in self._groups and new.type in worker.runnable_types
