"""Instances under which executors have died run alone, so that the next death is counted for the right one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

from flowlet.engine.crashes.quarantine import Quarantine, compute_alone_seconds
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import ExecutorHarness, run_executor, wait_for
from tests.engine.manual_executor import open_engine


class CrowdedHandler:
    """A handler that records how many of it run at once, and the crashes in its row while it runs."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.crashes: list[int] = []
        self.may_finish = asyncio.Event()
        self.harness: ExecutorHarness | None = None

    def build_module(self) -> ModuleType:
        async def check(ctx: Context) -> str:
            self.running += 1
            self.most = max(self.most, self.running)
            while self.harness is None:
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.001)
            self.crashes.append((await self.harness.get_instance(ctx.workflow.id)).crashes)
            await self.may_finish.wait()
            self.running -= 1
            return "done"

        return build_workflow_module(**build_single_state(check))


@asynccontextmanager
async def run_crowd(database_url: str, *, crashes: int) -> AsyncIterator[tuple[CrowdedHandler, ExecutorHarness]]:
    """Run four instances that have some crashes behind them."""
    crowd = CrowdedHandler()
    module = crowd.build_module()
    async with open_engine(database_url, module) as hands:
        ids = [await hands.create_instance() for _ in range(4)]
        await hands.execute_sql(
            "UPDATE flowlet_workflow SET crashes = :crashes, next_activation = 1", {"crashes": crashes}
        )
    async with run_executor(database_url, module, slots=8) as run:
        crowd.harness = run
        yield crowd, run
        while any([(await run.get_instance(id)).status is not Status.FINISHED for id in ids]):
            await asyncio.wait([asyncio.ensure_future(run.get_instance(ids[0]))])
        assert {(await run.get_instance(id)).crashes for id in ids} == {0}


async def test_suspects_run_one_after_another_and_count_their_crash_first(database_url: str) -> None:
    async with run_crowd(database_url, crashes=2) as (crowd, _):
        crowd.may_finish.set()

    assert crowd.most == 1
    assert crowd.crashes == [3] * 4


async def test_instances_with_one_crash_run_beside_each_other(database_url: str) -> None:
    async with run_crowd(database_url, crashes=1) as (crowd, run):
        while crowd.running < 4:
            await run.read_executors()
        crowd.may_finish.set()

    assert crowd.crashes == [1] * 4


async def test_a_suspect_that_runs_for_long_does_not_keep_the_others_waiting(sqlite_url: str) -> None:
    async with run_crowd(sqlite_url, crashes=2) as (crowd, run):
        while crowd.running < 4:
            await run.read_executors()
        crowd.may_finish.set()

    assert crowd.crashes == [3] * 4


async def test_a_suspect_waits_for_what_runs_and_not_for_ever() -> None:
    patient, impatient = (Quarantine(patience_seconds=seconds, on_free=lambda: None) for seconds in (60, 0.001))
    for quarantine in (patient, impatient):
        quarantine.add_other("a long activation")

    async with impatient.take_turn(2) as is_alone:
        assert not is_alone
        assert impatient.is_active
    turn = asyncio.create_task(take_turn(patient))
    await asyncio.wait([turn], timeout=0.001)
    was_waiting = not turn.done()
    patient.remove_other("a long activation")

    assert was_waiting
    assert await wait_for(turn)
    assert not patient.is_active
    assert not impatient.is_active


async def test_a_suspect_that_is_cancelled_while_it_waits_leaves() -> None:
    quarantine = Quarantine(patience_seconds=60, on_free=lambda: None)
    async with quarantine.take_turn(5):
        waiting = asyncio.create_task(take_turn(quarantine))
        await asyncio.wait([waiting], timeout=0.001)
        waiting.cancel()
        await asyncio.wait([waiting])

    assert not quarantine.is_active


async def take_turn(quarantine: Quarantine) -> bool:
    async with quarantine.take_turn(2) as is_alone:
        return is_alone


def test_each_crash_makes_the_time_alone_longer() -> None:
    assert [compute_alone_seconds(crashes) for crashes in (2, 3, 4, 5, 1_000)] == [0.25, 2.0, 16.0, 60.0, 60.0]
