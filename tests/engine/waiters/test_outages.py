"""Waits while the store is away: they go on, miss nothing, and end in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.errors import StoreUnavailableError, WaitTimeoutError
from flowlet.operations.service import Operations
from tests.engine.clocks import SteppedClock, StillClock
from tests.engine.executor_harness import wait_for
from tests.engine.manual_executor import open_engine
from tests.engine.waiters.waiters_harness import ORDERS, count_reads, open_deaf_waiters


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
