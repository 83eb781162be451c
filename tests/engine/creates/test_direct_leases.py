"""What a process creates is leased at once for its own executor, where that changes nothing but the time it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from flowlet.assembly import lease_directly
from flowlet.engine.batches.queue_claims import QueueClaims
from flowlet.engine.batches.traffic import Traffic
from flowlet.engine.creates.direct_leases import DirectLeases, ReservedSlots
from flowlet.engine.limits.open_lanes import OpenLanes
from flowlet.engine.wakeup import Wakeup
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import PRIORITIES, Instance, Status
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.instances import ClaimedInstances
from flowlet.store.limits.table import LaneKind
from tests.engine.executor_harness import NEVER, ExecutorHarness, GatedHandler, run_executor, wait_for
from tests.engine.manual_executor import EngineHarness, open_engine


@dataclass
class CreateHarness:
    """An executor that waits for work, and the operations of its process."""

    run: ExecutorHarness
    operations: Operations

    async def create(self, **values: Any) -> Instance:
        """Create an instance, and return it as it is right after that."""
        return await self.run.get_instance((await self.operations.create("Orders", **values)).id)

    async def find_lessee(self, instance: Instance) -> str | None:
        """Return the executor that has leased an instance when it was created; None if it waited for a claim."""
        return (await self.run.store.queries.read_history(instance.id))[0].executor_id


@asynccontextmanager
async def open_creates(url: str, module: ModuleType, **settings: Any) -> AsyncIterator[CreateHarness]:
    async with run_executor(url, module, **settings) as run:
        while not run.executor.direct_leases.is_open:
            await run.store.clock.sleep(0.01)
        operations = Operations(run.store, run.registry)
        lease_directly(operations, run.executor.direct_leases)
        yield CreateHarness(run, operations)


async def test_an_instance_is_leased_in_the_transaction_that_creates_it(database_url: str) -> None:
    handler = GatedHandler()
    async with open_creates(database_url, handler.build_module()) as at:
        running = await at.create(vars={"sku": "A-1"}, key="K-1", username="ada")

        assert (running.status, running.token, running.version) == (Status.EXECUTING, 1, 0)
        assert running.executor_id is not None
        assert running.created_us == running.claimed_us == running.started_us
        assert await at.find_lessee(running) == running.executor_id
        await wait_for(handler.started.wait())
        leased = at.run.executor.direct_leases.worker
        assert leased is not None
        assert [(lease.id, lease.token) for lease in leased.running.values()] == [(running.id, 1)]
        handler.may_finish.set()
        await wait_for(leased.wait_until_idle())
        ended = await at.run.get_instance(running.id)
        assert (ended.status, ended.executor_id, ended.version) == (Status.FINISHED, None, 1)


async def create_leased(engine: EngineHarness, **values: Any) -> list[Instance]:
    """Create an instance that names an executor, and return what that executor is to run."""
    leased: list[Instance] = []
    now = engine.clock.now()
    new = engine.registry.get_definition("Orders").build_instance(values.pop("vars", None), now=now, **values)
    await engine.store.instances.create([replace(new, executor_id="executor-a")], now=now, on_leased=leased.extend)
    return leased


async def test_the_instance_that_runs_is_the_one_in_the_store(database_url: str) -> None:
    async with open_engine(database_url, GatedHandler().build_module()) as engine:
        (leased,) = await create_leased(engine, vars={"sku": "A-1"}, key="K-1", priority=3, username="ada")

        assert leased == await engine.get_instance(leased.id)


async def test_while_a_lane_is_paused_an_instance_waits_for_a_claim(database_url: str) -> None:
    async with open_engine(database_url, GatedHandler().build_module()) as engine:
        lanes = Operations(engine.store, engine.registry).lanes
        await lanes.pause(LaneKind.GROUP, "night", reason="the bank moves", username="ada")

        assert await create_leased(engine, external_id="A-1") == []

        waiting = await engine.store.queries.get_by_external_id("A-1")
        assert (waiting.status, waiting.executor_id, waiting.token) == (Status.NEW, None, 0)
        assert (waiting.started_us, waiting.claimed_us) == (None, None)
        assert (await engine.store.queries.read_history(waiting.id))[0].executor_id is None
        await lanes.resume(LaneKind.GROUP, "night", username="ada")
        assert len(await create_leased(engine)) == 1


async def test_what_is_due_later_or_belongs_to_others_waits(sqlite_url: str) -> None:
    async with open_creates(sqlite_url, GatedHandler().build_module()) as at:
        later = await at.create(when=timedelta(days=1))
        elsewhere = await at.create(group="night")

        assert [later.status, elsewhere.status] == [Status.NEW, Status.NEW]


async def test_half_of_the_slots_are_left_to_claims(sqlite_url: str) -> None:
    async with open_creates(sqlite_url, GatedHandler().build_module(), slots=4) as at:
        lessees = [await at.find_lessee(await at.create()) for _ in range(3)]

        assert [lessee is not None for lessee in lessees] == [True, True, False]


async def test_a_known_external_id_does_not_run_again(database_url: str) -> None:
    handler = GatedHandler()
    async with open_creates(database_url, handler.build_module()) as at:
        first = await at.operations.create("Orders", external_id="A-1")
        again = await at.operations.create("Orders", external_id="A-1")

        assert (again.id, again.is_new) == (first.id, False)
        worker = at.run.executor.direct_leases.worker
        assert worker is not None
        assert list(worker.running) == [first.id]


async def test_an_executor_that_stops_leases_nothing(sqlite_url: str) -> None:
    async with open_creates(sqlite_url, GatedHandler().build_module()) as at:
        await at.run.stop_executor()

        assert (await at.create()).status is Status.NEW


async def test_an_executor_that_is_awake_may_have_found_work_and_leases_nothing(sqlite_url: str) -> None:
    module = GatedHandler().build_module()
    async with open_creates(sqlite_url, module) as at:
        asleep, now = at.run.executor.direct_leases, at.run.store.clock.now()
        assert asleep.worker is not None
        awake = DirectLeases(at.run.store.clock, Wakeup(at.run.store.clock), ExecutorSettings())
        awake.open(asleep.worker)
        new = at.run.registry.get_definition("Orders").build_instance(None, now=now)

        with awake.reserve([new], now) as slots:
            assert slots.new_instances == [new]
        with asleep.reserve([new], now) as slots:
            assert [one.executor_id for one in slots.new_instances] == [asleep.worker.executor_id]


@pytest.mark.parametrize(("priority", "is_leased"), [(0, False), (1, True)])
async def test_beside_a_crowd_a_higher_priority_is_leased_and_the_same_one_waits(
    database_url: str, priority: int, is_leased: bool
) -> None:
    handler = GatedHandler()
    async with open_creates(database_url, handler.build_module(), slots=16, batch=4) as at:
        await at.run.create_and_wake()
        await wait_for(handler.started.wait())  # the last claim has returned one of priority 0
        at.run.executor.wake()

        created = await at.create(priority=priority)

        assert (await at.find_lessee(created) is not None) == is_leased


async def test_the_slots_that_a_claim_under_way_may_fill_are_left_to_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = GatedHandler()
    async with open_creates(database_url, handler.build_module(), slots=4) as at:
        claim, is_claiming, may_claim = at.run.store.instances.claim, asyncio.Event(), asyncio.Event()

        async def hold_claim(request: ClaimRequest) -> ClaimedInstances:
            is_claiming.set()
            await may_claim.wait()
            return await claim(request)

        await at.run.create_instance()
        monkeypatch.setattr(at.run.store.instances, "claim", hold_claim)
        at.run.executor.wake()
        await wait_for(is_claiming.wait())

        created = await at.create(priority=9)

        assert await at.find_lessee(created) is None
        may_claim.set()
        await wait_for(handler.started.wait())


async def test_what_is_leased_by_a_create_whose_answer_is_lost_runs_soon(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = GatedHandler()
    async with open_creates(database_url, handler.build_module(), lease=NEVER) as at:
        writes = at.run.store.connections.dialect.writes
        create = writes.create

        async def lose_answer(raw: Any, new_instances: Any, now: int, **options: Any) -> Any:
            await create(raw, new_instances, now, **options)
            raise StoreUnavailableError("the connection was lost")

        with monkeypatch.context() as patch:
            patch.setattr(writes, "create", lose_answer)
            with pytest.raises(StoreUnavailableError):
                await at.operations.create("Orders")

        await wait_for(handler.started.wait())


@pytest.mark.parametrize(("limit", "waiting"), [(1, 5), (2, 0), (3, 0)])
async def test_a_claim_says_of_which_priority_it_may_have_left_something(
    database_url: str, limit: int, waiting: int
) -> None:
    async with open_engine(database_url, GatedHandler().build_module()) as engine:
        executor_id = (await engine.add_executor()).id
        for priority in (5, 0):
            await engine.create_instance(priority=priority)
        queue = QueueClaims(engine.store, Traffic(engine.clock), Wakeup(engine.clock), executor_id)
        lanes = OpenLanes(types=("Orders",), groups=("default",))
        assert queue.waiting_priority == PRIORITIES[-1]

        claimed = await queue.claim(limit, lanes, engine.clock.now(), lambda claimed, *_: len(claimed))

        assert claimed.instance_count == min(limit, 2)
        assert queue.waiting_priority == waiting


@pytest.mark.parametrize("age_seconds", [0, 3600])
async def test_an_answer_that_comes_after_the_lease_runs_nothing(sqlite_url: str, age_seconds: int) -> None:
    async with open_creates(sqlite_url, GatedHandler().build_module()) as at:
        worker, clock = at.run.executor.direct_leases.worker, at.run.store.clock
        assert worker is not None
        held = await at.operations.create("Orders", when=timedelta(days=1))

        slots = ReservedSlots([], worker, now=clock.now(), began=clock.monotonic() - age_seconds)
        slots.start([await at.run.get_instance(held.id)])

        assert list(worker.running) == ([] if age_seconds else [held.id])
