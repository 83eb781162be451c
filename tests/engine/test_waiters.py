"""Waiting for instances: a commit of any process ends the waits for it; without a signal one look for all does."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from flowlet.clock import VirtualClock, to_datetime
from flowlet.engine.waiters import MAX_WAITERS, Waiters
from flowlet.errors import RefusedError, StoreUnavailableError, UnknownInstanceError, WaitTimeoutError
from flowlet.instance.instance import Instance, Status
from flowlet.operations.service import Operations
from flowlet.store.opening import open_store
from flowlet.workflow.context import Context
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.clocks import SteppedClock, StillClock
from tests.engine.executor_harness import run_executor, wait_for
from tests.engine.manual_executor import EngineHarness, open_engine


@state(start=True, next=["ship"])
async def check() -> Next:
    return ship


@state(next=["done", "ship"])
async def ship() -> str:
    return "done"


done = end()
ORDERS = build_workflow_module(check=check, ship=ship, done=done)


class CountingReads:
    """The look-ups of a store, counted by name, and away when a test wants it."""

    def __init__(self, reads: Any) -> None:
        self._reads = reads
        self.calls: list[str] = []
        self.replacements: dict[str, Callable[..., Any]] = {}
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._reads, name)

        async def count_call(*given: Any, **named: Any) -> Any:
            self.calls.append(name)
            if self.is_away:
                raise StoreUnavailableError("the database is away")
            return await self.replacements.get(name, method)(*given, **named)

        return count_call


@asynccontextmanager
async def open_waiters(engine: EngineHarness, clock: VirtualClock) -> AsyncIterator[Waiters]:
    """Let the test wait as the application does."""
    arrivals = Waiters(engine.store, clock)
    try:
        yield arrivals
    finally:
        await arrivals.close()


@asynccontextmanager
async def open_deaf_waiters(engine: EngineHarness, clock: VirtualClock) -> AsyncIterator[Waiters]:
    """Let the test wait where no commit is heard of: what is found is found by looking."""
    await engine.store.commit_signal.close()
    async with open_waiters(engine, clock) as waiters:
        yield waiters


def count_reads(arrivals: Waiters) -> CountingReads:
    """Count the look-ups of these waits from now on."""
    counting = CountingReads(arrivals._reads)
    arrivals._reads = counting  # type: ignore[assignment]  # it does the same
    return counting


async def test_a_wait_ends_at_the_commit_in_the_same_process_without_a_tick(database_url: str) -> None:
    clock = StillClock()
    async with open_engine(database_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, "ship", timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await hand.run_due_instance(id)
        instance: Instance = await wait_for(wait)

    assert (instance.id, instance.state) == (id, "ship")


async def test_a_committer_tells_those_who_wait(sqlite_url: str) -> None:
    clock = StillClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, ["nosuch", "ship"], timeout=60))
        await wait_for(clock.is_sleeping.wait())

        async with hand.open_committer() as committer:
            await committer.commit(await hand.run_instance(await hand.claim_instance(id)))
        instance: Instance = await wait_for(wait)

    assert instance.state == "ship"


async def test_an_operation_tells_those_who_wait(sqlite_url: str) -> None:
    clock = StillClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        operations = Operations(hands.store, hands.registry)
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await operations.cancel(id, username="ada")
        instance: Instance = await wait_for(wait)

    assert instance.status == Status.CANCELLED


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


async def test_a_state_that_is_left_between_two_looks_counts(database_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(database_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        await hand.claim_due()
        operations = Operations(hands.store, hands.registry)
        wait = asyncio.create_task(arrivals.wait(id, "ship", timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await operations.move(id, "ship", username="ada", force=True, reason="in a hurry")
        await operations.move(id, "check", username="ada", force=True, reason="too much of a hurry")
        await clock.tick()
        instance: Instance = await wait_for(wait)

    assert (instance.state, instance.has_ended) == ("check", False)


async def test_a_state_that_was_left_before_counts_only_from_the_line_that_is_named(sqlite_url: str) -> None:
    clock = VirtualClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        operations = Operations(hands.store, hands.registry)
        id = await hands.create_instance()
        await operations.move(id, "ship", username="ada", force=True, reason="in a hurry")
        await operations.move(id, "check", username="ada", force=True, reason="too much of a hurry")
        lines = [line.id for line in await hands.read_history(id)]

        waits = [arrivals.wait(id, "ship", timeout=1, since=since) for since in (None, lines[1], lines[0], 0)]
        late, later, *reached = await asyncio.gather(*waits, return_exceptions=True)

    assert isinstance(late, WaitTimeoutError)
    assert isinstance(later, WaitTimeoutError)
    assert [one.state for one in reached if isinstance(one, Instance)] == ["check", "check"]


async def test_a_choice_that_was_made_and_not_yet_followed_does_not_count(sqlite_url: str) -> None:
    clock = VirtualClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        id = await hands.create_instance()
        await hands.execute_sql(
            "INSERT INTO flowlet_action (workflow_id, kind, at, from_state, to_state) "
            "VALUES (:id, 'ANSWERED', 0, 'check', 'done')",
            {"id": id},
        )

        with pytest.raises(WaitTimeoutError):
            await arrivals.wait(id, "done", timeout=1, since=0)


async def test_the_state_it_is_in_is_reached_at_once(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, StillClock()) as arrivals:
        id = await hands.create_instance()

        instance = await wait_for(arrivals.wait(id, {"check", "done"}, timeout=0))

    assert instance.state == "check"


@pytest.mark.parametrize("states", [None, (), "ship"])
async def test_what_has_ended_comes_back_at_once_whatever_is_waited_for(sqlite_url: str, states: Any) -> None:
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, StillClock()) as arrivals:
        id = await hands.create_instance()
        await Operations(hands.store, hands.registry).cancel(id, username="ada")

        instance = await wait_for(arrivals.wait(id, states, timeout=60))

    assert (instance.status, instance.state) == (Status.CANCELLED, "check")


async def test_a_wait_for_the_end_does_not_stop_at_a_state(sqlite_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, timeout=60))
        await hand.run_due_instance(id)
        for _ in range(2):
            await clock.tick()
        await wait_for(clock.is_sleeping.wait())

        assert not wait.done()
        assert arrivals.waiter_count == 1
        wait.cancel()


async def test_a_wait_that_is_too_long_carries_the_instance_as_it_is(database_url: str) -> None:
    clock = VirtualClock()
    async with open_engine(database_url, ORDERS) as hands, open_waiters(hands, clock) as arrivals:
        id = await hands.create_instance()
        began = clock.monotonic()

        with pytest.raises(WaitTimeoutError, match=f"workflow {id} has not reached ship in time: it is NEW") as late:
            await arrivals.wait(id, "ship", timeout=30)

    assert 30 <= clock.monotonic() - began < 31
    assert late.value.instance.state == "check"
    assert isinstance(late.value, TimeoutError)


async def test_an_unknown_id_is_told_at_once(database_url: str) -> None:
    async with open_engine(database_url, ORDERS) as hands, open_waiters(hands, StillClock()) as arrivals:
        for id in (1, 0, -1, 2**63):
            with pytest.raises(UnknownInstanceError, match=f"the id {id}"):
                await wait_for(arrivals.wait(id, timeout=60))


@pytest.mark.parametrize("timeout", [-1, 3_600.1, float("inf"), float("nan")])
async def test_a_time_out_of_its_bounds_is_refused(sqlite_url: str, timeout: float) -> None:
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, StillClock()) as arrivals:
        with pytest.raises(RefusedError, match="from 0 to 3600"):
            await arrivals.wait(1, timeout=timeout)


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
        assert arrivals._watch_task is not None
        await wait_for(asyncio.wait([arrivals._watch_task]))

    assert arrivals.waiter_count == 0
    assert not arrivals._waiters
    assert len(reads.calls) == before


async def test_who_comes_after_the_last_has_gone_is_served_too(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, VirtualClock()) as arrivals:
        id = await hands.create_instance()

        for _ in range(3):
            assert (await wait_for(arrivals.wait(id, "check", timeout=1))).id == id


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


async def test_waits_go_on_while_the_store_is_away(sqlite_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        reads = count_reads(arrivals)
        hand = await hands.add_executor()
        id = await hands.create_instance()
        reads.is_away = True
        wait = asyncio.create_task(arrivals.wait(id, "ship", timeout=60, since=0))
        await clock.tick()
        await wait_for(clock.is_sleeping.wait())
        assert not wait.done()

        await hand.run_due_instance(id)
        reads.is_away = False
        await clock.tick()

        assert (await wait_for(wait)).state == "ship"


async def test_a_line_of_history_is_not_lost_where_the_store_goes_away_in_the_middle_of_a_look(sqlite_url: str) -> None:
    clock = SteppedClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        operations = Operations(hands.store, hands.registry)
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, "ship", timeout=60))
        await wait_for(clock.is_sleeping.wait())
        reads = count_reads(arrivals)
        await operations.move(id, "ship", username="ada", force=True, reason="in a hurry")
        await operations.move(id, "check", username="ada", force=True, reason="too much of a hurry")

        async def raise_unavailable(*_: Any, **__: Any) -> Any:
            raise StoreUnavailableError("the database is away")

        reads.replacements["read_entered_states"] = raise_unavailable
        await clock.tick()
        await wait_for(clock.is_sleeping.wait())
        reads.replacements.clear()
        await clock.tick()

        assert (await wait_for(wait)).state == "check"


async def test_a_wait_ends_in_time_while_the_store_is_away(sqlite_url: str) -> None:
    clock = VirtualClock()
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, clock) as arrivals:
        count_reads(arrivals).is_away = True

        with pytest.raises(WaitTimeoutError, match="the store does not answer") as late:
            await arrivals.wait(1, timeout=5)

    assert late.value.instance is None


async def test_a_wait_ends_although_the_store_never_answers(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowlet.engine.waiters.STORE_GRACE_SECONDS", 0.01)
    async with open_engine(sqlite_url, ORDERS) as hands, open_deaf_waiters(hands, StillClock()) as arrivals:
        reads = count_reads(arrivals)

        async def never_return(*_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

        reads.replacements["read_positions_with_last_action"] = never_return

        with pytest.raises(WaitTimeoutError, match="the store does not answer"):
            await wait_for(arrivals.wait(1, timeout=0))


async def test_closing_ends_every_wait(sqlite_url: str) -> None:
    clock = StillClock()
    async with open_engine(sqlite_url, ORDERS) as hands:
        arrivals = Waiters(hands.store, clock)
        wait = asyncio.create_task(arrivals.wait(await hands.create_instance(), timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await arrivals.close()

        with pytest.raises(WaitTimeoutError, match="the application stops"):
            await wait


async def test_a_wait_ends_at_the_commit_of_another_process_without_a_tick(database_url: str) -> None:
    clock = StillClock()
    async with open_engine(database_url, ORDERS) as engine, open_store(database_url, clock=clock) as other:
        executor = await engine.add_executor()
        id = await engine.create_instance()
        waiters = Waiters(other, clock)
        wait = asyncio.create_task(waiters.wait(id, "ship", timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await executor.run_due_instance(id)
        instance: Instance = await wait_for(wait)
        await waiters.close()

    assert instance.state == "ship"


async def test_a_handlers_own_transaction_ends_a_wait_too(database_url: str) -> None:
    @state(start=True, next=["done"])
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.fetch_one("SELECT 1")
        return "done"

    clock, module = StillClock(), build_workflow_module(check=check, done=end())
    async with run_executor(database_url, module) as run:
        waiters = Waiters(run.store, clock)
        later = to_datetime(run.store.clock.now()) + timedelta(hours=1)
        operations = Operations(run.store, run.registry)
        id = (await operations.create("Orders", when=later)).id
        wait = asyncio.create_task(waiters.wait(id, "done", timeout=60))
        await wait_for(clock.is_sleeping.wait())

        await operations.wake(id, username="ada")
        instance: Instance = await wait_for(wait)
        await waiters.close()

    assert instance.status == Status.FINISHED


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
