"""Maintenance: the loop that frees what lost executors hold, and finds what is leased here and does not run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from datetime import timedelta
from random import Random

from flowlet.auth.sessions import Sessions
from flowlet.clock import MICROSECONDS_PER_SECOND, to_microseconds
from flowlet.engine.outage import Backoff, Contact
from flowlet.engine.people.due_questions import process_due_questions
from flowlet.engine.worker import Worker
from flowlet.settings import ExecutorSettings
from flowlet.store.counters import MAX_ROLLUP_ROWS
from flowlet.store.housekeeping.unserved import UnservedReasons
from flowlet.store.messages.messages import MAX_EXPIRED_MESSAGES
from flowlet.store.opening import Store

__all__ = ["Maintenance"]

MIN_PAUSE_SECONDS = 0.1
"""Seconds between two checks at least, however often one is requested."""

UNKNOWN_REST_SECONDS = 0.9
"""How often leases are looked for of which nothing is known here; what is found twice is handed back."""

REST_FACTOR = 20
"""A check of the leases is followed by a rest of so many times as long as it took, up to the regular pause."""

MAX_ROLLUPS = 10
"""How many times one round rolls up counters at most, 100 rows each time: every roll-up blocks the other executors."""

MAX_REMINDER_ROUNDS = 10
"""How many transactions remind of questions in one round at most, of up to 100 each: leases are repaired in between."""

MAX_EXPLAIN_SECONDS = 0.05
"""How long instances that no executor serves are explained before the other checks have their turn."""

MAX_EXPLAIN_STEPS = 20
"""How many steps that takes at most."""

EXECUTOR_RETENTION = timedelta(days=7)
"""How long executors that have ended stay on the list."""

logger = logging.getLogger(__name__)


class Maintenance:
    """What one executor does for all of them, and for itself, three times within the length of a lease.

    Leases of lost executors are repaired in between, too, as soon as the first one has run out.

    Attributes:
        contact: How long the store could be reached lately, by which other executors' leases are judged.
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
        self.contact = Contact(store.clock, settings.lease)
        self._first_expiry: int | None = None
        self._explain_at = 0.0
        self._rest_seconds = MIN_PAUSE_SECONDS
        self._leases_checked_at = -math.inf
        self._unserved_reasons = UnservedReasons(store.connections)
        self._unknown_leases: dict[int, int] = {}
        self._checked_lease_count: int | None = 0
        self._round_count = 0
        self._check_requested = asyncio.Event()

    def request_check(self) -> None:
        """Check at once whether the instances that run here are still leased here: one of them may have changed."""
        self._check_requested.set()

    async def run(self) -> None:
        """Run until cancelled."""
        with Backoff("maintenance", is_rare=True) as backoff:
            lease = self._settings.lease.total_seconds()
            pause = min(1.0, lease / 6)
            due = self._store.clock.monotonic() + lease / 3
            while True:
                await self._wait_for_check(min(pause, max(MIN_PAUSE_SECONDS, self._get_seconds_to_expiry())))
                round_began = self.contact.record_running()
                try:
                    if self._may_have_lost_leases():
                        began = self._leases_checked_at = self._store.clock.monotonic()
                        await self.drop_lost_leases()
                        self._rest_seconds = REST_FACTOR * (self._store.clock.monotonic() - began)
                    if self._get_seconds_to_expiry() <= 0:
                        await self.repair_leases()
                    await self._explain_unserved()
                    if self._store.clock.monotonic() >= due:
                        due = self._store.clock.monotonic() + lease / 3 * (0.8 + 0.4 * self._random.random())
                        await self.run_checks()
                        backoff.reset()
                except Exception as error:  # noqa: BLE001 - without maintenance, leases would never be repaired
                    self.contact.record_failure(round_began)
                    await self._store.clock.sleep(backoff.next_delay(error))

    def _get_seconds_to_expiry(self) -> float:
        """Return after how many seconds the first lease of an executor runs out unless it is renewed before.

        Infinity where that is not known, or where there has been too little contact to judge it.
        """
        limit = self.contact.get_expired_before()
        if limit is None or self._first_expiry is None:
            return math.inf
        # A lease has run out when its end is before the limit, not at it.
        return (self._first_expiry + 1 - limit) / MICROSECONDS_PER_SECOND

    async def _wait_for_check(self, seconds: float) -> None:
        """Wait for the given time, or until a check is requested and the last one is long enough ago.

        Where commits of others are polled, each poll of a busy database requests one.
        """
        rest = min(seconds, max(MIN_PAUSE_SECONDS, self._rest_seconds))
        await self._store.clock.sleep(rest)
        if not self._check_requested.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds - rest):
                    await self._check_requested.wait()
        self._check_requested.clear()

    def _may_have_lost_leases(self) -> bool:
        """Return whether something has run for a while, or was leased since the last look, a second ago or longer.

        What was leased may not run: where the answer to a claim or to a create was lost.
        """
        if self._worker.get_oldest_lease_seconds() > MIN_PAUSE_SECONDS:
            return True
        rested = self._store.clock.monotonic() - self._leases_checked_at >= UNKNOWN_REST_SECONDS
        return rested and self._worker.lease_count != self._checked_lease_count

    async def run_checks(self) -> None:
        """Run one round: repair, hand back what does not run, expire messages, remind, explain, roll up, delete.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        await self.drop_lost_leases()
        await self.repair_leases()
        self._round_count += 1
        while await self._store.messages.delete_expired(now=self._store.clock.now()) == MAX_EXPIRED_MESSAGES:
            pass
        for _ in range(MAX_REMINDER_ROUNDS):
            if not await process_due_questions(self._store, self._executor_id):
                break
        if self._round_count % 3 == 1:
            await self._unserved_reasons.begin_lap()
            await self._explain_unserved()
            await self._roll_up_counters()
        if self._round_count % 1000 == 1:
            await self._delete_expired()

    async def _explain_unserved(self) -> None:
        """Write reasons of instances that no executor serves; the next call goes on where this one stops.

        A step is one short transaction. After each call the steps rest for nine times as long as they took.
        """
        clock = self._store.clock
        if (began := clock.monotonic()) < self._explain_at:
            return
        for _ in range(MAX_EXPLAIN_STEPS):
            is_under_way = await self._unserved_reasons.run_step(now=clock.now())
            if not is_under_way or clock.monotonic() - began >= MAX_EXPLAIN_SECONDS:
                break
        self._explain_at = clock.monotonic() + 9 * (clock.monotonic() - began)

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

        The first lease to run out is looked for each time, and the next repair is due then.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        freed = 0
        while True:
            self._first_expiry = await self._store.executors.find_first_expiry()
            self.contact.record_success()
            limit = self.contact.get_expired_before()
            if limit is None or self._first_expiry is None or self._first_expiry >= limit:
                return freed
            changes = await self._store.executors.repair_leases(
                now=self._store.clock.now(), expired_before=limit, crash_limit=self._settings.crash_limit
            )
            freed += len(changes)
            for change in changes:
                logger.warning(
                    "%s %d was freed from executor %s, whose lease ran out",
                    change.before.type,
                    change.before.id,
                    change.before.executor_id,
                )
            if not changes:  # others repair them
                return freed

    async def drop_lost_leases(self) -> None:
        """Cancel activations whose instance is no longer leased here; hand back leased instances that do not run.

        The latter exist where the answer to a claim was lost. They are handed back when they are found twice.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        before, lease_count = list(self._worker.running.values()), self._worker.lease_count
        if not before and lease_count == self._checked_lease_count:
            return  # nothing was held at the last look, and nothing has been leased since
        held = await self._store.executors.read_held_tokens(self._executor_id)
        self.contact.record_success()
        # One that was committed before this reading, and so has ended, runs no more, or still waits for the answer.
        running = self._worker.running
        self._worker.cancel_leases(
            lease for lease in before if running.get(lease.id) is lease and held.get(lease.id) != lease.token
        )
        run = {(lease.id, lease.token) for lease in (*before, *self._worker.running.values())}
        unknown = {id: token for id, token in held.items() if (id, token) not in run}
        twice = {id: token for id, token in unknown.items() if self._unknown_leases.get(id) == token}
        if twice:
            logger.warning("handing back %d instances that are leased here and do not run", len(twice))
            self._worker.returned |= twice
            await self._store.executors.release_instances(self._executor_id, twice, now=self._store.clock.now())
        self._unknown_leases = unknown
        self._checked_lease_count = None if held else lease_count
