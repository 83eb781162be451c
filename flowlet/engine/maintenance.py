"""Upkeep: the standing loop that frees what lost executors hold, and finds what is leased here and not run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from random import Random

from flowlet.auth.sessions import Sessions
from flowlet.clock import to_microseconds
from flowlet.engine.worker import Worker
from flowlet.errors import StoreUnavailableError
from flowlet.settings import ExecutorSettings
from flowlet.store.counters import MAX_ROLLUP_ROWS
from flowlet.store.executors import MAX_REPAIRED_INSTANCES
from flowlet.store.opening import Store

__all__ = ["Maintenance"]

MIN_PAUSE_SECONDS = 0.1
"""Seconds between two looks at most, however often somebody tells of a change."""

MAX_ROLLUPS = 10
"""How many times in one look counts are folded at most, 100 rows each time: every fold holds the others up."""

EXECUTOR_RETENTION = timedelta(days=7)
"""How long executors that are gone stay on the list."""

logger = logging.getLogger(__name__)


class Maintenance:
    """What one executor does for all, and for itself, three times within the length of a lease.

    Leases that ran out while the store was away say nothing about their executors: nobody could beat. So an executor
    repairs only after it has itself been in touch with the store, without a gap, for the length of a lease.
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
        """Take note that the store is away, or was."""
        self._connected_since = self._store.clock.monotonic()

    def request_check(self) -> None:
        """Look at once whether what runs here is still ours: somebody has changed something."""
        self._check_requested.set()

    async def run(self) -> None:
        """Look after leases until cancelled."""
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
            except StoreUnavailableError as error:
                self.record_outage()
                logger.warning("upkeep waits, the store is away: %s", error)
            except Exception:
                self.record_outage()
                logger.exception("upkeep broke off, and tries again")

    async def _wait_for_check(self, seconds: float) -> None:
        """Wait, a shorter while where somebody tells of a change."""
        await self._store.clock.sleep(MIN_PAUSE_SECONDS)
        if self._check_requested.is_set():
            self._check_requested.clear()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - MIN_PAUSE_SECONDS):
                await self._check_requested.wait()
        self._check_requested.clear()

    async def run_checks(self) -> None:
        """Repair, hand back what is not run, explain what nobody serves, fold counts, delete what is over: once.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        await self.drop_lost_leases()
        in_touch = self._store.clock.monotonic() - self._connected_since
        if in_touch >= self._settings.lease.total_seconds():
            await self.repair_leases()
        self._round_count += 1
        if self._round_count % 3 == 1:
            await self._store.executors.explain_unserved(now=self._store.clock.now())
            await self._roll_up_counters()
        if self._round_count % 1000 == 1:
            await self._delete_expired()

    async def _roll_up_counters(self) -> None:
        """Fold old counts, of whatever process, a bounded number of them in one go."""
        tallies, now = self._store.counters, self._store.clock.now()
        if await tallies.needs_rollup(now=now):
            for _ in range(MAX_ROLLUPS):
                if await tallies.roll_up(now=now) < MAX_ROLLUP_ROWS:
                    break

    async def _delete_expired(self) -> None:
        """Delete old executors and ended sessions, of whatever process: nobody else does."""
        now = self._store.clock.now()
        await self._store.executors.delete_gone(before=now - to_microseconds(EXECUTOR_RETENTION))
        if purged := await self._sessions.delete_ended_sessions(now):
            logger.info("deleted %d sessions that had ended", purged)

    async def repair_leases(self) -> int:
        """Free what lost executors hold and return how many instances that was.

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
        """Stop activations whose instance is no longer ours, and hand back instances that are ours and not run.

        The latter happen where the answer to a claim was lost. They are handed back when seen twice.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        before = list(self._worker.running.values())
        held = await self._store.executors.read_held_tokens(self._executor_id)
        suspects = [lease for lease in before if held.get(lease.id) != lease.token]
        if suspects:
            # Most of these have just ended. Those that still run after a second look are no longer ours.
            held = await self._store.executors.read_held_tokens(self._executor_id)
            running = self._worker.running
            self._worker.cancel_leases(
                lease for lease in suspects if running.get(lease.id) is lease and held.get(lease.id) != lease.token
            )
        run = {(lease.id, lease.token) for lease in (*before, *self._worker.running.values())}
        unknown = {id: token for id, token in held.items() if (id, token) not in run}
        twice = {id: token for id, token in unknown.items() if self._unknown_leases.get(id) == token}
        if twice:
            logger.warning("handing back %d instances that are leased here and not run", len(twice))
            await self._store.executors.release_instances(self._executor_id, twice, now=self._store.clock.now())
        self._unknown_leases = unknown
