"""An executor runs each instance when it is due, also where it was to wake up for something else before that."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from flowlet.clock import MICROSECONDS_PER_SECOND, VirtualClock
from flowlet.engine.wakeup import Wakeup
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.executor_harness import NEVER, run_executor, wait_for


async def test_a_timer_comes_although_a_look_at_the_gates_comes_first(database_url: str) -> None:
    """The second claim comes too early to look at the gates again, and the executor is to wake up for that first."""
    entered = {milliseconds: asyncio.Event() for milliseconds in (0, 600)}

    @state(start=True, next=["later"])
    async def begin(ctx: Context) -> Next:
        return later.after(timedelta(milliseconds=ctx.vars["milliseconds"]))

    @state(next=["done"])
    async def later(ctx: Context) -> None:
        entered[ctx.vars["milliseconds"]].set()

    module = build_workflow_module(begin=begin, later=later, done=end())
    async with run_executor(database_url, module, lease=NEVER) as run:  # no heartbeat wakes it meanwhile
        for milliseconds, has_come in entered.items():
            await run.create_and_wake(vars={"milliseconds": milliseconds})
            await wait_for(has_come.wait())


async def test_the_wait_for_children_ends_in_time_although_none_of_them_does(database_url: str) -> None:
    was_late = asyncio.Event()

    @state(start=True, next=["spawn"])
    async def begin() -> Next:
        return spawn.after("100ms")

    @state(next=["check"])
    async def spawn() -> Next:
        return check.spawn(child("Orders").with_routing(group="elsewhere")).when_children_end(within="300ms")

    @state(next=["done"])
    async def check(ctx: Context) -> None:
        assert [one.has_ended for one in ctx.children] == [False]
        was_late.set()

    module = build_workflow_module(begin=begin, spawn=spawn, check=check, done=end())
    async with run_executor(database_url, module, lease=NEVER) as run:
        await run.create_and_wake()

        await wait_for(was_late.wait())


@pytest.mark.parametrize("seconds", [(1, 2), (2, 1)], ids=["later", "earlier"])
async def test_a_sleeper_learns_of_dropped_times_when_the_earliest_has_come(
    seconds: tuple[int, int],
) -> None:
    clock = VirtualClock()
    wakeup, began = Wakeup(clock), clock.now()
    for each in seconds:
        wakeup.wake_at(began + each * MICROSECONDS_PER_SECOND)
    wakeup.wake()

    assert not await wakeup.sleep(60), "neither time has come"
    clock.advance(MICROSECONDS_PER_SECOND)
    assert await wakeup.sleep(60)
    wakeup.wake()
    assert not await wakeup.sleep(60), "it was told already"


async def test_a_time_that_the_sleeper_knows_ends_its_sleep_and_is_not_kept() -> None:
    clock = VirtualClock()
    wakeup = Wakeup(clock)

    assert not await wait_for(wakeup.sleep(60, until=clock.now()))
    assert not await wait_for(wakeup.sleep(0))
