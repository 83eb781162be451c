"""Upkeep: the standing loop that frees what lost executors hold, and finds what is leased here and not run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from random import Random

from flowlet.clock import microseconds
from flowlet.engine.runner import Runner
from flowlet.errors import StoreUnavailableError
from flowlet.sessions import Sessions
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import REPAIRS
from flowlet.store.opening import Store
from flowlet.store.tallies import FOLDED

__all__ = ["Upkeep"]

SHORTEST_LOOK = 0.1
"""Seconds between two looks at most, however often somebody tells of a change."""

FOLDS = 10
"""How many times in one look counts are folded at most, 100 rows each time: every fold holds the others up."""

KEPT = timedelta(days=7)
"""How long executors that are gone stay on the list."""

logger = logging.getLogger(__name__)


class Upkeep:
    """What one executor does for all, and for itself, three times within the length of a lease.

    Leases that ran out while the store was away say nothing about their executors: nobody could beat. So an executor
    repairs only after it has itself been in touch with the store, without a gap, for the length of a lease.
    """

    def __init__(
        self, store: Store, runner: Runner, settings: ExecutorSettings, *, executor_id: str, random: Random
    ) -> None:
        self._store = store
        self._sessions = Sessions(store, idle=settings.session_idle)
        self._runner = runner
        self._settings = settings
        self._executor_id = executor_id
        self._random = random
        self._in_touch_since = store.clock.elapsed()
        self._unknown: dict[int, int] = {}
        self._rounds = 0
        self._told = asyncio.Event()

    def out_of_touch(self) -> None:
        """Take note that the store is away, or was."""
        self._in_touch_since = self._store.clock.elapsed()

    def look_soon(self) -> None:
        """Look at once whether what runs here is still ours: somebody has changed something."""
        self._told.set()

    async def run(self) -> None:
        """Look after leases until cancelled."""
        lease = self._settings.lease.total_seconds()
        pause = min(1.0, lease / 6)
        due = self._store.clock.elapsed() + lease / 3
        while True:
            await self._pause(pause)
            try:
                if self._runner.longest_running() > SHORTEST_LOOK:
                    await self.drop_lost()
                if self._store.clock.elapsed() >= due:
                    due = self._store.clock.elapsed() + lease / 3 * (0.8 + 0.4 * self._random.random())
                    await self.look()
            except StoreUnavailableError as error:
                self.out_of_touch()
                logger.warning("upkeep waits, the store is away: %s", error)
            except Exception:
                self.out_of_touch()
                logger.exception("upkeep broke off, and tries again")

    async def _pause(self, seconds: float) -> None:
        """Wait, a shorter while where somebody tells of a change."""
        await self._store.clock.sleep(SHORTEST_LOOK)
        if self._told.is_set():
            self._told.clear()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - SHORTEST_LOOK):
                await self._told.wait()
        self._told.clear()

    async def look(self) -> None:
        """Repair, hand back what is not run, explain what nobody serves, fold counts, delete what is over: once.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        await self.drop_lost()
        in_touch = self._store.clock.elapsed() - self._in_touch_since
        if in_touch >= self._settings.lease.total_seconds():
            await self.repair()
        self._rounds += 1
        if self._rounds % 3 == 1:
            await self._store.executors.explain_unserved(now=self._store.clock.now())
            await self._fold_counts()
        if self._rounds % 1000 == 1:
            await self._delete_what_is_over()

    async def _fold_counts(self) -> None:
        """Fold old counts, of whatever process, a bounded number of them in one go."""
        tallies, now = self._store.tallies, self._store.clock.now()
        if await tallies.needs_folding(now=now):
            for _ in range(FOLDS):
                if await tallies.fold(now=now) < FOLDED:
                    break

    async def _delete_what_is_over(self) -> None:
        """Delete old executors and ended sessions, of whatever process: nobody else does."""
        now = self._store.clock.now()
        await self._store.executors.forget(before=now - microseconds(KEPT))
        if purged := await self._sessions.purge(now):
            logger.info("deleted %d sessions that had ended", purged)

    async def repair(self) -> int:
        """Free what lost executors hold and return how many instances that was.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        freed = 0
        while await self._store.executors.needs_repair(now=self._store.clock.now()):
            now = self._store.clock.now()
            changes = await self._store.executors.repair(now=now, crash_limit=self._settings.crash_limit)
            freed += len(changes)
            for change in changes:
                logger.warning(
                    "%s %d was freed from executor %s, whose lease ran out",
                    change.before.type,
                    change.before.id,
                    change.before.executor_id,
                )
            if len(changes) < REPAIRS:
                break
        return freed

    async def drop_lost(self) -> None:
        """Stop activations whose instance is no longer ours, and hand back instances that are ours and not run.

        The latter happen where the answer to a claim was lost. They are handed back when seen twice.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        before = list(self._runner.running.values())
        held = await self._store.executors.held(self._executor_id)
        suspects = [lease for lease in before if held.get(lease.id) != lease.token]
        if suspects:
            # Most of these have just ended. Those that still run after a second look are no longer ours.
            held = await self._store.executors.held(self._executor_id)
            running = self._runner.running
            self._runner.forget(
                lease for lease in suspects if running.get(lease.id) is lease and held.get(lease.id) != lease.token
            )
        run = {(lease.id, lease.token) for lease in (*before, *self._runner.running.values())}
        unknown = {id: token for id, token in held.items() if (id, token) not in run}
        twice = {id: token for id, token in unknown.items() if self._unknown.get(id) == token}
        if twice:
            logger.warning("handing back %d instances that are leased here and not run", len(twice))
            await self._store.executors.release(self._executor_id, twice, now=self._store.clock.now())
        self._unknown = unknown
