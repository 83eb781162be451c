"""The executor: wakes at once, beats while a handler blocks, drains, and starts anew when it was given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from flowlet.clock import StoreClock
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store
from flowlet.store.reports.executors import read_executors
from flowlet.workflow.states import end, state
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import NEVER, TIMEOUT_SECONDS, ExecutorHarness, GatedHandler, run_executor, wait_for


async def test_a_create_in_the_same_process_is_run_at_once(database_url: str) -> None:
    gate = GatedHandler()
    async with run_executor(database_url, gate.build_module()) as run:
        id = await run.create_and_wake()

        await wait_for(gate.started.wait())
        gate.may_finish.set()
        await run.stop_executor()

        assert (await run.get_instance(id)).status is Status.FINISHED


async def test_a_create_by_another_process_is_run_at_once(database_url: str) -> None:
    gate = GatedHandler()
    gate.may_finish.set()
    async with run_executor(database_url, gate.build_module()) as run, open_store(database_url) as other:
        await run.create_instance(store=other)

        await wait_for(gate.started.wait())


async def test_a_timer_is_run_when_it_is_due(database_url: str) -> None:
    ran = asyncio.Event()

    @state(start=True, next=["later"])
    async def begin() -> Any:
        return later.after("50ms")

    @state(next=["done"])
    async def later() -> None:
        ran.set()

    async with run_executor(database_url, build_workflow_module(begin=begin, later=later, done=end())) as run:
        await run.create_and_wake()

        await wait_for(ran.wait())


async def test_stopping_lets_what_runs_finish_and_leaves_the_list(database_url: str) -> None:
    gate = GatedHandler()
    async with run_executor(database_url, gate.build_module()) as run:
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())

        run.executor.stop()
        gate.may_finish.set()
        await wait_for(run.task)

        assert (await run.get_instance(id)).status is Status.FINISHED
        (left,) = await run.read_executors()
        assert left.status == "STOPPED"
        assert left.claimed is not None
        assert left.claimed >= left.started


async def test_what_does_not_finish_within_the_grace_period_is_handed_back(database_url: str) -> None:
    gate = GatedHandler()
    async with run_executor(database_url, gate.build_module(), grace=timedelta(milliseconds=20)) as run:
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())
        token = (await run.get_instance(id)).token

        await run.stop_executor()

        instance = await run.get_instance(id)
        assert (instance.status, instance.executor_id, instance.token) == (Status.IN_PROGRESS, None, token + 1)
        assert instance.next_activation_us is not None
        assert instance.next_activation_us <= run.store.clock.now()
        assert await run.read_action_kinds(id) == [ActionKind.CREATED, ActionKind.RELEASED]


async def test_a_second_stop_does_not_wait_for_the_grace_period(database_url: str) -> None:
    gate = GatedHandler()
    async with run_executor(database_url, gate.build_module(), grace=NEVER) as run:
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())

        run.executor.stop()
        await run.stop_executor()

        assert gate.was_cancelled.is_set()
        assert (await run.get_instance(id)).status is Status.IN_PROGRESS


async def test_an_executor_that_drains_hands_back_an_instance_between_two_states(database_url: str) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @state(start=True, next=["second"])
    async def first() -> None:
        begun.set()
        await may_end.wait()

    @state(next=["done"])
    async def second() -> None: ...

    async with run_executor(database_url, build_workflow_module(first=first, second=second, done=end())) as run:
        id = await run.create_and_wake()
        await wait_for(begun.wait())

        run.executor.stop()
        await wait_for(wait_until_draining(run))
        may_end.set()
        await wait_for(run.task)

        instance = await run.get_instance(id)
        assert (instance.state, instance.status, instance.executor_id) == ("second", Status.IN_PROGRESS, None)


async def wait_until_draining(harness: ExecutorHarness) -> None:
    """Return when the executor is known to claim no more."""
    while [one.status for one in await harness.read_executors()] != ["DRAINING"]:
        pass


async def test_a_stopped_executor_leaves_work_that_others_can_go_on_with(database_url: str) -> None:
    gate = GatedHandler()
    async with run_executor(database_url, gate.build_module(), grace=timedelta(0)) as run:
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())
        await run.stop_executor()

        gate.started.clear()
        gate.may_finish.set()
        async with run_executor(database_url, gate.build_module()) as next_run:
            await wait_for(gate.started.wait())
            await next_run.stop_executor()

            assert (await next_run.get_instance(id)).status is Status.FINISHED


class CountingResource:
    """A resource that counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.open_count = self.closed = 0


async def test_resources_are_opened_once_and_closed_at_the_stop(database_url: str) -> None:
    resource, provided, used = CountingResource(), Dependencies(), []

    @provided.provide
    async def open_resource() -> AsyncIterator[CountingResource]:
        resource.open_count += 1
        yield resource
        resource.closed += 1

    ran = asyncio.Event()

    async def check(given: CountingResource) -> str:
        used.append(given.closed)
        if len(used) == 3:
            ran.set()
        return "done"

    async with run_executor(database_url, build_workflow_module(**build_single_state(check)), provided=provided) as run:
        for _ in range(3):
            await run.create_and_wake()
        await wait_for(ran.wait())
        await run.stop_executor()

    assert (resource.open_count, resource.closed, used) == (1, 1, [0, 0, 0])


