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

from flowlet.clock import microseconds
from flowlet.engine.activation import Activations
from flowlet.engine.arrivals import Arrivals
from flowlet.engine.committer import Committer
from flowlet.engine.heartbeat import Heartbeat
from flowlet.engine.meter import Meter
from flowlet.engine.runner import Claimed, Runner
from flowlet.engine.upkeep import Upkeep
from flowlet.engine.waker import Waker
from flowlet.errors import StoreUnavailableError
from flowlet.provided import Provided
from flowlet.registry import Registry
from flowlet.settings import ExecutorSettings
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store

__all__ = ["Executor"]

WRITERS = {"sqlite": 1, "postgresql": 2, "mysql": 3}
"""How many batches are under way at once, by database: what was fastest (DECISIONS.md)."""

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
        provided: Provided | None = None,
        settings: ExecutorSettings | None = None,
        *,
        random: Random | None = None,
        meter: Meter | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._provided = provided or Provided()
        self._settings = settings or ExecutorSettings()
        self._random = random or Random()  # noqa: S311 - jitter
        self._waker = Waker(store.clock)
        self._schedule = _Schedule(store, self._settings)
        self._stopping = asyncio.Event()
        self._stopping_now = asyncio.Event()
        self._lost = asyncio.Event()
        self._runner: Runner | None = None
        self._meter = meter
        self._on_committed = arrivals.committed if arrivals else None
        self._claimed_at: float | None = None
        self._last_claim: int | None = None
        self._upkeep: Upkeep | None = None
        self.is_ready = asyncio.Event()
        self.committed = 0
        self.batches = 0
        self.largest_batch = 0

    @property
    def slots(self) -> int:
        """How many activations it runs at once."""
        return self._settings.slots

    @property
    def free(self) -> int:
        """How many of its slots have no activation."""
        return self._runner.free if self._runner else self.slots

    @property
    def claims(self) -> bool:
        """Whether it has claimed lately: within two polls and ten seconds. One whose slots are all taken counts too."""
        if self._claimed_at is None or self._stopping.is_set():
            return False
        lately = 2 * self._settings.poll.total_seconds() + 10
        return self.free == 0 or self._store.clock.elapsed() - self._claimed_at <= lately

    def _claimed_last(self) -> int | None:
        """Return when it last asked for due instances; one whose slots are all taken would ask for none."""
        return self._last_claim if self.free else self._store.clock.now()

    def wake(self) -> None:
        """Look at once for what is due, and for what is no longer ours: somebody has written to the store."""
        self._schedule.is_stale = True
        self._waker.wake()
        if self._upkeep is not None:
            self._upkeep.look_soon()

    def stop(self) -> None:
        """Begin to drain: claim no more, let activations finish within the grace period. Called again: stop at once."""
        if self._stopping.is_set():
            self._stopping_now.set()
        self._stopping.set()
        self._waker.wake()

    async def run(self) -> None:
        """Run until stopped. An executor that was given up as lost goes on under a fresh id.

        Raises:
            StoreUnavailableError: If the store is away at the start.
        """
        now = await self._store.read_clock()
        for name in await self._store.definitions.save(self._registry.definitions, now=now):
            logger.warning("the definition of %s has changed, its version has not: raise version=", name)
        dialect = self._store.connections.dialect
        heard = self._waker.wake if dialect.polls else self.wake
        async with self._provided:
            watch = await dialect.watch(self._store.url, self._settings.groups, heard)
            try:
                while not self._stopping.is_set():
                    await self._live()
            finally:
                await watch()

    async def _live(self) -> None:
        """Run under one executor id, until stopped or given up as lost."""
        self._lost.clear()
        try:
            async with self._incarnation() as (runner, committer, id):
                await self._claim_until_stopped(runner)
                await self._drain(runner, committer, id)
        except Exception as error:
            if not self.is_ready.is_set():
                raise
            self._note_trouble(error)
            await self._interrupted(self._store.clock.sleep(1.0))

    @contextlib.asynccontextmanager
    async def _incarnation(self) -> AsyncIterator[tuple[Runner, Committer, str]]:
        """Everything that lives under one executor id."""
        store, settings = self._store, self._settings
        id = f"{settings.name}-{uuid.uuid4().hex[:12]}"
        types = tuple(self._registry.names)
        await store.read_clock()  # after a suspend of the machine the monotonic clock is behind
        self._last_claim = None
        await store.executors.register(self._record(id, types))
        activations = Activations(
            self._registry.definition, self._provided, store.clock, self._random, id, threads=min(settings.slots, 128)
        )
        writers = WRITERS[store.connections.dialect.name]
        meter = self._meter
        committer = Committer(
            store, id, limit=settings.batch, writers=writers, meter=meter, on_committed=self._on_committed
        )
        runner = Runner(store, activations, committer, self._waker, settings, executor_id=id, types=types, meter=meter)
        self._upkeep = Upkeep(store, runner, settings, executor_id=id, random=self._random)
        self._runner = runner
        heartbeat = Heartbeat(
            store,
            id,
            settings.lease,
            on_lost=self._give_up,
            on_silence=self._upkeep.out_of_touch,
            last_claim=self._claimed_last,
        )
        heartbeat.start()
        upkeep = asyncio.create_task(self._upkeep.run())
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
            self._add(committer)

    async def _claim_until_stopped(self, runner: Runner) -> None:
        tries = 0
        poll = self._settings.poll.total_seconds()
        while not (self._stopping.is_set() or self._lost.is_set()):
            try:
                claimed = await runner.claim()
                self._claimed_at = self._store.clock.elapsed()
                self._last_claim = claimed.now
                if claimed.may_be_more:
                    await self._interrupted(runner.wait_for_room())
                    continue
                self._waker.note(await self._schedule.next_due(claimed))
                tries = 0
            except Exception as error:  # noqa: BLE001 - an executor that has died runs nothing any more
                tries += 1
                self._note_trouble(error)
                await self._interrupted(self._store.clock.sleep(0.1 * 2 ** min(tries, 4)))
                continue
            await self._waker.sleep(poll)

    def _note_trouble(self, error: Exception) -> None:
        if self._upkeep is not None:
            self._upkeep.out_of_touch()
        if isinstance(error, StoreUnavailableError):
            logger.warning("claiming waits, the store is away: %s", error)
        else:
            logger.error("claiming waits, the store answered with an error", exc_info=error)

    async def _interrupted(self, wait: Coroutine[Any, Any, None]) -> None:
        """Wait for something, but no longer than until the executor is to stop."""
        waits = [asyncio.create_task(one) for one in (wait, _set(self._stopping), _set(self._lost))]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()

    async def _drain(self, runner: Runner, committer: Committer, id: str) -> None:
        runner.is_draining = True
        if self._lost.is_set():
            runner.forget(runner.running.values())
            await committer.abandon()
            await runner.settle(timeout=5)
            return
        logger.info("executor %s stops: %d activations are running", id, len(runner.running))
        with contextlib.suppress(StoreUnavailableError):
            await self._store.executors.drain(id)
        settled = asyncio.create_task(runner.settle(timeout=self._settings.grace.total_seconds()))
        at_once = asyncio.create_task(self._stopping_now.wait())
        await asyncio.wait([settled, at_once], return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        at_once.cancel()
        runner.forget(runner.running.values())
        await runner.settle(timeout=5)
        await self._leave(committer, id)

    async def _leave(self, committer: Committer, id: str) -> None:
        """Commit what waits and take the executor off the list; with the store away, leave that to a repair."""
        try:
            async with asyncio.timeout(10):
                await committer.close()
                handed_back = await self._store.executors.leave(id, now=self._store.clock.now())
        except (StoreUnavailableError, TimeoutError) as error:
            await committer.abandon()
            logger.warning("executor %s could not say goodbye, its lease will run out: %s", id, error)
            return
        logger.info("executor %s has stopped; %d instances were handed back", id, handed_back)

    def _give_up(self) -> None:
        logger.error("this executor was given up as lost: its lease ran out before a heartbeat came; starting anew")
        self._lost.set()
        self._waker.wake()

    def _add(self, committer: Committer) -> None:
        self.committed += committer.totals.transitions
        self.batches += committer.totals.batches
        self.largest_batch = max(self.largest_batch, committer.totals.largest)

    def _record(self, id: str, types: tuple[str, ...]) -> ExecutorRecord:
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
            lease_until=now + microseconds(self._settings.lease),
        )


class _Schedule:
    """When the next instance is due; asked of the store again only where that may have changed."""

    def __init__(self, store: Store, settings: ExecutorSettings) -> None:
        self._store = store
        self._settings = settings
        self._next: int | None = None
        self._asked = 0.0
        self.is_stale = True

    async def next_due(self, claimed: Claimed) -> int | None:
        """Return when the first instance is due that was not yet when the claim was made."""
        clock = self._store.clock
        is_old = clock.elapsed() - self._asked >= self._settings.poll.total_seconds()
        has_passed = self._next is not None and self._next <= claimed.now
        if claimed.number or is_old or has_passed or self.is_stale:
            self.is_stale = False
            try:
                self._next = await self._store.instances.earliest(self._settings.groups, now=claimed.now)
            except BaseException:
                self.is_stale = True
                raise
            self._asked = clock.elapsed()
        return self._next


async def _set(event: asyncio.Event) -> None:
    await event.wait()
