"""What an executor's own commit makes due runs at once, whatever else happens at that moment: no poll ever comes here.

Some of what is tested begins after a timer of 700 ms, since an executor looks at the gates again after 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import ModuleType

import pytest

from flowlet.engine.heartbeat import LeaseTimer
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import NEVER, run_executor, wait_for
from tests.engine.timers.test_due_times import build_timers


def build_parent(name: str, has_heard: asyncio.Event) -> ModuleType:
    """Return a workflow that waits for a child, and what it sets then."""

    @state(start=True, next=["wait"])
    async def begin() -> Next:
        return wait.spawn(child(name)).when_children_end()

    @state(next=["done"])
    async def wait() -> None:
        has_heard.set()

    return build_workflow_module(begin=begin, wait=wait, done=end())


async def run_forever() -> str:
    await asyncio.Event().wait()
    return "done"


async def test_a_child_that_wakes_its_parent_may_run_on(database_url: str) -> None:
    has_heard = asyncio.Event()

    @state(start=True, next=["wake"])
    async def begin() -> Next:
        return wake.after("700ms")

    @state(next=["work"])
    async def wake() -> Next:
        return work.wake_parent()

    work = state(next=["done"])(run_forever)
    waker = build_workflow_module(workflow=Workflow("Waker"), begin=begin, wake=wake, work=work, done=end())
    async with run_executor(database_url, build_parent("Waker", has_heard), waker, lease=NEVER) as run:
        await run.create_and_wake()

        await wait_for(has_heard.wait())


async def test_the_children_of_an_instance_that_runs_on_begin_at_once(database_url: str) -> None:
    has_begun = asyncio.Event()

    async def check() -> str:
        has_begun.set()
        return "done"

    @state(start=True, next=["spawn"])
    async def begin() -> Next:
        return spawn.after("700ms")

    @state(next=["work"])
    async def spawn() -> Next:
        return work.spawn(child("Kid"))

    work = state(next=["done"])(run_forever)
    kid = build_workflow_module(workflow=Workflow("Kid"), **build_single_state(check))
    parent = build_workflow_module(begin=begin, spawn=spawn, work=work, done=end())
    async with run_executor(database_url, parent, kid, lease=NEVER) as run:
        await run.create_and_wake()

        await wait_for(has_begun.wait())


async def test_a_clock_that_is_set_back_after_a_commit_delays_what_it_made_due_by_no_more_than_that(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_heard = asyncio.Event()

    @state(start=True, next=["last"])
    async def first() -> Next:
        return last.after("700ms")

    @state(next=["done"])
    async def last() -> None: ...

    kid = build_workflow_module(workflow=Workflow("Kid"), first=first, last=last, done=end())
    async with run_executor(database_url, build_parent("Kid", has_heard), kid, lease=NEVER) as run:
        commit, clock = run.store.instances.commit, run.store.clock

        async def commit_and_set_back(
            executor_id: str, transitions: Sequence[Transition], *, now: int
        ) -> dict[int, CommitResult]:
            found = await commit(executor_id, transitions, now=now)
            if any(one.status == "FINISHED" and one.instance.parent_id for one in transitions):
                clock.synchronize(now - 300_000)
            return found

        monkeypatch.setattr(run.store.instances, "commit", commit_and_set_back)
        await run.create_and_wake()

        await wait_for(has_heard.wait())


async def test_a_lease_that_is_renewed_before_anyone_has_seen_that_it_ran_out_delays_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat's answer comes so late that claims find no lease, and the watch of the lease never does."""
    module, come = build_timers(0)
    async with run_executor(sqlite_url, module, lease=NEVER) as run:
        with monkeypatch.context() as patch:
            patch.setattr(LeaseTimer, "remaining_seconds", 0.0)
            await run.create_and_wake(vars={"milliseconds": 0})
            while run.executor._wakeup.is_woken or not run.executor._wakeup.is_asleep:
                await run.read_executors()
        assert not come[0].is_set()

        await wait_for(come[0].wait())


async def test_memory_that_a_running_instance_gives_back_lets_another_one_begin(sqlite_url: str) -> None:
    may_shrink, large_runs, small_runs = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @state(start=True, next=["rest", "done"])
    async def begin(ctx: Context) -> str:
        if not ctx.vars.get("text"):
            small_runs.set()
            return "done"
        large_runs.set()
        await may_shrink.wait()
        ctx.vars["text"] = ""
        return "rest"

    rest = state(next=["done"])(run_forever)
    module = build_workflow_module(begin=begin, rest=rest, done=end())
    async with run_executor(sqlite_url, module, lease=NEVER, memory=20_000_000) as run:
        await run.create_and_wake(vars={"text": "x" * 800_000})
        await wait_for(large_runs.wait())
        id = await run.create_and_wake()
        assert run.executor.free_slots == 0
        for _ in range(10):
            await run.get_instance(id)  # meanwhile the executor begins to wait
        may_shrink.set()

        await wait_for(small_runs.wait())
