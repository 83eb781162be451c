"""How an executor finds work: on a wake-up, when it becomes due during a claim, and after a long outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.engine.retention.pruner import Pruner
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.errors import StoreUnavailableError
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.instances import ClaimedInstances
from flowlet.store.opening import open_store
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_single_state, build_workflow_module
from tests.engine.executor_harness import NEVER, ExecutorHarness, GatedHandler, run_executor, wait_for

FAILURES = 1100
"""More than a power of two that a float can hold."""


@asynccontextmanager
async def open_prepared_executor(
    database_url: str, module: ModuleType, clock: VirtualClock
) -> AsyncIterator[ExecutorHarness]:
    """Give an executor in virtual time that begins when the test lets it, and never looks by itself."""
    registry = Registry()
    registry.add(module)
    settings = ExecutorSettings(slots=4, poll_interval=NEVER, lease=NEVER)
    async with open_store(database_url, clock=clock) as store:
        run = ExecutorHarness(store, registry, Executor(store, registry, settings))
        try:
            yield run
        finally:
            run.executor.stop()
            await wait_for(run.task)


async def test_a_timer_that_becomes_due_between_the_claim_and_the_look_for_the_next_one_is_run_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, clock = GatedHandler(), VirtualClock()
    gate.may_finish.set()
    async with open_prepared_executor(database_url, gate.build_module(), clock) as run:
        claim, is_created = run.store.instances.claim, asyncio.Event()

        async def claim_slowly(request: ClaimRequest) -> ClaimedInstances:
            await is_created.wait()
            claimed = await claim(request)
            if not gate.run_count:
                clock.advance(20 * SECOND_MICROSECONDS)
            return claimed

        monkeypatch.setattr(run.store.instances, "claim", claim_slowly)
        monkeypatch.setattr(type(run.store.connections.dialect.signals), "listen_for_commits", hear_nothing)
        monkeypatch.setattr(run.store.connections, "on_commit", None)
        now = clock.now()
        new = run.registry.get_definition("Orders").build_instance(None, now=now)
        await run.store.instances.create([replace(new, next_activation_us=now + 10 * SECOND_MICROSECONDS)], now=now)
        is_created.set()

        await wait_for(gate.started.wait())


async def hear_nothing(*_: object) -> None:
    """Hear of no commit: the executor is not woken by the create."""
    await asyncio.Event().wait()


async def test_however_often_claiming_has_failed_the_executor_tries_on(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, failures = GatedHandler(), 0
    gate.may_finish.set()
    for part in (Scheduler, Pruner):  # in virtual time they would read the database without a pause
        monkeypatch.setattr(part, "run", rest)
    async with open_prepared_executor(sqlite_url, gate.build_module(), VirtualClock()) as run:
        claim = run.store.instances.claim

        async def raise_unavailable(*values: Any) -> Any:
            nonlocal failures
            failures += 1
            if failures <= FAILURES:
                raise StoreUnavailableError("connection refused")
            return await claim(*values)

        monkeypatch.setattr(run.store.instances, "claim", raise_unavailable)
        await run.create_instance()

        await wait_for(gate.started.wait())

        assert failures > FAILURES
        assert len(await run.read_executors()) == 1


async def rest(_: object) -> None:
    await asyncio.Event().wait()


async def test_an_executor_that_registers_anew_reads_the_stores_clock_first(database_url: str) -> None:
    gate = GatedHandler()
    async with (
        open_store(database_url) as right,
        run_executor(database_url, gate.build_module(), lease=timedelta(seconds=0.6)) as run,
    ):
        (first,) = await run.read_executors()
        lost = "UPDATE flowlet_executor SET status = 'LOST'"
        await right.connections.write(lambda session: session.execute(lost))
        run.store.clock.synchronize(right.clock.now() - 600 * SECOND_MICROSECONDS)

        fresh = await wait_for(wait_for_other_executor(run, first.id))

        assert abs(fresh.started - right.clock.now()) < 300 * SECOND_MICROSECONDS
        assert fresh.lease_until > right.clock.now() - 300 * SECOND_MICROSECONDS


async def wait_for_other_executor(harness: ExecutorHarness, id: str) -> Any:
    """Return the executor that replaces the one with this id."""
    while True:
        if others := [one for one in await harness.read_executors() if one.id != id]:
            return others[0]


async def test_the_end_of_the_last_child_wakes_its_parent_in_another_process(postgres_url: str) -> None:
    may_end, arrived = asyncio.Event(), asyncio.Event()

    @state(start=True, next=["after"])
    async def begin() -> Next:
        return after.spawn([child("Kid")]).when_children_end()

    @state(next=["done"])
    async def after() -> None:
        arrived.set()

    begun = asyncio.Event()

    async def check() -> str:
        begun.set()
        await may_end.wait()
        return "done"

    parents = build_workflow_module(workflow=Workflow("Orders", group="a"), begin=begin, after=after, done=end())
    kids = build_workflow_module(workflow=Workflow("Kid", group="b"), **build_single_state(check))
    async with (
        run_executor(postgres_url, parents, kids, groups=("a",)) as first,
        run_executor(postgres_url, parents, kids, groups=("b",)),
    ):
        await first.create_and_wake()
        await wait_for(begun.wait())
        may_end.set()

        await wait_for(arrived.wait())


async def test_an_instance_that_is_given_up_at_a_drain_is_taken_by_another_process_at_once(postgres_url: str) -> None:
    begun, may_end, arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @state(start=True, next=["second"])
    async def first() -> None:
        begun.set()
        await may_end.wait()

    @state(next=["done"])
    async def second() -> None:
        arrived.set()

    module = build_workflow_module(first=first, second=second, done=end())
    async with run_executor(postgres_url, module) as leaving:
        await leaving.create_and_wake()
        await wait_for(begun.wait())
        async with run_executor(postgres_url, module):
            leaving.executor.stop()
            await wait_for(wait_until_draining(leaving))
            may_end.set()

            await wait_for(arrived.wait())


async def wait_until_draining(harness: ExecutorHarness) -> None:
    """Return when an executor is known to claim no more."""
    while "DRAINING" not in [one.status for one in await harness.read_executors()]:
        pass


@pytest.mark.parametrize("option", ["sslmode=prefer", "ssl=prefer"])
async def test_another_process_is_heard_whatever_the_option_for_encryption_is_called(
    postgres_url: str, option: str
) -> None:
    gate = GatedHandler()
    gate.may_finish.set()
    url = f"{postgres_url}?{option}"
    async with run_executor(url, gate.build_module()) as run, open_store(url) as other:
        await run.create_instance(store=other)

        await wait_for(gate.started.wait())


@pytest.mark.parametrize("option", ["sslmode=require", "ssl=require"])
async def test_a_server_without_the_encryption_that_is_required_is_refused(postgres_url: str, option: str) -> None:
    with pytest.raises(StoreUnavailableError, match="SSL"):
        async with open_store(f"{postgres_url}?{option}"):
            raise AssertionError("unreachable")
