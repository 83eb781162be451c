"""The executor: a process's part in running workflows, from its registration to its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Coroutine
from random import Random
from typing import Any

from flowlet.clock import to_microseconds
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.engine.activation import ActivationRunner
from flowlet.engine.committer import Committer
from flowlet.engine.heartbeat import Heartbeat
from flowlet.engine.maintenance import Maintenance
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.waiters import Waiters
from flowlet.engine.wakeup import Wakeup
from flowlet.engine.worker import ClaimResult, Worker
from flowlet.errors import StoreUnavailableError
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store

__all__ = ["Executor"]


logger = logging.getLogger(__name__)


class Executor:
    """Claims due instances, runs their handlers, commits their transitions, until it is told to stop.

    Args:
        store: The database.
        registry: The workflows it knows.
        provided: The resources of their handlers; opened at the start, closed at the end.
        settings: Slots, lease and the rest.
        random: Where jitter comes from.
        meter: Told of every claim, batch and transition.
        arrivals: Those of this process who wait for instances; told of every transition.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        provided: Dependencies | None = None,
        settings: ExecutorSettings | None = None,
        *,
        random: Random | None = None,
        observer: ExecutorObserver | None = None,
        waiters: Waiters | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._provided = provided or Dependencies()
        self._settings = settings or ExecutorSettings()
        self._random = random or Random()  # noqa: S311 - jitter
        self._wakeup = Wakeup(store.clock)
        self._due_time_cache = _DueTimeCache(store, self._settings)
        self._stopping = asyncio.Event()
        self._stopping_now = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._worker: Worker | None = None
        self._observer = observer
        self._on_committed = waiters.notify_committed if waiters else None
        self._claimed_at_elapsed: float | None = None
        self._claimed_at_store_time: int | None = None
        self._maintenance: Maintenance | None = None
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
        """How many of its slots have no activation."""
        return self._worker.free_slots if self._worker else self.slots

    @property
    def is_claiming(self) -> bool:
        """Whether it has claimed lately: within two polls and ten seconds. One whose slots are all taken counts too."""
        if self._claimed_at_elapsed is None or self._stopping.is_set():
            return False
        lately = 2 * self._settings.poll_interval.total_seconds() + 10
        return self.free_slots == 0 or self._store.clock.monotonic() - self._claimed_at_elapsed <= lately

    def _get_last_claim(self) -> int | None:
        """Return when it last asked for due instances; one whose slots are all taken would ask for none."""
        return self._claimed_at_store_time if self.free_slots else self._store.clock.now()

    def wake(self) -> None:
        """Look at once for what is due, and for what is no longer ours: somebody has written to the store."""
        self._due_time_cache.is_stale = True
        self._wakeup.wake()
        if self._maintenance is not None:
            self._maintenance.request_check()

    def stop(self) -> None:
        """Begin to drain: claim no more, let activations finish within the grace period. Called again: stop at once."""
        if self._stopping.is_set():
            self._stopping_now.set()
        self._stopping.set()
        self._wakeup.wake()

    async def run(self) -> None:
        """Run until stopped. An executor that was given up as lost goes on under a fresh id.

        Raises:
            StoreUnavailableError: If the store is away at the start.
        """
        now = await self._store.read_clock()
        for name in await self._store.definitions.save_definitions(self._registry.definitions, now=now):
            logger.warning("the definition of %s has changed, its version has not: raise version=", name)
        dialect = self._store.connections.dialect
        heard = self._wakeup.wake if dialect.signals.has_polling_watch else self.wake
        async with self._provided:
            watch = await dialect.signals.watch(self._store.url, self._settings.groups, heard)
            try:
                while not self._stopping.is_set():
                    await self._run_incarnation()
            finally:
                await watch()

    async def _run_incarnation(self) -> None:
        """Run under one executor id, until stopped or given up as lost."""
        self._is_lost.clear()
        try:
            async with self._open_incarnation() as (runner, committer, id):
                await self._claim_until_stopped(runner)
                await self._drain_worker(runner, committer, id)
        except Exception as error:
            if not self.is_ready.is_set():
                raise
            self._log_claim_error(error)
            await self._wait_unless_stopped(self._store.clock.sleep(1.0))

    @contextlib.asynccontextmanager
    async def _open_incarnation(self) -> AsyncIterator[tuple[Worker, Committer, str]]:
        """Everything that lives under one executor id."""
        store, settings = self._store, self._settings
        id = f"{settings.name}-{uuid.uuid4().hex[:12]}"
        types = tuple(self._registry.names)
        await store.read_clock()  # after a suspend of the machine the monotonic clock is behind
        self._claimed_at_store_time = None
        await store.executors.register(self._build_record(id, types))
        activations = ActivationRunner(
            self._registry.get_definition,
            self._provided,
            store.clock,
            self._random,
            id,
            max_threads=min(settings.slots, 128),
        )
        writers = store.connections.dialect.writes.writer_count
        meter = self._observer
        committer = Committer(
            store,
            id,
            max_batch_size=settings.batch,
            writer_count=writers,
            observer=meter,
            on_committed=self._on_committed,
        )
        runner = Worker(
            store, activations, committer, self._wakeup, settings, executor_id=id, types=types, observer=meter
        )
        self._maintenance = Maintenance(store, runner, settings, executor_id=id, random=self._random)
        self._worker = runner
        heartbeat = Heartbeat(
            store,
            id,
            settings.lease,
            on_lost=self._mark_lost,
            on_missed_beat=self._maintenance.record_outage,
            get_last_claim=self._get_last_claim,
        )
        heartbeat.start()
        upkeep = asyncio.create_task(self._maintenance.run())
        logger.info("executor %s runs %s", id, ", ".join(types))
        self.is_ready.set()
        try:
            yield runner, committer, id
        finally:
            upkeep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await upkeep
            await heartbeat.stop()
            activations.close()
            self._add_totals(committer)

    async def _claim_until_stopped(self, worker: Worker) -> None:
        tries = 0
        poll = self._settings.poll_interval.total_seconds()
        while not (self._stopping.is_set() or self._is_lost.is_set()):
            try:
                claimed = await worker.claim_due()
                self._claimed_at_elapsed = self._store.clock.monotonic()
                self._claimed_at_store_time = claimed.now
                if claimed.may_have_more:
                    await self._wait_unless_stopped(worker.wait_for_free_slots())
                    continue
                self._wakeup.wake_at(await self._due_time_cache.find_next_due(claimed))
                tries = 0
            except Exception as error:  # noqa: BLE001 - an executor that has died runs nothing any more
                tries += 1
                self._log_claim_error(error)
                await self._wait_unless_stopped(self._store.clock.sleep(0.1 * 2 ** min(tries, 4)))
                continue
            await self._wakeup.sleep(poll)

    def _log_claim_error(self, error: Exception) -> None:
        if self._maintenance is not None:
            self._maintenance.record_outage()
        if isinstance(error, StoreUnavailableError):
            logger.warning("claiming waits, the store is away: %s", error)
        else:
            logger.error("claiming waits, the store answered with an error", exc_info=error)

    async def _wait_unless_stopped(self, wait: Coroutine[Any, Any, None]) -> None:
        """Wait for something, but no longer than until the executor is to stop."""
        waits = [
            asyncio.create_task(one) for one in (wait, _wait_for_event(self._stopping), _wait_for_event(self._is_lost))
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()

    async def _drain_worker(self, worker: Worker, committer: Committer, id: str) -> None:
        worker.is_draining = True
        if self._is_lost.is_set():
            worker.cancel_leases(worker.running.values())
            await committer.abandon()
            await worker.wait_until_idle(timeout=5)
            return
        logger.info("executor %s stops: %d activations are running", id, len(worker.running))
        with contextlib.suppress(StoreUnavailableError):
            await self._store.executors.mark_draining(id)
        settled = asyncio.create_task(worker.wait_until_idle(timeout=self._settings.grace.total_seconds()))
        at_once = asyncio.create_task(self._stopping_now.wait())
        await asyncio.wait([settled, at_once], return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        at_once.cancel()
        worker.cancel_leases(worker.running.values())
        await worker.wait_until_idle(timeout=5)
        await self._deregister(committer, id)

    async def _deregister(self, committer: Committer, id: str) -> None:
        """Commit what waits and take the executor off the list; with the store away, leave that to a repair."""
        try:
            async with asyncio.timeout(10):
                await committer.close()
                handed_back = await self._store.executors.deregister(id, now=self._store.clock.now())
        except (StoreUnavailableError, TimeoutError) as error:
            await committer.abandon()
            logger.warning("executor %s could not say goodbye, its lease will run out: %s", id, error)
            return
        logger.info("executor %s has stopped; %d instances were handed back", id, handed_back)

    def _mark_lost(self) -> None:
        logger.error("this executor was given up as lost: its lease ran out before a heartbeat came; starting anew")
        self._is_lost.set()
        self._wakeup.wake()

    def _add_totals(self, committer: Committer) -> None:
        self.committed_transitions += committer.totals.transitions
        self.batches += committer.totals.batches
        self.largest_batch = max(self.largest_batch, committer.totals.largest)

    def _build_record(self, id: str, types: tuple[str, ...]) -> ExecutorRecord:
        now = self._store.clock.now()
        return ExecutorRecord(
            id=id,
            name=self._settings.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            groups=self._settings.groups,
            types=types,
            slots=self._settings.slots,
            status="RUNNING",
            started=now,
            beat=now,
            lease_until=now + to_microseconds(self._settings.lease),
        )


class _DueTimeCache:
    """When the next instance is due; asked of the store again only where that may have changed."""

    def __init__(self, store: Store, settings: ExecutorSettings) -> None:
        self._store = store
        self._settings = settings
        self._next_due: int | None = None
        self._refreshed_at = 0.0
        self.is_stale = True

    async def find_next_due(self, claimed: ClaimResult) -> int | None:
        """Return when the first instance is due that was not yet when the claim was made."""
        clock = self._store.clock
        is_old = clock.monotonic() - self._refreshed_at >= self._settings.poll_interval.total_seconds()
        has_passed = self._next_due is not None and self._next_due <= claimed.now
        if claimed.instance_count or is_old or has_passed or self.is_stale:
            self.is_stale = False
            try:
                self._next_due = await self._store.instances.find_next_due(self._settings.groups, now=claimed.now)
            except BaseException:
                self.is_stale = True
                raise
            self._refreshed_at = clock.monotonic()
        return self._next_due


async def _wait_for_event(event: asyncio.Event) -> None:
    await event.wait()
