"""The heartbeat: beats on whatever the store answers, and goes by the time at which its answer was given."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from flowlet.clock import StoreClock
from flowlet.engine.heartbeat import Heartbeat
from flowlet.store.connection import Session
from flowlet.store.executors import ExecutorRecord, ExecutorStore
from flowlet.store.opening import Store, open_store
from tests.engine.running import seen

SHORT = timedelta(seconds=0.3)
LONG = 3_600_000_000
"""An hour in microseconds: longer than any test."""
WAITING = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'UPDATE executor SET%'",
}
"""Which connections wait for the lock of an executor's row."""
CANCEL = {"postgresql": "SELECT pg_cancel_backend({0})", "mysql": "KILL QUERY {0}"}


class Heart:
    """A heartbeat over a registered executor."""

    def __init__(self, store: Store, lease: timedelta) -> None:
        self.store = store
        self.fell_silent = asyncio.Event()
        self.was_lost = asyncio.Event()
        self.beat = Heartbeat(store, "executor-a", lease, on_lost=self.was_lost.set, on_silence=self.fell_silent.set)

    async def record(self) -> ExecutorRecord:
        (record,) = await self.store.executors.all()
        return record

    async def beats_again(self) -> None:
        """Return when the executor's row tells of another beat."""
        before = await self.record()
        while (await self.record()).beat == before.beat:
            pass


@asynccontextmanager
async def beating(store: Store, lease: timedelta = SHORT) -> AsyncIterator[Heart]:
    await register(store)
    heart = Heart(store, lease)
    heart.beat.start()
    try:
        yield heart
    finally:
        await heart.beat.stop()


async def register(store: Store) -> None:
    now = store.clock.now()
    record = ExecutorRecord(
        id="executor-a",
        name="a",
        host="here",
        pid=1,
        groups=("default",),
        types=("Orders",),
        slots=1,
        status="RUNNING",
        started=now,
        beat=now,
        lease_until=now + LONG,
    )
    await store.executors.register(record)


@asynccontextmanager
async def locked(store: Store) -> AsyncIterator[Session]:
    """Hold the lock of the executor's row; on SQLite the only write lock."""
    async with store.connections.transaction() as session:
        await session.rows(f"SELECT id FROM executor {session.dialect.for_update}")
        yield session


async def waits(store: Store) -> int:
    """Return when a connection waits for the lock: its id."""
    sql = WAITING[store.connections.dialect.name]
    while True:
        if rows := await store.connections.read(lambda session: session.rows(sql)):
            return int(rows[0][0])


async def test_a_heart_goes_on_beating_after_an_answer_that_nobody_expected(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_values: object, **_more: object) -> None:
        monkeypatch.undo()
        raise ValueError("odd")

    async with open_store(database_url) as store:
        monkeypatch.setattr(ExecutorStore, "beat", broken)
        async with beating(store) as heart:
            await seen(heart.fell_silent.wait())
            await seen(heart.beats_again())

            assert not heart.was_lost.is_set()


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
async def test_a_heart_goes_on_beating_after_the_server_cancelled_its_statement(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    async with open_store(request.getfixturevalue(fixture)) as store, beating(store, timedelta(seconds=3)) as heart:
        async with locked(store):
            cancel = CANCEL[store.connections.dialect.name].format(await seen(waits(store)))
            await store.connections.read(lambda session: session.execute(cancel))
            await seen(heart.fell_silent.wait())

        await seen(heart.beats_again())


async def test_a_beat_that_waited_for_a_lock_counts_from_after_the_wait(database_url: str) -> None:
    async with open_store(database_url) as store, open_store(database_url) as other:
        await register(store)
        traced = None if store.connections.dialect.has_pool else await traces(store)
        async with locked(other):
            beat = asyncio.create_task(beaten(store), context=contextvars.Context())
            await seen(waits(other) if traced is None else traced.wait())
            after = await other.read_clock()

        told = await seen(beat)

        (record,) = await store.executors.all()
        assert told is not None
        assert told >= after
        assert record.beat >= after
        assert record.lease_until >= after + LONG


async def beaten(store: Store) -> int | None:
    return await store.executors.beat("executor-a", lease_microseconds=LONG)


async def traces(store: Store) -> asyncio.Event:
    """Return an event that is set when the store's connection begins its next statement, before it waits for a lock."""
    begins, loop = asyncio.Event(), asyncio.get_running_loop()

    async def trace(session: Session) -> None:
        told = partial(loop.call_soon_threadsafe, begins.set)
        await session.raw._execute(session.raw._conn.set_trace_callback, lambda _: told())

    await store.connections.run(trace)
    return begins


class Stopwatch(StoreClock):
    """A clock by which each measured time has a given length, and which remembers how often it was set."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.was_set = 0
        self._seconds = seconds
        self._elapsed = 0.0

    def elapsed(self) -> float:
        self._elapsed += self._seconds
        return self._elapsed

    def set(self, now: int) -> None:
        self.was_set += 1
        super().set(now)


@pytest.mark.parametrize(("seconds", "sets"), [(0.01, True), (1.0, False)])
async def test_only_an_answer_that_came_promptly_sets_the_clock(
    database_url: str, monkeypatch: pytest.MonkeyPatch, seconds: float, sets: bool
) -> None:
    beaten, loop, beats = asyncio.Event(), asyncio.get_running_loop(), 0
    beat = ExecutorStore.beat

    async def counted(self: ExecutorStore, *values: Any, **more: Any) -> int | None:
        nonlocal beats
        beats += 1
        if beats == 2:
            loop.call_soon_threadsafe(beaten.set)
        return await beat(self, *values, **more)

    clock = Stopwatch(seconds)
    async with open_store(database_url, clock=clock) as store:
        monkeypatch.setattr(ExecutorStore, "beat", counted)
        before = clock.was_set
        async with beating(store):
            await seen(beaten.wait())

        assert (clock.was_set > before) is sets
