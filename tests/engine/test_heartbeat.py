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
from flowlet.engine.heartbeat import Heartbeat, LeaseTimer
from flowlet.store.database_session import DatabaseSession
from flowlet.store.executors import ExecutorRecord, ExecutorStore
from flowlet.store.opening import Store, open_store
from tests.engine.executor_harness import wait_for

SHORT_LEASE = timedelta(seconds=0.3)
LONG_LEASE_MICROSECONDS = 3_600_000_000
"""An hour in microseconds: longer than any test."""
WAITING_CONNECTION_SQL = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": (
        "SELECT id FROM information_schema.processlist "
        "WHERE db = DATABASE() AND info LIKE 'UPDATE flowlet_executor SET%'"
    ),
}
"""Which connections wait for the lock of an executor's row."""
CANCEL_QUERY_SQL = {"postgresql": "SELECT pg_cancel_backend({0})", "mysql": "KILL QUERY {0}"}


class HeartbeatHarness:
    """A heartbeat over a registered executor."""

    def __init__(self, store: Store, lease: timedelta) -> None:
        self.store = store
        self.is_silent = asyncio.Event()
        self.was_acknowledged = asyncio.Event()
        self.was_lost = asyncio.Event()
        self.has_expired = asyncio.Event()
        self.was_renewed = asyncio.Event()
        self.timer = LeaseTimer(store.clock, lease)
        self.timer.renew(store.clock.monotonic())
        self.heartbeat = Heartbeat(
            store,
            "executor-a",
            lease,
            self.timer,
            on_lost=self.was_lost.set,
            on_beat=self.was_acknowledged.set,
            on_missed_beat=lambda _sent_at: self.is_silent.set(),
            on_expired=self.has_expired.set,
            on_renewed=self.was_renewed.set,
        )

    async def read_record(self) -> ExecutorRecord:
        (record,) = await self.store.executors.list_all()
        return record

    async def wait_for_next_beat(self) -> None:
        """Return when the executor's row shows another heartbeat."""
        before = await self.read_record()
        while (await self.read_record()).beat == before.beat:
            pass


@asynccontextmanager
async def run_heartbeat(store: Store, lease: timedelta = SHORT_LEASE) -> AsyncIterator[HeartbeatHarness]:
    await register_executor(store)
    heart = HeartbeatHarness(store, lease)
    heart.heartbeat.start()
    try:
        yield heart
    finally:
        await heart.heartbeat.stop()


async def register_executor(store: Store) -> None:
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
        lease_until=now + LONG_LEASE_MICROSECONDS,
    )
    await store.executors.register(record)


@asynccontextmanager
async def lock_executor_row(store: Store) -> AsyncIterator[DatabaseSession]:
    """Hold the lock of the executor's row; on SQLite the only write lock."""
    async with store.connections.transaction() as session:
        await session.fetch_rows(f"SELECT id FROM flowlet_executor {session.dialect.expressions.for_update_sql}")
        yield session


async def find_waiting_connection(store: Store) -> int:
    """Return when a connection waits for the lock: its id."""
    sql = WAITING_CONNECTION_SQL[store.connections.dialect.name]
    while True:
        if rows := await store.connections.read(lambda session: session.fetch_rows(sql)):
            return int(rows[0][0])


async def test_an_acknowledged_heartbeat_is_reported(database_url: str) -> None:
    async with open_store(database_url) as store, run_heartbeat(store) as heart:
        await wait_for(heart.was_acknowledged.wait())


