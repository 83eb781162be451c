"""The worker: claims due instances and takes each one through its activations, one lease at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.activation import ActivationRunner
from flowlet.engine.batches.memory_budget import MemoryBudget
from flowlet.engine.batches.queue_claims import ClaimResult, QueueClaims
from flowlet.engine.batches.traffic import Traffic
from flowlet.engine.committer import Committer, RejectedError
from flowlet.engine.crashes.quarantine import Quarantine
from flowlet.engine.gates.gate_claims import GateClaims
from flowlet.engine.handler_transaction import Excuses, HandlerTransaction
from flowlet.engine.handlers.handler_context import refuse_transaction
from flowlet.engine.handlers.lease import Lease
from flowlet.engine.heartbeat import LeaseTimer
from flowlet.engine.limits.open_lanes import LanePauses, OpenLanes
from flowlet.engine.messages.reader import MessageReader
from flowlet.engine.observer import ExecutorObserver, log_transition
from flowlet.engine.outage import retry_while_away
from flowlet.engine.relatives import LeaseRelatives, RelativesReader
from flowlet.engine.release import apply_transition
from flowlet.engine.wakeup import Wakeup, schedule_wakeup
from flowlet.instance.instance import Instance, Status
from flowlet.instance.transition import Transition
from flowlet.log_setup import bind_lease
from flowlet.protected_tasks import create_protected_task, enter_handler_scope
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import LOCKED_MICROSECONDS
from flowlet.store.executors import SUSPECT_CRASHES
from flowlet.store.opening import Store
from flowlet.workflow.context import NO_RELATIVES

__all__ = ["Worker"]

CANCEL_SECONDS = (5.0, 1.0)
"""How long activations may take to end after a first cancellation, and after a second one."""

logger = logging.getLogger(__name__)
_EXECUTING = Status.EXECUTING  # each transition reads it, which is slow from an enum


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
        thread_types: Those that need a thread in each state: they are not claimed while none is free.
        pauses: The paused lanes; without them they are read before each claim.
        gates: Claims what is behind gates; without it none of that is claimed.
        on_spawn: Called when a transition has stored children that are made later.
        traffic: Is told what was claimed, and limits how much is.
        lease_timer: Tells whether the executor still has its lease; without one it always has.
        observer: Is notified of each claim and each transition.

    Attributes:
        queue: Its claims from the common queue.
        requested_slots: How many instances the claims under way may return.
        lease_count: How many leases have begun here; also counts those that may have, where an answer was lost.
        returned: The tokens under which the maintenance has handed instances back, by id: none runs under one of them.
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
        thread_types: Collection[str] = (),
        pauses: LanePauses | None = None,
        gates: GateClaims | None = None,
        on_spawn: Callable[[], None] | None = None,
        traffic: Traffic | None = None,
        lease_timer: LeaseTimer | None = None,
        observer: ExecutorObserver | None = None,
    ) -> None:
        self._store, self._lease_timer = store, lease_timer or LeaseTimer(store.clock, settings.lease)
        self._observer, self._on_spawn = observer, on_spawn
        self._gates, self._pauses = gates, pauses or LanePauses(store, look_seconds=0)
        self._traffic = traffic or Traffic(store.clock)
        self.queue = QueueClaims(store, self._traffic, wakeup, executor_id)
        self._activations, self._committer, self._wakeup = activations, committer, wakeup
        self._settings, self.executor_id, self._types = settings, executor_id, tuple(types)
        self._types_without_thread = tuple(type for type in types if type not in thread_types)
        self._relatives, self._messages = RelativesReader(store), MessageReader(store)
        self._excuses, self.returned = Excuses(), dict[int, int]()
        self._slot_freed = asyncio.Event()
        self._memory = MemoryBudget(settings.memory, on_free=self._slot_freed.set)
        self._quarantine = Quarantine(patience_seconds=settings.lease.total_seconds(), on_free=self._slot_freed.set)
        self._tasks, self.running = set[asyncio.Task[None]](), dict[int, Lease]()
        self._kept_slots = self.requested_slots = self.lease_count = 0
        self.is_draining = self._is_cancelling = False

    @property
    def free_slots(self) -> int:
        """How many instances may begin; none while one under which executors have died runs alone."""
        free = self._settings.slots - len(self.running) - self._kept_slots
        return 0 if self._quarantine.is_active else self._memory.limit_slots(free)

    @property
    def has_lease(self) -> bool:
        """Whether the executor still has its lease, by its own count."""
        return self._lease_timer.remaining_seconds > 0

    @property
    def runnable_types(self) -> Sequence[str]:
        """The workflows that can run now: while no thread is free, none that needs one in each state."""
        return self._types if self._activations.threads.free_count else self._types_without_thread

    @contextlib.contextmanager
    def keep_slots(self, count: int) -> Iterator[None]:
        """Keep some free slots from claims for the length of the block."""
        self._kept_slots += count
        try:
            yield
        finally:
            self._kept_slots -= count
            self._slot_freed.set()

    async def claim_due(self) -> ClaimResult:
        """Claim as many due instances as there are free slots, and begin to run them.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        limit = self._traffic.limit_rows(min(self.free_slots, self._settings.batch))
        now = self._store.clock.now()
        if limit <= 0 or not self._types:
            return ClaimResult(0, now, may_have_more=bool(self._types))
        lanes = OpenLanes((), ())  # when a thread is free, or a pause has ended, the executor is woken
        if self.has_lease and (types := self.runnable_types):
            lanes = await self._pauses.find_open(types, self._settings.groups)
        if not self.has_lease:  # it may be renewed before anyone sees that it has run out
            return ClaimResult(0, now, may_have_more=False, next_due=now + LOCKED_MICROSECONDS)
        if not lanes.types or not lanes.groups:
            return ClaimResult(0, now, may_have_more=False)
        self.requested_slots = limit  # until the claims have succeeded: what fails may have leased something
        # What was claimed runs at once: should the next statement fail, it is not left without an activation.
        gated_limit = self._gates.split_slots(limit) if self._gates else 0
        gated_count = count = await self._claim_gated(gated_limit, lanes, now)
        queued = await self.queue.claim(limit - count, lanes, now, self.start_claimed)
        count += queued.instance_count
        if gated_count == gated_limit:  # there may be more behind gates
            count += await self._claim_gated(limit - count, lanes, now)
        self.requested_slots = 0
        return queued._replace(instance_count=count, may_have_more=count == limit or queued.may_have_more)

    async def _claim_gated(self, limit: int, lanes: OpenLanes, now: int) -> int:
        """Claim instances behind gates and begin to run them; return how many."""
        if self._gates is None or limit <= 0:
            return 0
        began = self._store.clock.monotonic()
        claimed = await self._gates.claim(limit, lanes, now=now)
        return self.start_claimed(claimed, now, began) if claimed else 0

    def start_claimed(self, claimed: Sequence[Instance], now: int, began: float) -> int:
        """Begin to run what was leased at ``now``, by a statement sent at ``began``; return 0 if its answer is late."""
        if self._observer:
            self._observer.on_claim(len(claimed), self._store.clock.monotonic() - began)
        self.lease_count += len(claimed)
        if claimed and not self._lease_timer.is_claim_valid(began):
            # The maintenance hands them back; others may be due.
            logger.warning("a claim of %d instances was answered too late: they are not run", len(claimed))
            self._wakeup.wake_at(self._store.clock.now() + LOCKED_MICROSECONDS)
            return 0
        self._traffic.note(claimed)
        for instance in claimed:
            self._start_instance(instance, now)
        return len(claimed)

    def _start_instance(self, instance: Instance, now: int) -> None:
        if instance.token <= self.returned.get(instance.id, -1):
            return  # the answer of its claim was late
        if former := self.running.get(instance.id):
            former.cancel()  # it has ended and is due again, or an operator has freed it
        lease = Lease(instance.id, instance.token, now)
        self._memory.add(lease, instance)
        is_suspect = instance.crashes >= SUSPECT_CRASHES
        if not is_suspect:
            self._quarantine.add_other(lease)
        run = self._run_suspect if is_suspect else self._run_lease
        lease.task = create_protected_task(run(lease, instance), scope=lease.scope)
        self.running[instance.id] = lease
        self._tasks.add(lease.task)
        lease.task.add_done_callback(lambda _: self._remove_lease(lease))

    async def wait_for_free_slots(self) -> None:
        """Return when enough slots are free for a claim to be worthwhile: a quarter of them, or any after 10 ms."""
        while self.free_slots == 0:
            self._slot_freed.clear()
            await self._slot_freed.wait()
        wanted = 1 if self._traffic.is_mixed else max(1, self._settings.slots // 4)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                while self.free_slots < wanted:
                    self._slot_freed.clear()
                    await self._slot_freed.wait()

    def cancel_leases(self, leases: Iterable[Lease]) -> None:
        """Cancel activations whose instances are no longer held here."""
        for lease in leases:
            lease.cancel()

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
        self.is_draining = self._is_cancelling = True
        for seconds in CANCEL_SECONDS:
            for task in self._tasks:
                task.cancel()
            await self.wait_until_idle(timeout=seconds)
        await self._relatives.close()
        if self._tasks:
            logger.error("%d activations ignore their cancellation and still run", len(self._tasks))

    def _remove_lease(self, lease: Lease) -> None:
        self._quarantine.remove_other(lease)
        self._memory.remove(lease)
        self._tasks.discard(lease.task)
        if self.running.get(lease.id) is lease:
            del self.running[lease.id]
        self._slot_freed.set()

    async def _run_suspect(self, lease: Lease, instance: Instance) -> None:
        """Run an instance under which executors have died, alone if possible: another death is then counted for it."""
        async with self._quarantine.take_turn(instance.crashes) as is_alone:
            if self.is_draining or lease.is_lost:
                return
            count_crash = partial(self._store.executors.count_crash, self.executor_id, instance.id, instance.token)
            activity = f"counting the crashes of workflow {instance.id}"
            try:
                if is_alone and not await retry_while_away(count_crash, self._store.clock, activity):
                    return
            except Exception:
                logger.exception("%s %d is not run", instance.type, instance.id)  # the maintenance hands it back
                return
            await self._run_lease(lease, instance)

    async def _run_lease(self, lease: Lease, instance: Instance) -> None:
        enter_handler_scope(lease.scope)
        bind_lease(workflow_id=instance.id, external_id=instance.external_id, type=instance.type, token=instance.token)
        read_vars, relatives = None, LeaseRelatives(self._relatives)
        for made in range(1, self._settings.max_transitions_per_lease + 1):
            try:
                committed = await self._run_activation(
                    lease, instance, relatives, read_vars, may_continue=made < self._settings.max_transitions_per_lease
                )
            except Exception:
                # The maintenance hands back instances that are leased here and do not run.
                logger.exception("an activation of %s %d raised an unexpected error", instance.type, instance.id)
                return
            if committed is None:
                logger.warning("the lease of %s %d is lost: nothing was written", instance.type, instance.id)
                return
            log_transition(committed)
            if self._observer:
                self._observer.on_transition(committed)
            if instance.gate is not None and self._gates and self._gates.note_transition(committed):
                self._wakeup.wake()
            if committed.spawn_parts and self._on_spawn:
                self._on_spawn()
            schedule_wakeup(self._wakeup, committed)
            if committed.status is not _EXECUTING:
                return
            if lease.is_lost:
                logger.warning("the lease of %s %d is lost: its next state is run by another", instance.type, lease.id)
                return
            lease.is_committing = False
            instance, read_vars = apply_transition(instance, committed), committed.parsed_vars
            self._memory.change(lease, instance)

    async def _run_activation(
        self, lease: Lease, instance: Instance, relatives: LeaseRelatives, read_vars: Any, *, may_continue: bool
    ) -> Transition | None:
        """Run one activation and commit its transition; None if the lease is lost."""
        plan = self._activations.find_plan(instance)
        given = NO_RELATIVES
        if instance.children or instance.parent_id is not None:
            given = await relatives.read(instance, frozenset() if plan is None else plan.context_attributes)
        failure = None
        if instance.visit and plan is not None and plan.reads_error:
            failure = await self._relatives.read_failure(instance)
        message = None
        if instance.unread and (names := self._activations.get_received_names(instance)):
            instance, message = await self._messages.read_next(instance, names)
        # Only a handler with a context can open a transaction.
        own = HandlerTransaction(self._store, self.executor_id, self._excuses) if plan and plan.context_names else None
        try:
            transition = await self._activations.run(
                instance,
                relatives=given,
                transaction=refuse_transaction if own is None else own.open,
                read_vars=read_vars,
                is_stopped=lambda: lease.is_lost or self._is_cancelling,
                failure=failure,
                message=message,
                plan=plan,
            )
            is_last = not may_continue or self.is_draining or self._pauses.is_paused(instance)
            if is_last and transition.status is _EXECUTING:
                transition = replace(transition, status=Status.IN_PROGRESS, next_activation_us=transition.at_us)
            lease.is_committing = True
            commit = self._committer.commit
            try:
                return await (commit(transition) if own is None else own.commit(transition, commit))
            except RejectedError as error:
                return await self._commit_rejection(instance, error.cause, transition)
        finally:
            if own is not None and own.end():
                await own.close()

    async def _commit_rejection(self, instance: Instance, error: Exception, refused: Transition) -> Transition | None:
        """Commit a failed attempt instead of a transition that the store refuses; without its lines if need be."""
        try:
            return await self._committer.commit(self._activations.build_rejection(instance, error, refused=refused))
        except RejectedError:
            return await self._committer.commit(self._activations.build_rejection(instance, error))
