"""An executor's life under one id: registered, at work, drained, and off the list again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from random import Random

from flowlet.clock import set_call_deadline
from flowlet.definition.definition import Definition
from flowlet.engine.batcher import BatchTotals
from flowlet.engine.heartbeat import Heartbeat
from flowlet.engine.maintenance import Maintenance
from flowlet.engine.retention.pruner import Pruner
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.engine.threads.handler_threads import HandlerThreads
from flowlet.engine.worker import Worker
from flowlet.engine.worker_parts import WorkerParts
from flowlet.errors import StoreUnavailableError
from flowlet.log_setup import PROCESS_OUTAGE
from flowlet.settings import ExecutorSettings
from flowlet.shutdown import BackgroundTask, cancel_and_wait, wait_for_first
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store

__all__ = ["Registration"]

DEREGISTER_SECONDS = 10.0
"""How long an executor that ends tries to commit what waits, and to leave the list. After that its lease runs out."""

logger = logging.getLogger(__name__)


class Registration:
    """Everything that runs under one executor id. An executor that was marked as lost begins another one.

    Args:
        store: The database.
        settings: Lease, grace period and the rest.
        record: The executor's row.
        parts: The worker, and what it works with.
        definitions: The workflows that it runs.
        random: The source of jitter.
        scheduler: Fires the schedules of its workflows until it drains.
        get_last_claim: Returns when the executor last claimed; stored with each heartbeat.
        on_lost: Called when another executor has marked this one as lost.
    """

    def __init__(
        self,
        store: Store,
        settings: ExecutorSettings,
        record: ExecutorRecord,
        parts: WorkerParts,
        *,
        definitions: Sequence[Definition],
        random: Random,
        scheduler: Scheduler,
        get_last_claim: Callable[[], int | None],
        on_lost: Callable[[], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._get_last_claim = get_last_claim
        self._record = record
        self._parts = parts
        self._on_lost = on_lost
        self._is_registered = False
        self.is_lost = asyncio.Event()
        self.maintenance = Maintenance(store, parts.worker, settings, executor_id=record.id, random=random)
        self._maintenance_task = BackgroundTask("maintenance", self.maintenance.run)
        self._scheduler_task = BackgroundTask("scheduler", scheduler.run)
        pruner = Pruner(store, definitions, settings, executor_id=record.id, random=random)
        self._spawner_task = BackgroundTask("spawner", parts.spawner.run)
        self._pruner_task = BackgroundTask("pruner", pruner.run)
        self._heartbeat = Heartbeat(
            store,
            record.id,
            settings.lease,
            parts.lease_timer,
            on_lost=self._mark_lost,
            on_beat=self.maintenance.contact.record_success,
            on_missed_beat=self.maintenance.contact.record_failure,
            on_expired=self._cancel_activations,
            on_renewed=parts.wakeup.wake,
            get_last_claim=get_last_claim,
        )

    @property
    def worker(self) -> Worker:
        """Claims and runs instances."""
        return self._parts.worker

    @property
    def totals(self) -> BatchTotals:
        """What it has committed."""
        return self._parts.committer.totals

    @property
    def threads(self) -> HandlerThreads:
        """The threads of its plain ``def`` handlers."""
        return self._parts.activations.threads

    @property
    def oldest_commit_seconds(self) -> float:
        """For how long the transition that has waited longest has not been committed, in seconds; 0 if none waits."""
        return self._parts.committer.get_oldest_wait_seconds()

    async def start(self) -> None:
        """Register, and begin to send heartbeats.

        Raises:
            StoreUnavailableError: If the store is away.
        """
        sent_at = self._store.clock.monotonic()
        await self._store.executors.register(self._record)
        self._parts.lease_timer.renew(sent_at)
        PROCESS_OUTAGE.record_restart()
        self._is_registered = True
        self._heartbeat.start()
        self._maintenance_task.start()
        self._scheduler_task.start()
        self._pruner_task.start()
        self._spawner_task.start()
        logger.info("executor %s runs %s", self._record.id, ", ".join(self._record.types))

    async def drain(self, forced: asyncio.Event) -> None:
        """Let running activations finish within the grace period, or until ``forced`` is set.

        An executor that is lost has nothing to wait for.
        """
        self.worker.is_draining = True
        self._scheduler_task.cancel()
        if self.is_lost.is_set() or forced.is_set():
            return
        logger.info("executor %s stops: %d activations are running", self._record.id, len(self.worker.running))
        await wait_for_first(self._finish_activations(), forced.wait())

    async def end(self) -> None:
        """End all that runs under this id, hand back what it holds, and leave the list.

        With the store away the executor's lease runs out, and another executor frees what it holds.
        """
        await self.worker.cancel_all()
        await self._maintenance_task.close()
        await self._scheduler_task.close()
        await self._pruner_task.close()
        await self._spawner_task.close()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leave())
            group.create_task(self._heartbeat.stop())
        self._parts.activations.close()

    async def _finish_activations(self) -> None:
        marking = asyncio.create_task(self._mark_draining())
        try:
            await self.worker.wait_until_idle(timeout=self._settings.grace.total_seconds())
        finally:
            await cancel_and_wait(marking)

    async def _mark_draining(self) -> None:
        set_call_deadline(DEREGISTER_SECONDS)
        with contextlib.suppress(StoreUnavailableError):
            await self._store.executors.mark_draining(self._record.id)

    async def _leave(self) -> None:
        committer, id = self._parts.committer, self._record.id
        if self._is_registered and not self.is_lost.is_set():
            set_call_deadline(DEREGISTER_SECONDS)
            try:
                async with asyncio.timeout(DEREGISTER_SECONDS):
                    await committer.close()
                    # A claim whose caller was cancelled may still be under way: what it leases is handed back, too.
                    await self._store.connections.wait_until_idle()
                    now, claimed_at = self._store.clock.now(), self._get_last_claim()
                    count = await self._store.executors.deregister(id, now=now, claimed_at=claimed_at)
                logger.info("executor %s has stopped; %d instances were handed back", id, count)
            except Exception as error:  # noqa: BLE001 - whatever it was, the lease runs out and is repaired
                logger.warning("executor %s could not leave the list, its lease will run out: %r", id, error)
        await committer.abandon()
        await self._store.connections.wait_until_idle(timeout=DEREGISTER_SECONDS)

    def _cancel_activations(self) -> None:
        """Cancel what runs without a lease: another executor may begin it. What is being committed has the fence."""
        count = len(self.worker.running)
        logger.error("the lease of executor %s has run out: %d activations are cancelled", self._record.id, count)
        self.worker.cancel_leases(list(self.worker.running.values()))

    def _mark_lost(self) -> None:
        logger.error("this executor was given up as lost: its lease ran out before a heartbeat came; starting anew")
        self.is_lost.set()
        self._on_lost()
