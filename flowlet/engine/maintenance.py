"""Maintenance: the loop that frees what lost executors hold, and finds what is leased here and does not run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from random import Random

from flowlet.auth.sessions import Sessions
from flowlet.clock import to_microseconds
from flowlet.engine.outage import Backoff
from flowlet.engine.worker import Worker
from flowlet.settings import ExecutorSettings
from flowlet.store.counters import MAX_ROLLUP_ROWS
from flowlet.store.executors import MAX_REPAIRED_INSTANCES
from flowlet.store.opening import Store

__all__ = ["Maintenance"]

MIN_PAUSE_SECONDS = 0.1
"""Seconds between two checks at least, however often one is requested."""

MAX_ROLLUPS = 10
"""How many times one round rolls up counters at most, 100 rows each time: every roll-up blocks the other executors."""

EXECUTOR_RETENTION = timedelta(days=7)
"""How long executors that have ended stay on the list."""

logger = logging.getLogger(__name__)


class Maintenance:
    """What one executor does for all of them, and for itself, three times within the length of a lease.

    Leases that ran out while the store was away say nothing about their executors: none could send a heartbeat. So an
    executor repairs only after its own contact with the store has lasted for the length of a lease without a gap.
    """

    def __init__(
        self, store: Store, worker: Worker, settings: ExecutorSettings, *, executor_id: str, random: Random
    ) -> None:
        self._store = store
        self._sessions = Sessions(store, idle_timeout=settings.session_idle)
        self._worker = worker
        self._settings = settings
        self._executor_id = executor_id
        self._random = random
        self._connected_since = store.clock.monotonic()
        self._unknown_leases: dict[int, int] = {}
        self._round_count = 0
        self._check_requested = asyncio.Event()

    def record_outage(self) -> None:
        """Note that the store is away, or was."""
        self._connected_since = self._store.clock.monotonic()

    def request_check(self) -> None:
        """Check at once whether the instances that run here are still leased here: one of them may have changed."""
        self._check_requested.set()

    async def run(self) -> None:
        """Run until cancelled."""
        backoff = Backoff("maintenance")
        lease = self._settings.lease.total_seconds()
        pause = min(1.0, lease / 6)
        due = self._store.clock.monotonic() + lease / 3
        while True:
            await self._wait_for_check(pause)
            try:
                if self._worker.get_oldest_lease_seconds() > MIN_PAUSE_SECONDS:
                    await self.drop_lost_leases()
                if self._store.clock.monotonic() >= due:
                    due = self._store.clock.monotonic() + lease / 3 * (0.8 + 0.4 * self._random.random())
                    await self.run_checks()
                    backoff.reset()
            except Exception as error:  # noqa: BLE001 - without maintenance, leases would never be repaired
                self.record_outage()
                await self._store.clock.sleep(backoff.next_delay(error))

    async def _wait_for_check(self, seconds: float) -> None:
        """Wait for the given time, or until a check is requested."""
        await self._store.clock.sleep(MIN_PAUSE_SECONDS)
        if self._check_requested.is_set():
            self._check_requested.clear()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - MIN_PAUSE_SECONDS):
                await self._check_requested.wait()
        self._check_requested.clear()

    async def run_checks(self) -> None:
        """Run one round: repair, hand back what does not run, explain what no executor serves, roll up, delete.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        await self.drop_lost_leases()
        connected_seconds = self._store.clock.monotonic() - self._connected_since
        if connected_seconds >= self._settings.lease.total_seconds():
            await self.repair_leases()
        self._round_count += 1
        if self._round_count % 3 == 1:
            await self._store.executors.explain_unserved(now=self._store.clock.now())
            await self._roll_up_counters()
        if self._round_count % 1000 == 1:
            await self._delete_expired()

    async def _roll_up_counters(self) -> None:
        """Roll up old counters of all processes, a bounded number of them in one round."""
        counters, now = self._store.counters, self._store.clock.now()
        if await counters.needs_rollup(now=now):
            for _ in range(MAX_ROLLUPS):
                if await counters.roll_up(now=now) < MAX_ROLLUP_ROWS:
                    break

    async def _delete_expired(self) -> None:
        """Delete old executors and ended sessions of all processes: nothing else deletes them."""
        now = self._store.clock.now()
        await self._store.executors.delete_gone(before=now - to_microseconds(EXECUTOR_RETENTION))
        if deleted := await self._sessions.delete_ended_sessions(now):
            logger.info("deleted %d sessions that had ended", deleted)

    async def repair_leases(self) -> int:
        """Free the instances that lost executors hold, and return how many they were.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        freed = 0
        while await self._store.executors.needs_repair(now=self._store.clock.now()):
            now = self._store.clock.now()
            changes = await self._store.executors.repair_leases(now=now, crash_limit=self._settings.crash_limit)
            freed += len(changes)
            for change in changes:
                logger.warning(
                    "%s %d was freed from executor %s, whose lease ran out",
                    change.before.type,
                    change.before.id,
                    change.before.executor_id,
                )
            if len(changes) < MAX_REPAIRED_INSTANCES:
                break
        return freed

    async def drop_lost_leases(self) -> None:
        """Cancel activations whose instance is no longer leased here; hand back leased instances that do not run.

        The latter exist where the answer to a claim was lost. They are handed back when they are found twice.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        before = list(self._worker.running.values())
        held = await self._store.executors.read_held_tokens(self._executor_id)
        suspects = [lease for lease in before if held.get(lease.id) != lease.token]
        if suspects:
            # Most of these have just ended. Those that still run after a second look have lost their lease.
            held = await self._store.executors.read_held_tokens(self._executor_id)
            running = self._worker.running
            self._worker.cancel_leases(
                lease for lease in suspects if running.get(lease.id) is lease and held.get(lease.id) != lease.token
            )
        run = {(lease.id, lease.token) for lease in (*before, *self._worker.running.values())}
        unknown = {id: token for id, token in held.items() if (id, token) not in run}
        twice = {id: token for id, token in unknown.items() if self._unknown_leases.get(id) == token}
        if twice:
            logger.warning("handing back %d instances that are leased here and do not run", len(twice))
            await self._store.executors.release_instances(self._executor_id, twice, now=self._store.clock.now())
        self._unknown_leases = unknown
