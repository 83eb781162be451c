"""What waits cost: how often the loop looks, how many statements that takes, and how much memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence

import pytest

from flowlet.clock import VirtualClock
from flowlet.engine.waiters import FALLBACK_SECONDS, MAX_WAITERS, Waiters
from flowlet.errors import RefusedError, WaitTimeoutError
from flowlet.instance.instance import Instance
from flowlet.store.opening import open_store
from flowlet.store.queries import InstancePosition
from tests.engine.clocks import RecordingClock, SteppedClock, StillClock
from tests.engine.executor_harness import find_tasks, wait_for
from tests.engine.manual_executor import open_engine
from tests.engine.waiters.waiters_harness import ORDERS, count_reads, open_deaf_waiters, open_waiters


async def test_what_another_process_commits_is_seen_at_the_next_look(database_url: str) -> None:
    clock = SteppedClock()
    async with (
        open_engine(database_url, ORDERS) as hands,
        open_store(database_url, clock=clock) as other,
    ):
        hand = await hands.add_executor()
        id = await hands.create_instance()
        await other.commit_signal.close()
        arrivals = Waiters(other, clock)
        wait = asyncio.create_task(arrivals.wait(id, "ship", timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await hand.run_due_instance(id)
        assert not wait.done()
        await clock.tick()
        instance: Instance = await wait_for(wait)

    assert instance.state == "ship"


async def test_one_who_does_not_wait_any_more_is_forgotten_at_once(sqlite_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        reads = count_reads(arrivals)
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, timeout=60))
        await wait_for(clock.is_sleeping.wait())

        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        before = len(reads.calls)
        await wait_for(asyncio.wait(find_tasks("flowlet-waiters")))

    assert arrivals.waiter_count == 0
    assert not arrivals._waiters
    assert len(reads.calls) == before


async def test_a_thousand_who_wait_cost_one_statement_at_each_look(database_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(database_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        reads = count_reads(arrivals)
        definition = hands.registry.get_definition("Orders")
        news = [definition.build_instance(None, now=hands.clock.now()) for _ in range(1_000)]
        ids = [created.id for created in await hands.store.instances.create(news, now=hands.clock.now())]
        waits = [asyncio.create_task(arrivals.wait(id, "ship", timeout=600)) for id in ids]
        await wait_for(clock.is_sleeping.wait())
        assert reads.calls == ["read_positions_with_last_action"]

        for _ in range(5):
            await clock.tick()
            await wait_for(clock.is_sleeping.wait())
        assert reads.calls == ["read_positions_with_last_action"] + ["read_positions"] * 5

        await hands.execute_sql("UPDATE flowlet_workflow SET state = 'ship', version = version + 1")
        await clock.tick()
        instances = await wait_for(asyncio.gather(*waits))

    assert reads.calls[6:] == ["read_positions", "read_entered_states", "get_many"]
    assert [instance.id for instance in instances] == ids
    assert arrivals.waiter_count == 0


async def test_a_history_is_read_only_where_the_instance_has_moved(sqlite_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, "done", timeout=60))
        await wait_for(clock.is_sleeping.wait())
        reads = count_reads(arrivals)

        await hand.run_due_instance(id)
        for _ in range(3):
            await clock.tick()
            await wait_for(clock.is_sleeping.wait())
        wait.cancel()

    assert reads.calls == ["read_positions", "read_entered_states", "read_positions", "read_positions"]


async def test_ten_thousand_may_wait_and_take_little_memory(sqlite_url: str) -> None:
    clock = StillClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        id = await hands.create_instance(vars={"note": "x" * 100_000})
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        waits = [asyncio.create_task(arrivals.wait(id, "ship", timeout=600)) for _ in range(MAX_WAITERS)]
        await wait_for(clock.is_sleeping.wait())
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        with pytest.raises(RefusedError, match="there are 10,000 waits already"):
            await arrivals.wait(id, timeout=1)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    assert arrivals.waiter_count == 0
    assert (after - before) / MAX_WAITERS < 8_000


async def test_where_commits_are_signalled_the_loop_looks_once_a_second(sqlite_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(sqlite_url, ORDERS) as engine, open_waiters(engine, clock) as waiters:
        wait = asyncio.create_task(waiters.wait(await engine.create_instance(), timeout=60))
        while not (engine.store.commit_signal.is_listening and clock.is_sleeping.is_set()):
            await VirtualClock().sleep(0)
        await clock.tick()
        await wait_for(clock.is_sleeping.wait())
        reads = count_reads(waiters)

        for _ in range(20):
            await clock.tick()
            await wait_for(clock.is_sleeping.wait())
        wait.cancel()

    assert reads.calls == ["read_positions"] * 2


async def test_a_look_that_took_long_is_followed_by_a_short_rest(sqlite_url: str) -> None:
    clock = RecordingClock()
    async with open_engine(sqlite_url, ORDERS) as engine, open_waiters(engine, clock) as waiters:
        reads = count_reads(waiters)

        async def read_slowly(ids: Sequence[int]) -> list[InstancePosition]:
            clock.advance(20_000_000)  # the server did not answer, and then it did
            return await engine.store.queries.read_positions_with_last_action(ids)

        reads.replacements["read_positions_with_last_action"] = read_slowly
        with pytest.raises(WaitTimeoutError):
            await waiters.wait(await engine.create_instance(), timeout=60)

    assert 0 < max(clock.recorded_sleeps) <= FALLBACK_SECONDS


async def test_a_database_is_polled_the_less_often_the_longer_the_latest_wait_takes(mariadb_url: str) -> None:
    clock = StillClock()
    async with open_engine(mariadb_url, ORDERS) as engine, open_waiters(engine, clock) as waiters:
        wait = asyncio.create_task(waiters.wait(await engine.create_instance(), timeout=60))
        await wait_for(clock.is_sleeping.wait())

        paces = [engine.store.commit_signal.get_poll_seconds()]
        for milliseconds in (400, 500, 9_000):
            clock.advance(milliseconds * 1000)
            paces.append(engine.store.commit_signal.get_poll_seconds())
        wait.cancel()

    assert [round(pace, 3) for pace in paces] == [0.01, 0.04, 0.09, 0.1]


async def test_a_process_that_cannot_listen_looks_ten_times_a_second(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse_to_listen(*_: object) -> None:
        raise OSError("too many open files")

    clock = VirtualClock()
    async with open_engine(sqlite_url, ORDERS) as engine, open_store(sqlite_url, clock=clock) as other:
        monkeypatch.setattr(type(other.connections.dialect.signals), "listen_for_commits", refuse_to_listen)
        executor = await engine.add_executor()
        id = await engine.create_instance()
        waiters = Waiters(other, clock)
        wait = asyncio.create_task(waiters.wait(id, "ship", timeout=3_600))

        await executor.run_due_instance(id)

        assert (await wait_for(wait)).state == "ship"
        assert not other.commit_signal.is_listening
        await waiters.close()