async def test_the_lease_is_prolonged_while_a_handler_blocks_the_loop(database_url: str) -> None:
    may_end, is_blocked = threading.Event(), threading.Event()
    leases: list[int] = []

    async def check() -> str:
        is_blocked.set()
        assert may_end.wait(TIMEOUT_SECONDS), "the lease was not prolonged"
        return "done"

    async def find_work_twice() -> None:
        async with open_store(database_url, migrate=False) as store:
            while len(leases) < 2:
                (record,) = await store.executors.list_all()
                if record.lease_until not in leases:
                    leases.append(record.lease_until)

    def watch_heartbeat() -> None:
        is_blocked.wait(TIMEOUT_SECONDS)
        asyncio.run(asyncio.wait_for(find_work_twice(), TIMEOUT_SECONDS))
        may_end.set()

    async with run_executor(
        database_url, build_workflow_module(**build_single_state(check)), lease=timedelta(seconds=0.6)
    ) as run:
        id = await run.create_and_wake()
        await wait_for(asyncio.to_thread(watch_heartbeat))
        await run.stop_executor()

        assert leases == sorted(leases)
        assert (await run.get_instance(id)).status is Status.FINISHED


async def test_an_executor_that_was_given_up_stops_its_activations_and_goes_on_under_a_fresh_id(
    database_url: str,
) -> None:
    gate = GatedHandler()
    async with run_executor(database_url, gate.build_module(), lease=timedelta(seconds=0.6)) as run:
        id = await run.create_and_wake()
        await wait_for(gate.started.wait())
        first = (await run.get_instance(id)).executor_id
        gate.started.clear()

        await mark_executor_lost(run)
        await wait_for(gate.was_cancelled.wait())
        await wait_for(gate.started.wait())
        gate.may_finish.set()
        await run.stop_executor()

        instance = await run.get_instance(id)
        assert instance.status is Status.FINISHED
        assert gate.run_count == 2
        kinds = await run.read_action_kinds(id)
        assert kinds == [ActionKind.CREATED, ActionKind.REPAIRED, ActionKind.TRANSITION]
        statuses = {one.id: one.status for one in await run.read_executors()}
        assert statuses.pop(str(first)) == "LOST"
        assert list(statuses.values()) == ["STOPPED"]


async def mark_executor_lost(harness: ExecutorHarness) -> None:
    """Mark the executor as lost, as another one does whose repair finds its lease run out."""
    sql = "UPDATE flowlet_executor SET status = 'LOST'"
    await harness.store.connections.write(lambda session: session.execute(sql))


async def test_timers_go_by_the_databases_clock_although_the_machines_own_is_wrong(database_url: str) -> None:
    ran = asyncio.Event()
    times: list[int] = []

    async def check() -> str:
        ran.set()
        return "done"

    async with open_store(database_url) as right, open_store(database_url, clock=build_slow_clock()) as store:
        registry = Registry()
        registry.add(build_workflow_module(**build_single_state(check)))
        run = ExecutorHarness(
            store, registry, Executor(store, registry, settings=ExecutorSettings(slots=4, poll_interval=NEVER))
        )
        await wait_for(run.executor.is_ready.wait())
        times += [right.clock.now(), store.clock.now()]
        id = await run.create_instance(store=right)
        run.executor.wake()
        await wait_for(ran.wait())
        await run.stop_executor()

        instance = await run.get_instance(id)
        assert abs(times[0] - times[1]) < 5_000_000
        assert instance.ended_us is not None
        assert abs(instance.ended_us - times[0]) < 30_000_000


def build_slow_clock() -> StoreClock:
    """Return the clock of a machine whose own is a day behind."""
    clock = StoreClock()
    clock.synchronize(clock.now() - 86_400_000_000)
    return clock


async def test_an_executor_that_does_not_know_a_workflow_leaves_it_and_runs_the_others(database_url: str) -> None:
    gate = GatedHandler()
    gate.may_finish.set()
    async with run_executor(database_url, gate.build_module()) as run:
        stranger = await run.create_instance(group="elsewhere")  # until it is unknown, nobody may claim it
        rename = "UPDATE flowlet_workflow SET workflow_type = 'Unknown', executor_group = 'default' WHERE id = :id"
        await run.store.connections.write(lambda session: session.execute(rename, {"id": stranger}))
        known = await run.create_and_wake()

        await wait_for(gate.started.wait())
        await run.stop_executor()

        assert (await run.get_instance(known)).status is Status.FINISHED


async def test_more_instances_than_slots_are_all_run(database_url: str) -> None:
    left = 30
    all_ran = asyncio.Event()

    async def check() -> str:
        nonlocal left
        left -= 1
        if not left:
            all_ran.set()
        return "done"

    async with run_executor(database_url, build_workflow_module(**build_single_state(check)), slots=3) as run:
        for _ in range(30):
            await run.create_instance()
        run.executor.wake()
        await wait_for(all_ran.wait())
        await run.stop_executor()

        assert await run.store.queries.count_by_type_and_status() == {("Orders", "FINISHED"): 30}


async def test_a_beat_notes_when_it_last_claimed(sqlite_url: str) -> None:
    async def count_log_lines(*, since: int) -> int:
        while True:
            (found,) = await read_executors(run.store.connections, now=0)
            if found.claimed is not None and found.claimed >= since:
                return found.claimed

    gate = GatedHandler()
    async with run_executor(sqlite_url, gate.build_module(), lease=timedelta(seconds=0.3)) as run:
        before = run.store.clock.now()
        await run.create_and_wake()
        await wait_for(gate.started.wait())

        claimed = await wait_for(count_log_lines(since=before))

        assert before <= claimed <= run.store.clock.now()
        gate.may_finish.set()
