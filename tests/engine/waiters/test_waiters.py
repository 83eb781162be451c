"""Waiting for instances: a commit of any process ends the waits for it, and a wait has its bounds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flowlet.clock import VirtualClock, to_datetime
from flowlet.engine.waiters import Waiters
from flowlet.errors import RefusedError, UnknownInstanceError, WaitTimeoutError
from flowlet.instance.instance import Instance, Status
from flowlet.operations.service import Operations
from flowlet.store.opening import open_store
from flowlet.workflow.context import Context
from flowlet.workflow.states import end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.clocks import SteppedClock, StillClock
from tests.engine.executor_harness import run_executor, wait_for
from tests.engine.manual_executor import open_engine
from tests.engine.waiters.waiters_harness import ORDERS, open_deaf_waiters, open_waiters


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


async def test_who_comes_after_the_last_has_gone_is_served_too(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS) as hands, open_waiters(hands, VirtualClock()) as arrivals:
        id = await hands.create_instance()

        for _ in range(3):
            assert (await wait_for(arrivals.wait(id, "check", timeout=1))).id == id


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
