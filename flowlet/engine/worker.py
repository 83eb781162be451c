"""The worker: claims due instances and takes each one through its activations, one lease at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.activation import ActivationRunner
from flowlet.engine.committer import Committer, RejectedError
from flowlet.engine.handler_transaction import HandlerTransaction
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import retry_while_away
from flowlet.engine.release import apply_transition
from flowlet.engine.wakeup import Wakeup
from flowlet.instance.instance import ENDED_STATUSES, Instance, Status
from flowlet.instance.transition import Transition
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.opening import Store

__all__ = ["ClaimResult", "Lease", "Worker"]

Relatives = tuple[tuple[Instance, ...], Instance | None]
"""An instance's children and its parent."""

NO_RELATIVES: Relatives = ((), None)

CANCEL_SECONDS = (5.0, 1.0)
"""How long activations may take to end after a first cancellation, and after a second one."""

logger = logging.getLogger(__name__)


class ClaimResult(NamedTuple):
    """How many instances a claim returned, the time by which they were due, and whether more may be due."""

    instance_count: int
    now: int
    may_have_more: bool


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """An instance that runs here: its token, its task, and since when (microseconds since 1970 UTC)."""

    id: int
    token: int
    task: asyncio.Task[None]
    since: int


class Worker:
    """Runs the activations of one executor, as many at once as it has slots.

    Args:
        store: The database.
        activations: Runs the handlers.
        committer: Commits the transitions.
        wakeup: Is set to the times at which instances become due that ran here.
        settings: Slots, groups, and how many transitions one lease may have.
        executor_id: The id under which instances are claimed.
        types: The workflows that this executor knows.
        observer: Is notified of each claim and each transition.
    """

    def __init__(
        self,
        store: Store,
        activations: ActivationRunner,
        committer: Committer,
        wakeup: Wakeup,
        settings: ExecutorSettings,
        *,
        executor_id: str,
        types: Sequence[str],
        observer: ExecutorObserver | None = None,
    ) -> None:
        self._store = store
        self._observer = observer
        self._activations = activations
        self._committer = committer
        self._wakeup = wakeup
        self._settings = settings
        self._executor_id = executor_id
        self._types = tuple(types)
        self._slot_freed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.running: dict[int, Lease] = {}
        self.is_draining = False

    @property
    def free_slots(self) -> int:
        """How many slots are free."""
        return self._settings.slots - len(self.running)

    async def claim_due(self) -> ClaimResult:
        """Claim as many due instances as there are free slots, and begin to run them.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        limit = min(self.free_slots, self._settings.batch)
        clock = self._store.clock
        now, began = clock.now(), clock.monotonic() if self._observer else 0.0
        if limit <= 0 or not self._types:
            return ClaimResult(0, now, may_have_more=bool(self._types))
        request = ClaimRequest(self._executor_id, self._settings.groups, self._types, limit, now)
        claimed = await self._store.instances.claim(request)
        if self._observer:
            self._observer.on_claim(len(claimed), clock.monotonic() - began)
        for instance in claimed:
            self._start_instance(instance, now)
        return ClaimResult(len(claimed), now, may_have_more=len(claimed) == limit)

    def _start_instance(self, instance: Instance, now: int) -> None:
        if former := self.running.get(instance.id):
            former.task.cancel()  # an operator has freed the instance: that activation has lost its lease
        lease = Lease(instance.id, instance.token, asyncio.create_task(self._run_instance(instance)), now)
        self.running[instance.id] = lease
        self._tasks.add(lease.task)
        lease.task.add_done_callback(lambda _: self._remove_lease(lease))

    async def wait_for_free_slots(self) -> None:
        """Return when enough slots are free for a claim to be worthwhile: a quarter of them, or any after 10 ms."""
        while self.free_slots == 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()
        wanted = max(1, self._settings.slots // 4)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                while self.free_slots < wanted:
                    self._slot_freed.clear()
                    await self._slot_freed.wait()

    def cancel_leases(self, leases: Iterable[Lease]) -> None:
        """Cancel activations whose instances are no longer held here."""
        for lease in leases:
            lease.task.cancel()

    def get_oldest_lease_seconds(self) -> float:
        """Return for how many seconds the oldest lease has been held; 0 if there is none."""
        oldest = next(iter(self.running.values()), None)
        return 0.0 if oldest is None else (self._store.clock.now() - oldest.since) / MICROSECONDS_PER_SECOND

    async def wait_until_idle(self, *, timeout: float | None = None) -> None:
        """Return when no activation runs, or the time is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def cancel_all(self) -> None:
        """Cancel every activation, and return when all have ended, or 6 seconds are over.

        A handler that catches its cancellation may clean up for 5 seconds; then it is cancelled again. One that
        ignores both runs on without effect: the committer is closed by then.
        """
        self.is_draining = True
        for seconds in CANCEL_SECONDS:
            for task in self._tasks:
                task.cancel()
            await self.wait_until_idle(timeout=seconds)
        if self._tasks:
            logger.error("%d activations ignore their cancellation and still run", len(self._tasks))

    def _remove_lease(self, lease: Lease) -> None:
        self._tasks.discard(lease.task)
        if self.running.get(lease.id) is lease:
            del self.running[lease.id]
        self._slot_freed.set()

    async def _run_instance(self, instance: Instance) -> None:
        structlog.contextvars.bind_contextvars(workflow_id=instance.id, type=instance.type, token=instance.token)
        read_vars = None
        for made in range(1, self._settings.max_transitions_per_lease + 1):
            try:
                committed = await self._run_activation(
                    instance, read_vars, may_continue=made < self._settings.max_transitions_per_lease
                )
            except Exception:
                # The maintenance hands back instances that are leased here and do not run.
                logger.exception("an activation of %s %d raised an unexpected error", instance.type, instance.id)
                return
            if committed is None:
                logger.warning("the lease of %s %d is lost: nothing was written", instance.type, instance.id)
                return
            if self._observer:
                self._observer.on_transition(committed)
            if committed.status is not Status.EXECUTING:
                self._schedule_wakeup(committed)
                return
            instance, read_vars = apply_transition(instance, committed), committed.parsed_vars

    async def _run_activation(self, instance: Instance, read_vars: Any, *, may_continue: bool) -> Transition | None:
        """Run one activation and commit its transition; None if the lease is lost."""
        children, parent = NO_RELATIVES
        has_relatives = instance.children or instance.parent_id is not None
        if has_relatives and self._activations.has_context_parameter(instance):
            children, parent = await self._read_relatives(instance)
        own = HandlerTransaction(self._store, self._executor_id)
        async with own:
            transition = await self._activations.run(
                instance, children=children, parent=parent, transaction=own.open, read_vars=read_vars
            )
            if transition.status is Status.EXECUTING and (self.is_draining or not may_continue):
                transition = replace(transition, status=Status.IN_PROGRESS, next_activation_us=transition.at_us)
            try:
                return await own.commit(transition, self._committer.commit)
            except RejectedError as error:
                refused = self._activations.build_rejection(instance, error.cause, refused=transition)
                return await self._committer.commit(refused)

    async def _read_relatives(self, instance: Instance) -> Relatives:
        """Return an instance's children and its parent, however long the store is away."""

        async def read() -> Relatives:
            children = await self._store.queries.list_children(instance.id) if instance.children else []
            parent = None if instance.parent_id is None else await self._store.queries.get(instance.parent_id)
            return tuple(children), parent

        return await retry_while_away(read, self._store.clock, f"reading the children and parent of {instance.id}")

    def _schedule_wakeup(self, committed: Transition) -> None:
        has_parent = committed.instance.parent_id is not None
        notifies_parent = has_parent and (committed.wakes_parent or committed.status in ENDED_STATUSES)
        if committed.children or notifies_parent or committed.waits_for_children:
            self._wakeup.wake()
        elif committed.status in (Status.IN_PROGRESS, Status.WAITING):
            self._wakeup.wake_at(committed.next_activation_us)
