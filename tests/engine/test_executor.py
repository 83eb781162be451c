"""The executor: wakes at once, beats while a handler blocks, drains, and starts anew when it was given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from flowlet.clock import StoreClock
from flowlet.engine.executor import Executor
from flowlet.instances import ActionKind, Status
from flowlet.provided import Provided
from flowlet.registry import Registry
from flowlet.settings import ExecutorSettings
from flowlet.states import end, state
from flowlet.store.opening import open_store
from flowlet.store.reports.executors import executors
from tests.engine.making import one_state, workflow_module
from tests.engine.running import NEVER, SECONDS, Gate, Running, running, seen


async def test_a_create_in_the_same_process_is_run_at_once(database_url: str) -> None:
    gate = Gate()
    async with running(database_url, gate.module()) as run:
        id = await run.start()

        await seen(gate.begun.wait())
        gate.may_end.set()
        await run.stop()

        assert (await run.get(id)).status is Status.FINISHED


async def test_a_create_by_another_process_is_run_at_once(database_url: str) -> None:
    gate = Gate()
    gate.may_end.set()
    async with running(database_url, gate.module()) as run, open_store(database_url) as other:
        await run.create(store=other)

        await seen(gate.begun.wait())


async def test_a_timer_is_run_when_it_is_due(database_url: str) -> None:
    ran = asyncio.Event()

    @state(start=True, next=["later"])
    async def begin() -> Any:
        return later.after("50ms")

    @state(next=["done"])
    async def later() -> None:
        ran.set()

    async with running(database_url, workflow_module(begin=begin, later=later, done=end())) as run:
        await run.start()

        await seen(ran.wait())


async def test_stopping_lets_what_runs_finish_and_leaves_the_list(database_url: str) -> None:
    gate = Gate()
    async with running(database_url, gate.module()) as run:
        id = await run.start()
        await seen(gate.begun.wait())

        run.executor.stop()
        gate.may_end.set()
        await seen(run.task)

        assert (await run.get(id)).status is Status.FINISHED
        assert [one.status for one in await run.executors()] == ["STOPPED"]


async def test_what_does_not_finish_within_the_grace_period_is_handed_back(database_url: str) -> None:
    gate = Gate()
    async with running(database_url, gate.module(), grace=timedelta(milliseconds=20)) as run:
        id = await run.start()
        await seen(gate.begun.wait())
        token = (await run.get(id)).token

        await run.stop()

        instance = await run.get(id)
        assert (instance.status, instance.executor_id, instance.token) == (Status.IN_PROGRESS, None, token + 1)
        assert instance.next_activation is not None
        assert instance.next_activation <= run.store.clock.now()
        assert await run.kinds(id) == [ActionKind.CREATED, ActionKind.RELEASED]


async def test_a_second_stop_does_not_wait_for_the_grace_period(database_url: str) -> None:
    gate = Gate()
    async with running(database_url, gate.module(), grace=NEVER) as run:
        id = await run.start()
        await seen(gate.begun.wait())

        run.executor.stop()
        await run.stop()

        assert gate.was_cancelled.is_set()
        assert (await run.get(id)).status is Status.IN_PROGRESS


async def test_an_executor_that_drains_hands_back_an_instance_between_two_states(database_url: str) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @state(start=True, next=["second"])
    async def first() -> None:
        begun.set()
        await may_end.wait()

    @state(next=["done"])
    async def second() -> None: ...

    async with running(database_url, workflow_module(first=first, second=second, done=end())) as run:
        id = await run.start()
        await seen(begun.wait())

        run.executor.stop()
        await seen(drains(run))
        may_end.set()
        await seen(run.task)

        instance = await run.get(id)
        assert (instance.state, instance.status, instance.executor_id) == ("second", Status.IN_PROGRESS, None)


async def drains(run: Running) -> None:
    """Return when the executor is known to claim no more."""
    while [one.status for one in await run.executors()] != ["DRAINING"]:
        pass


async def test_a_stopped_executor_leaves_work_that_others_can_go_on_with(database_url: str) -> None:
    gate = Gate()
    async with running(database_url, gate.module(), grace=timedelta(0)) as run:
        id = await run.start()
        await seen(gate.begun.wait())
        await run.stop()

        gate.begun.clear()
        gate.may_end.set()
        async with running(database_url, gate.module()) as next_run:
            await seen(gate.begun.wait())
            await next_run.stop()

            assert (await next_run.get(id)).status is Status.FINISHED


class Opened:
    """A resource that counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.opened = self.closed = 0


async def test_resources_are_opened_once_and_closed_at_the_stop(database_url: str) -> None:
    resource, provided, used = Opened(), Provided(), []

    @provided.provide
    async def factory() -> AsyncIterator[Opened]:
        resource.opened += 1
        yield resource
        resource.closed += 1

    ran = asyncio.Event()

    async def check(given: Opened) -> str:
        used.append(given.closed)
        if len(used) == 3:
            ran.set()
        return "done"

    async with running(database_url, workflow_module(**one_state(check)), provided=provided) as run:
        for _ in range(3):
            await run.start()
        await seen(ran.wait())
        await run.stop()

    assert (resource.opened, resource.closed, used) == (1, 1, [0, 0, 0])


