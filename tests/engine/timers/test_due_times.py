"""An executor runs each instance when it is due, also where it was to wake up for something else before that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import ModuleType

import pytest

from flowlet.clock import MICROSECONDS_PER_SECOND, StoreClock, VirtualClock, to_datetime
from flowlet.engine.wakeup import Wakeup
from flowlet.instance.instance import Instance
from flowlet.store.commit_signal import CommitSignal
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.executor_harness import NEVER, run_executor, wait_for
from tests.engine.manual_executor import open_engine


async def wait_until_listening(signal: CommitSignal) -> None:
    """Return when commits of other processes are heard of."""
    has_heard = asyncio.Event()
    unsubscribe = signal.subscribe(lambda _: has_heard.set())
    if not signal.is_listening:
        await wait_for(has_heard.wait())
    unsubscribe()


def build_timers(*milliseconds: int) -> tuple[ModuleType, dict[int, asyncio.Event]]:
    """Return a workflow with a timer as long as its variables say, and what is set when one of a length has come."""
    come = {each: asyncio.Event() for each in milliseconds}

    @state(start=True, next=["later"])
    async def begin(ctx: Context) -> Next:
        return later.after(timedelta(milliseconds=ctx.vars["milliseconds"]))

    @state(next=["done"])
    async def later(ctx: Context) -> None:
        come[ctx.vars["milliseconds"]].set()

    return build_workflow_module(begin=begin, later=later, done=end()), come


async def test_a_timer_comes_although_a_look_at_the_gates_comes_first(database_url: str) -> None:
    """The second claim comes too early to look at the gates again, and the executor is to wake up for that first."""
    module, come = build_timers(0, 600)
    async with run_executor(database_url, module, lease=NEVER) as run:  # no heartbeat wakes it meanwhile
        for milliseconds, has_come in come.items():
            await run.create_and_wake(vars={"milliseconds": milliseconds})
            await wait_for(has_come.wait())


async def test_a_timer_of_a_process_that_is_busy_when_it_comes_is_run_by_another(database_url: str) -> None:
    module, come = build_timers(1500)
    clock = VirtualClock(to_datetime(StoreClock().now()))
    async with open_engine(database_url, module, clock=clock) as engine:
        busy, leased = await engine.add_executor(), list[Instance]()
        new = engine.registry.get_definition("Orders").build_instance({"milliseconds": 1500}, now=clock.now())
        async with run_executor(database_url, module, lease=NEVER) as run:
            await wait_until_listening(run.store.commit_signal)
            await engine.store.instances.create(
                [replace(new, executor_id=busy.id)], now=clock.now(), on_leased=leased.extend
            )
            await busy.commit_transitions(await busy.run_instance(leased[0]))

            await wait_for(come[1500].wait())


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
async def test_a_sleep_ends_when_the_earliest_of_its_times_has_come(seconds: tuple[int, int]) -> None:
    clock = VirtualClock()
    wakeup, began = Wakeup(clock), clock.now()
    for each in seconds:
        wakeup.wake_at(began + each * MICROSECONDS_PER_SECOND)
    wakeup.wake()
    await wait_for(wakeup.sleep(60))  # neither time has come, and none is forgotten

    clock.advance(MICROSECONDS_PER_SECOND)
    await wait_for(wakeup.sleep(60))


async def test_a_time_that_the_sleeper_knows_ends_its_sleep_and_is_not_kept() -> None:
    clock = VirtualClock()
    wakeup = Wakeup(clock)

    await wait_for(wakeup.sleep(60, until=clock.now()))
    sleeper = asyncio.create_task(wakeup.sleep(60))
    while not wakeup.is_asleep:
        await clock.sleep(0)
    sleeper.cancel()


async def test_an_earlier_time_does_not_wake_a_sleeper_before_it_has_come() -> None:
    clock = VirtualClock()
    wakeup = Wakeup(clock)
    sleeper = asyncio.create_task(wakeup.sleep(60))
    while not wakeup.is_asleep:
        await clock.sleep(0)

    wakeup.wake_at(clock.now() + 30 * MICROSECONDS_PER_SECOND)
    await clock.sleep(0)
    assert wakeup.is_asleep
    wakeup.wake_at(clock.now())
    await wait_for(sleeper)
