"""The executor: a process's part in running workflows, from its registration to its orderly end."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from random import Random
from typing import Any

from flowlet.clock import MICROSECONDS_PER_SECOND, set_call_deadline
from flowlet.definition.registry import Registry
from flowlet.engine.creates.direct_leases import DirectLeases
from flowlet.engine.gates.version_check import find_incompatible_instances
from flowlet.engine.limits.claims import list_policies
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import Backoff
from flowlet.engine.registration import Registration
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.engine.threads.handler_threads import HandlerThreads
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker_parts import build_executor_record, build_worker_parts
from flowlet.errors import StoreUnavailableError
from flowlet.settings import ExecutorSettings
from flowlet.shutdown import BackgroundTask, run_to_end, wait_for_first
from flowlet.store.commit_signal import DEFAULT_POLL_SECONDS
from flowlet.store.commits import Commit
from flowlet.store.opening import Store

__all__ = ["Executor"]

MAX_COMMIT_SECONDS = 60.0
"""How long a transition may wait for its commit; after that, the executor is not ready."""

FOREIGN_TIMER_SECONDS = 1.0
"""How long after a commit of others that has made nothing due an executor claims: they may have set a timer, and be
busy or gone when that comes."""

VERSION_CHECK_SECONDS = 30.0
"""How long the comparison of the definitions with the instances in flight may wait for the database."""
MAX_COMPARED_INSTANCES = 20_000
"""How many instances of each workflow an executor compares with its definitions at its start."""
LOGGED_SAMPLES_PER_GROUP = 20
"""How many of each state and version it reads with their variables."""

logger = logging.getLogger(__name__)


class Executor:
    """Claims due instances, runs their handlers and commits their transitions, until it is stopped.

    Args:
        store: The database.
        registry: The workflows that it knows, and the resources of their handlers. These are opened at the start and
            closed at the end.
        settings: Slots, lease and the rest.
        random: The source of jitter.
        observer: Is notified of every claim, batch and transition.

    Attributes:
        direct_leases: Lets the creates of this process lease for it.
        is_ready: Set when it has registered for the first time.
        committed_transitions: How many transitions it has committed in batches; counted when it ends.
        batches: How many batches these were.
        largest_batch: The size of the largest one.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: ExecutorSettings | None = None,
        *,
        random: Random | None = None,
        observer: ExecutorObserver | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings or ExecutorSettings()
        self._random = random or Random()  # noqa: S311 - jitter
        self._wakeup = Wakeup(store.clock)
        self.direct_leases = DirectLeases(store.clock, self._wakeup, self._settings)
        self._stopping = asyncio.Event()
        self._stopping_now = asyncio.Event()
        self._registration: Registration | None = None
        self._observer = observer
        self._scheduler = Scheduler(store, registry, self._settings, observer=observer)
        self._executor_id = ""
        self._claimed_at_elapsed: float | None = None
        self._claimed_at_store_time: int | None = None
        self._waits_until = 0.0
        self._version_check = BackgroundTask("version check", self._report_incompatible_instances)
        self.is_ready = asyncio.Event()
        self.committed_transitions = 0
        self.batches = 0
        self.largest_batch = 0

    @property
    def slots(self) -> int:
        """How many activations it runs at once."""
        return self._settings.slots

    @property
    def free_slots(self) -> int:
        """How many activations may begin: slots without one, as far as ``memory`` permits."""
        return self._registration.worker.free_slots if self._registration else self.slots

    @property
    def is_claiming(self) -> bool:
        """Whether it has claimed within two polls and ten seconds, or all its slots are taken."""
        if self._claimed_at_elapsed is None or self._stopping.is_set():
            return False
        limit = 2 * self._settings.poll_interval.total_seconds() + 10
        return self.free_slots == 0 or self._store.clock.monotonic() - self._claimed_at_elapsed <= limit

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping.is_set()

    @property
    def threads(self) -> HandlerThreads | None:
        """The threads of plain ``def`` handlers; None before it has registered."""
        return self._registration.threads if self._registration else None

    @property
    def is_committing(self) -> bool:
        """Whether no transition has waited for its commit for more than a minute."""
        return self._oldest_commit_seconds <= MAX_COMMIT_SECONDS

    @property
    def _oldest_commit_seconds(self) -> float:
        return self._registration.oldest_commit_seconds if self._registration else 0.0

    def wake(self) -> None:
        """Claim at once, and check the leases at once: instances may have changed in the store."""
        self._wakeup.wake()
        if self._registration is not None:
            self._registration.maintenance.request_check()

    def stop(self) -> None:
        """Drain: claim no more, let activations finish within the grace period. A second call stops at once."""
        if self._stopping.is_set():
            self._stopping_now.set()
        self._stopping.set()
        self._wakeup.wake()

    async def run(self) -> None:
        """Run until stopped. An executor that was marked as lost continues under a new id.

        Where the caller is cancelled, the executor stops at once: when the cancellation is raised, its activations,
        its other tasks and its threads have ended, what it held is handed back, and it has left the list. Only
        handlers that ignore their cancellation, and plain ``def`` handlers, run on, without effect.

        Raises:
            StoreUnavailableError: If the store is away at the start, for longer than ``start_timeout``.
        """
        self._waits_until = self._store.clock.monotonic() + self._settings.start_timeout.total_seconds()
        with Backoff("saving the definitions") as backoff:
            while not self._stopping.is_set():
                try:
                    await run_to_end(self._save_definitions())
                    backoff.reset()
                    break
                except StoreUnavailableError as error:
                    await self._wait_for_store(error, backoff)
        async with self._registry.provided:
            unsubscribe = self._store.commit_signal.subscribe(
                self._on_commit, poll_rest_seconds=DEFAULT_POLL_SECONDS, is_claiming=True
            )
            try:
                await run_to_end(self._run_until_stopped(), on_cancel=self._stop_now)
            finally:
                await run_to_end(self._version_check.close())
                unsubscribe()

    def _on_commit(self, commit: Commit) -> None:
        """Wake up if instances may be due. After the executor's own commits the worker knows what is due."""
        if commit.executor_id == self._executor_id:
            return
        if commit.may_concern(self._settings.groups):
            self.wake()
        else:
            self._wakeup.wake_at(self._store.clock.now() + round(FOREIGN_TIMER_SECONDS * MICROSECONDS_PER_SECOND))

    def _stop_now(self) -> None:
        self.stop()
        self.stop()

    async def _save_definitions(self) -> None:
        now = await self._store.read_clock()
        for name in await self._store.definitions.save_definitions(self._registry.definitions, now=now):
            logger.warning("the definition of %s has changed, its version has not: raise version=", name)
        await self._scheduler.save_declared()
        await self._store.limits.save_policies(list_policies(self._registry.definitions))

    async def _report_incompatible_instances(self) -> None:
        """Log which instances in flight these definitions cannot run: they wait for another version."""
        set_call_deadline(VERSION_CHECK_SECONDS)
        try:
            found = await find_incompatible_instances(
                self._store,
                self._registry.definitions,
                groups=self._settings.groups,
                limit=MAX_COMPARED_INSTANCES,
                samples_per_group=LOGGED_SAMPLES_PER_GROUP,
            )
        except Exception as error:  # noqa: BLE001 - it only says what claims will show
            logger.warning("the instances in flight could not be compared with the definitions: %r", error)
            return
        for incompatibility in found:
            logger.warning("instances in flight cannot run here: %s", incompatibility.message)

    async def _run_until_stopped(self) -> None:
        with Backoff("starting an executor") as backoff:
            while not self._stopping.is_set():
                try:
                    await self._run_registered()
                except asyncio.CancelledError:
                    # ``run`` passes a cancellation on by stopping: this one comes from a task that does not own it.
                    if self._stopping.is_set():
                        raise
                    logger.error(
                        "executor %s was cancelled by a task that does not own it; starting anew", self._executor_id
                    )
                except Exception as error:  # noqa: BLE001 - an executor that has been ready goes on
                    await self._wait_for_store(error, backoff)

    async def _wait_for_store(self, error: Exception, backoff: Backoff) -> None:
        """Wait before another attempt; raise the error where it ends an executor that has not been ready yet."""
        may_pass = isinstance(error, StoreUnavailableError) and self._store.clock.monotonic() < self._waits_until
        if not (self.is_ready.is_set() or may_pass):
            raise error
        await wait_for_first(self._store.clock.sleep(backoff.next_delay(error)), self._stopping.wait())

    async def _run_registered(self) -> None:
        """Run under one executor id, until stopped or marked as lost."""
        await self._store.read_clock()  # after a suspend of the machine the monotonic clock is behind
        self._claimed_at_store_time = None
        registration = self._registration = self._build_registration()
        try:
            await registration.start()
            self._store.commit_signal.own_executor_ids.add(self._executor_id)
            self.is_ready.set()
            self._version_check.start()
            self.direct_leases.open(registration.worker)
            try:
                await self._claim_until_stopped(registration)
            finally:
                self.direct_leases.close()
            await registration.drain(self._stopping_now)
        finally:
            await run_to_end(registration.end())
            self._store.commit_signal.own_executor_ids.discard(self._executor_id)
            self._add_totals(registration)

    def _build_registration(self) -> Registration:
        store, settings = self._store, self._settings
        self._executor_id = id = f"{settings.name}-{uuid.uuid4().hex[:12]}"
        parts = build_worker_parts(
            store,
            self._registry,
            settings,
            id,
            random=self._random,
            wakeup=self._wakeup,
            observer=self._observer,
        )
        record = build_executor_record(settings, self._registry, id=id, now=store.clock.now())
        return Registration(
            store,
            settings,
            record,
            parts,
            definitions=self._registry.definitions,
            random=self._random,
            scheduler=self._scheduler,
            get_last_claim=self._get_last_claim,
            on_lost=self._wakeup.wake,
        )

    async def _claim_until_stopped(self, registration: Registration) -> None:
        with Backoff("claiming") as backoff:
            poll_seconds = self._settings.poll_interval.total_seconds()
            worker = registration.worker
            while not (self._stopping.is_set() or registration.is_lost.is_set()):
                began = self._store.clock.now()
                try:
                    claimed = await worker.claim_due()
                    self._claimed_at_elapsed = self._store.clock.monotonic()
                    self._claimed_at_store_time = claimed.now
                    if claimed.may_have_more:
                        await self._wait_unless_stopped(registration, worker.wait_for_free_slots())
                        continue
                    backoff.reset()
                except Exception as error:  # noqa: BLE001 - an executor whose loop has ended runs nothing any more
                    worker.lease_count += 1  # the answer may have been lost of a claim that has leased something
                    registration.maintenance.contact.record_failure(began)
                    await self._wait_unless_stopped(registration, self._store.clock.sleep(backoff.next_delay(error)))
                    continue
                await self._wakeup.sleep(poll_seconds, claimed.next_due)

    async def _wait_unless_stopped(self, registration: Registration, wait: Coroutine[Any, Any, None]) -> None:
        """Wait, but no longer than until the executor is to stop."""
        await wait_for_first(wait, self._stopping.wait(), registration.is_lost.wait())

    def _get_last_claim(self) -> int | None:
        """Return when it last claimed; while all its slots are taken it would claim nothing, which counts as now.

        While it does not commit it counts as not having claimed either: the doctor and the console show it then.
        """
        if (waited := self._oldest_commit_seconds) > MAX_COMMIT_SECONDS:
            return self._store.clock.now() - round(waited * MICROSECONDS_PER_SECOND)
        return self._claimed_at_store_time if self.free_slots else self._store.clock.now()

    def _add_totals(self, registration: Registration) -> None:
        totals = registration.totals
        self.committed_transitions += totals.items
        self.batches += totals.batches
        self.largest_batch = max(self.largest_batch, totals.largest)