async def test_the_lease_is_prolonged_while_a_handler_blocks_the_loop(database_url: str) -> None:
    may_end, is_blocked = threading.Event(), threading.Event()
    leases: list[int] = []

    async def check() -> str:
        is_blocked.set()
        assert may_end.wait(SECONDS), "the lease was not prolonged"
        return "done"

    async def look_twice() -> None:
        async with open_store(database_url, migrate=False) as store:
            while len(leases) < 2:
                (record,) = await store.executors.all()
                if record.lease_until not in leases:
                    leases.append(record.lease_until)

    def watch() -> None:
        is_blocked.wait(SECONDS)
        asyncio.run(asyncio.wait_for(look_twice(), SECONDS))
        may_end.set()

    async with running(database_url, workflow_module(**one_state(check)), lease=timedelta(seconds=0.6)) as run:
        id = await run.start()
        await seen(asyncio.to_thread(watch))
        await run.stop()

        assert leases == sorted(leases)
        assert (await run.get(id)).status is Status.FINISHED


async def test_an_executor_that_was_given_up_stops_its_activations_and_goes_on_under_a_fresh_id(
    database_url: str,
) -> None:
    gate = Gate()
    async with running(database_url, gate.module(), lease=timedelta(seconds=0.6)) as run:
        id = await run.start()
        await seen(gate.begun.wait())
        first = (await run.get(id)).executor_id
        gate.begun.clear()

        await give_up(run)
        await seen(gate.was_cancelled.wait())
        await seen(gate.begun.wait())
        gate.may_end.set()
        await run.stop()

        instance = await run.get(id)
        assert instance.status is Status.FINISHED
        assert gate.runs == 2
        kinds = await run.kinds(id)
        assert kinds == [ActionKind.CREATED, ActionKind.REPAIRED, ActionKind.TRANSITION]
        statuses = {one.id: one.status for one in await run.executors()}
        assert statuses.pop(str(first)) == "LOST"
        assert list(statuses.values()) == ["STOPPED"]


async def give_up(run: Running) -> None:
    """Mark the executor as lost, as another one does whose repair finds its lease run out."""
    sql = "UPDATE executor SET status = 'LOST'"
    await run.store.connections.write(lambda session: session.execute(sql))


async def test_timers_go_by_the_databases_clock_although_the_machines_own_is_wrong(database_url: str) -> None:
    ran = asyncio.Event()
    times: list[int] = []

    async def check() -> str:
        ran.set()
        return "done"

    async with open_store(database_url) as right, open_store(database_url, clock=wrong_clock()) as store:
        registry = Registry()
        registry.add(workflow_module(**one_state(check)))
        run = Running(store, registry, Executor(store, registry, settings=ExecutorSettings(slots=4, poll=NEVER)))
        await seen(run.executor.is_ready.wait())
        times += [right.clock.now(), store.clock.now()]
        id = await run.create(store=right)
        run.executor.wake()
        await seen(ran.wait())
        await run.stop()

        instance = await run.get(id)
        assert abs(times[0] - times[1]) < 5_000_000
        assert instance.ended is not None
        assert abs(instance.ended - times[0]) < 30_000_000


def wrong_clock() -> StoreClock:
    """Return the clock of a machine whose own is a day behind."""
    clock = StoreClock()
    clock.set(clock.now() - 86_400_000_000)
    return clock


async def test_an_executor_that_does_not_know_a_workflow_leaves_it_and_runs_the_others(database_url: str) -> None:
    gate = Gate()
    gate.may_end.set()
    async with running(database_url, gate.module()) as run:
        stranger = await run.create(group="elsewhere")  # until it is unknown, nobody may claim it
        rename = "UPDATE workflow SET workflow_type = 'Unknown', executor_group = 'default' WHERE id = :id"
        await run.store.connections.write(lambda session: session.execute(rename, {"id": stranger}))
        known = await run.start()

        await seen(gate.begun.wait())
        await run.stop()

        assert (await run.get(known)).status is Status.FINISHED


async def test_more_instances_than_slots_are_all_run(database_url: str) -> None:
    left = 30
    all_ran = asyncio.Event()

    async def check() -> str:
        nonlocal left
        left -= 1
        if not left:
            all_ran.set()
        return "done"

    async with running(database_url, workflow_module(**one_state(check)), slots=3) as run:
        for _ in range(30):
            await run.create()
        run.executor.wake()
        await seen(all_ran.wait())
        await run.stop()

        assert await run.store.reads.counts() == {("Orders", "FINISHED"): 30}


async def test_a_beat_notes_when_it_last_claimed(sqlite_url: str) -> None:
    async def noted(*, since: int) -> int:
        while True:
            (found,) = await executors(run.store.connections, now=0)
            if found.claimed is not None and found.claimed >= since:
                return found.claimed

    gate = Gate()
    async with running(sqlite_url, gate.module(), lease=timedelta(seconds=0.3)) as run:
        before = run.store.clock.now()
        await run.start()
        await seen(gate.begun.wait())

        claimed = await seen(noted(since=before))

        assert before <= claimed <= run.store.clock.now()
        gate.may_end.set()