async def test_a_heart_goes_on_beating_after_an_answer_that_nobody_expected(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raise_driver_error(*_values: object, **_more: object) -> None:
        monkeypatch.undo()
        raise ValueError("odd")

    async with open_store(database_url) as store:
        monkeypatch.setattr(ExecutorStore, "renew_lease", raise_driver_error)
        async with run_heartbeat(store) as heart:
            await wait_for(heart.is_silent.wait())
            await wait_for(heart.wait_for_next_beat())

            assert not heart.was_lost.is_set()


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
async def test_a_heart_goes_on_beating_after_the_server_cancelled_its_statement(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    async with (
        open_store(request.getfixturevalue(fixture)) as store,
        run_heartbeat(store, timedelta(seconds=3)) as heart,
    ):
        async with lock_executor_row(store):
            cancel = CANCEL_QUERY_SQL[store.connections.dialect.name].format(
                await wait_for(find_waiting_connection(store))
            )
            await store.connections.read(lambda session: session.execute(cancel))
            await wait_for(heart.is_silent.wait())

        await wait_for(heart.wait_for_next_beat())


async def test_a_beat_that_waited_for_a_lock_counts_from_after_the_wait(database_url: str) -> None:
    async with open_store(database_url) as store, open_store(database_url) as other:
        await register_executor(store)
        traced = None if store.connections.dialect.connections.has_pool else await trace_next_statement(store)
        async with lock_executor_row(other):
            beat = asyncio.create_task(record_beat(store), context=contextvars.Context())
            await wait_for(find_waiting_connection(other) if traced is None else traced.wait())
            after = await other.read_clock()

        beaten_at = await wait_for(beat)

        (record,) = await store.executors.list_all()
        assert beaten_at is not None
        assert beaten_at >= after
        assert record.beat >= after
        assert record.lease_until >= after + LONG_LEASE_MICROSECONDS


async def record_beat(store: Store) -> int | None:
    return await store.executors.renew_lease("executor-a", lease_microseconds=LONG_LEASE_MICROSECONDS)


async def trace_next_statement(store: Store) -> asyncio.Event:
    """Return an event that is set when the store's connection begins its next statement, before it waits for a lock."""
    begins, loop = asyncio.Event(), asyncio.get_running_loop()

    async def set_trace(session: DatabaseSession) -> None:
        notify = partial(loop.call_soon_threadsafe, begins.set)
        await session.raw._execute(session.raw._conn.set_trace_callback, lambda _: notify())

    await store.connections.run_on_engine(set_trace)
    return begins


async def test_a_lease_that_cannot_be_renewed_runs_out_by_the_executors_own_count(database_url: str) -> None:
    async with open_store(database_url) as store, open_store(database_url) as other, run_heartbeat(store) as heart:
        async with lock_executor_row(other):
            await wait_for(heart.has_expired.wait())
            assert heart.timer.remaining_seconds <= 0
            assert not heart.was_renewed.is_set()

        await wait_for(heart.was_renewed.wait())
        assert heart.timer.remaining_seconds > 0
        assert not heart.was_lost.is_set()


class FixedElapsedClock(StoreClock):
    """A clock by which each measured time has a given length, and which remembers how often it was set."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.set_count = 0
        self._seconds = seconds
        self._elapsed = 0.0

    def monotonic(self) -> float:
        self._elapsed += self._seconds
        return self._elapsed

    def synchronize(self, now: int) -> None:
        self.set_count += 1
        super().synchronize(now)


@pytest.mark.parametrize(("seconds", "sets"), [(0.01, True), (1.0, False)])
async def test_only_an_answer_that_came_promptly_sets_the_clock(
    database_url: str, monkeypatch: pytest.MonkeyPatch, seconds: float, sets: bool
) -> None:
    beaten, loop, beats = asyncio.Event(), asyncio.get_running_loop(), 0
    beat = ExecutorStore.renew_lease

    async def count_beats(self: ExecutorStore, *values: Any, **more: Any) -> int | None:
        nonlocal beats
        beats += 1
        if beats == 2:
            loop.call_soon_threadsafe(beaten.set)
        return await beat(self, *values, **more)

    clock = FixedElapsedClock(seconds)
    async with open_store(database_url, clock=clock) as store:
        monkeypatch.setattr(ExecutorStore, "renew_lease", count_beats)
        before = clock.set_count
        async with run_heartbeat(store):
            await wait_for(beaten.wait())

        assert (clock.set_count > before) is sets
