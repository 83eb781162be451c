"""Sends that meet a claim, a commit, another send, a kill, or the caller's own transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import databases
import pytest

from flowlet.engine.committer import toggle_pause
from flowlet.engine.waiters import Waiters
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.operations.service import Operations
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store
from tests.engine.executor_harness import run_executor, wait_for
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine
from tests.engine.messages import payments
from tests.engine.messages.payments import Payment, find_broken_rows

STEPS = 60


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[EngineHarness]:
    async with open_engine(database_url, payments) as engine:
        yield engine
        assert await find_broken_rows(engine.store, now=engine.clock.now()) == []


async def run_due(executor: ManualExecutor, id: int, *, times: int = 1) -> None:
    for _ in range(times):
        transition = await executor.run_due_instance(id)
        if transition.status is Status.EXECUTING:
            await executor.commit_transitions(transition)


MOMENTS: list[str] = ["before the claim", "before the reading", "before the commit", "in a pause"]


async def test_a_send_while_the_wait_begins_wakes_the_instance(
    engine: EngineHarness, subtests: pytest.Subtests
) -> None:
    operations, executor = Operations(engine.store, engine.registry), await engine.add_executor()

    for moment in MOMENTS:
        with subtests.test(moment):
            id = await engine.create_instance("Payments")
            if moment == "before the claim":
                await operations.send("payment", Payment(amount=10), to=id)
            claimed = await executor.claim_instance(id)
            if moment == "before the reading":
                await operations.send("payment", Payment(amount=10), to=id)
            transition = await executor.run_instance(claimed)
            if moment != "before the claim":
                await operations.send("payment", Payment(amount=10), to=id, key="again")
            if moment == "in a pause":
                await operations.pause(id, username="ada")
                transition = toggle_pause(transition)

            assert await executor.commit_transitions(transition) == [CommitResult.COMMITTED]

            if moment == "in a pause":
                assert (await engine.get_instance(id)).status is Status.PAUSED
                await operations.resume(id, username="ada")
            assert (await executor.run_due_instance(id)).state == "paid"


async def test_a_send_between_the_look_and_its_commit_is_found_by_the_next_look(engine: EngineHarness) -> None:
    operations, executor = Operations(engine.store, engine.registry), await engine.add_executor()
    id = await engine.create_instance("Payments")
    await run_due(executor, id)
    await operations.send("go", to=id)
    await operations.move(id, "collect", username="ada")
    looked = await executor.run_instance(await executor.claim_instance(id))
    assert (looked.state, looked.status) == ("collect", Status.WAITING)

    await operations.send("payment", Payment(amount=10), to=id)
    await executor.commit_transitions(looked)

    assert (await executor.run_due_instance(id)).state == "paid"


async def test_a_lost_lease_consumes_nothing(engine: EngineHarness) -> None:
    operations, executor = Operations(engine.store, engine.registry), await engine.add_executor()
    id = await engine.create_instance("Payments")
    await run_due(executor, id)
    await operations.send("payment", Payment(amount=10), to=id)
    read = await executor.run_instance(await executor.claim_instance(id))
    engine.clock.advance(60_000_000)
    limit = engine.clock.now()
    await engine.store.executors.repair_leases(now=limit, expired_before=limit, crash_limit=5)

    assert await executor.commit_transitions(read) == [CommitResult.LOST]

    assert (await engine.get_instance(id)).unread == 1
    other = await engine.add_executor("executor-b")
    assert (await other.run_due_instance(id)).state == "paid"


async def test_a_message_that_this_version_cannot_read_is_left_to_another_one(engine: EngineHarness) -> None:
    operations, executor = Operations(engine.store, engine.registry), await engine.add_executor()
    id = await engine.create_instance("Payments")
    await run_due(executor, id)
    await operations.send("payment", Payment(amount=10), to=id)
    await engine.execute_sql("UPDATE flowlet_message SET body = '{\"cents\": 1000}'")

    await executor.run_due_instance(id)

    gated = await engine.get_instance(id)
    assert (gated.waits_for_version, gated.unread, gated.attempt) == (True, 1, 0)
    assert "cannot read the message 'payment'" in (gated.reason or "")


async def test_of_sends_with_one_key_at_once_one_counts(engine: EngineHarness) -> None:
    operations = Operations(engine.store, engine.registry)
    id = await engine.create_instance("Payments")

    sends = [operations.send("payment", Payment(amount=n), to=id, key="evt_1") for n in range(12)]
    sent = await asyncio.gather(*sends)

    assert sorted(one.is_new for one in sent) == [False] * 11 + [True]
    assert len({one.id for one in sent}) == 1
    assert (await engine.get_instance(id)).unread == 1


async def test_a_message_is_part_of_the_callers_own_transaction(engine: EngineHarness, database_url: str) -> None:
    operations, executor = Operations(engine.store, engine.registry), await engine.add_executor()
    id = await engine.create_instance("Payments")
    await run_due(executor, id)

    async with databases.Database(database_url) as database, database.connection() as connection:
        for statement in ("ROLLBACK", "COMMIT"):
            await connection.execute("BEGIN")
            sent = await operations.send("payment", Payment(amount=10), to=id, key="evt_1", connection=connection)
            assert sent.is_new
            await connection.execute(statement)
            if statement == "ROLLBACK":
                assert (await engine.get_instance(id)).unread == 0
                assert await executor.claim_due() == []

    assert (await executor.run_due_instance(id)).state == "paid"


class Schedule:
    """One instance, and everything that may happen to it between two statements, in an order that is drawn."""

    def __init__(self, engine: EngineHarness, executors: list[ManualExecutor], id: int) -> None:
        self.engine = engine
        self.operations = Operations(engine.store, engine.registry)
        self.executors = executors
        self.id = id
        self.running: tuple[ManualExecutor, Transition] | None = None
        self.sent: list[str] = []

    async def send(self, fault: str) -> None:
        self.sent.append(f"key-{len(self.sent)}")
        await self.operations.send("payment", {"amount": 1, "fault": fault}, to=self.id, key=self.sent[-1])

    async def toggle_pause(self) -> None:
        instance = await self.engine.get_instance(self.id)
        if instance.status is Status.PAUSED or instance.pause_requested:
            await self.operations.resume(self.id, username="ada")
        else:
            await self.operations.pause(self.id, username="ada")

    async def begin(self, executor: ManualExecutor) -> None:
        """Claim the instance if it is due, and run it; what it leads to is committed later."""
        self.engine.clock.advance(61_000_000)
        for claimed in await executor.claim_due():
            transition = await executor.run_instance(claimed)
            if transition.status is Status.EXECUTING:
                transition = replace(transition, status=Status.IN_PROGRESS, next_activation_us=1)
            self.running = (executor, transition)

    async def commit(self) -> None:
        if self.running is not None:
            executor, transition = self.running
            (result,) = await executor.commit_transitions(transition)
            if result is CommitResult.PAUSE_CHANGED:
                await executor.commit_transitions(toggle_pause(transition))
            self.running = None

    async def run_step(self, random: Random) -> None:
        what = random.random()
        if what < 0.45:
            await self.send(random.choice(["", "", "once", "pause"]))
        elif what < 0.55:
            await self.toggle_pause()
        elif self.running is not None:
            await self.commit()
        else:
            await self.begin(random.choice(self.executors))

    async def run_to_rest(self) -> None:
        await self.commit()
        if (await self.engine.get_instance(self.id)).status is Status.PAUSED:
            await self.toggle_pause()
        while (instance := await self.engine.get_instance(self.id)).unread or instance.state != "collect":
            await self.begin(self.executors[0])
            await self.commit()


async def test_whatever_comes_between_no_message_is_lost_or_read_twice(engine: EngineHarness) -> None:
    executors = [await engine.add_executor(f"executor-{n}", lease=timedelta(days=9)) for n in range(2)]
    id = await engine.create_instance("Payments", vars={"target": 100_000})
    schedule, random = Schedule(engine, executors, id), Random(11)

    for _ in range(STEPS):
        await schedule.run_step(random)
        assert await find_broken_rows(engine.store, now=engine.clock.now()) == []
    await schedule.run_to_rest()

    assert (await engine.get_instance(id)).vars["keys"] == schedule.sent


async def test_many_sends_race_with_an_executor(database_url: str) -> None:
    async with run_executor(database_url, payments, slots=16) as run:
        operations, random = Operations(run.store, run.registry), Random(3)
        ids = [(await operations.create("Payments", vars={"target": 4})).id for _ in range(5)]
        sends = [(id, f"key-{n}") for id in ids for n in range(4)]
        random.shuffle(sends)

        async def send_some(part: list[tuple[int, str]]) -> None:
            for id, key in part:
                await operations.send("payment", Payment(amount=1), to=id, key=key)

        await wait_for(asyncio.gather(*(send_some(sends[first::4]) for first in range(4))))
        await wait_for(_wait_for_ends(run.store, ids))

        found = [await run.get_instance(id) for id in ids]
        assert [(one.state, one.unread, sorted(one.vars["keys"])) for one in found] == [
            ("paid", 0, [f"key-{n}" for n in range(4)])
        ] * 5


async def _wait_for_ends(store: Store, ids: list[int]) -> None:
    waiters = Waiters(store, store.clock)
    for id in ids:
        await waiters.wait(id, None, timeout=20)
    await waiters.close()
