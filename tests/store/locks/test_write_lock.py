"""SQLite's write lock: short units of work pass long ones, but not for ever, and no turn is lost."""

from __future__ import annotations

import asyncio

import pytest

from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.dialects.write_lock import LONG_ROWS, MAX_PASSES, WriteLock, mark_work
from flowlet.store.instances import ClaimedInstances
from tests.engine.executor_harness import GatedHandler, wait_for
from tests.engine.manual_executor import EngineHarness, open_engine


class LockedWork:
    """Units of work that take the lock one after another, and note their names."""

    def __init__(self, lock: WriteLock) -> None:
        self._lock = lock
        self.names: list[str] = []

    async def run(self, name: str) -> None:
        async with self._lock:
            self.names.append(name)

    async def start(self, *names: str, rows: int = 1) -> list[asyncio.Task[None]]:
        """Start units of work of so many rows, and return when they wait."""
        with mark_work(rows=rows):
            tasks = [asyncio.create_task(self.run(name)) for name in names]
        await asyncio.wait(tasks, timeout=0.001)
        return tasks


async def test_short_work_passes_long_work_that_waits() -> None:
    lock = WriteLock()
    work = LockedWork(lock)

    async with lock:
        tasks = await work.start("long", rows=LONG_ROWS + 1)
        tasks += await work.start("short", "shorter", rows=LONG_ROWS)
    await wait_for(asyncio.gather(*tasks))

    assert work.names == ["short", "shorter", "long"]


async def test_long_work_is_passed_a_few_times_at_most() -> None:
    lock = WriteLock()
    work = LockedWork(lock)

    async with lock:
        tasks = await work.start("long", rows=LONG_ROWS + 1)
        tasks += await work.start(*(f"short-{number}" for number in range(2 * MAX_PASSES)))
    await wait_for(asyncio.gather(*tasks))

    assert work.names.index("long") == MAX_PASSES


@pytest.mark.parametrize("rows", [1, LONG_ROWS + 1])
async def test_work_that_is_cancelled_while_it_waits_leaves_its_turn_to_others(rows: int) -> None:
    lock = WriteLock()
    work = LockedWork(lock)

    async with lock:
        cancelled, other = await work.start("cancelled", "other", rows=rows)
        cancelled.cancel()
    await wait_for(other)

    assert work.names == ["other"]


async def test_work_that_is_cancelled_when_it_has_its_turn_hands_it_on() -> None:
    lock = WriteLock()
    work = LockedWork(lock)

    async with lock:
        cancelled, other = await work.start("cancelled", "other")
    cancelled.cancel()
    await wait_for(other)

    assert work.names == ["other"]


async def test_work_whose_time_is_over_waits_no_longer() -> None:
    lock = WriteLock(lambda: asyncio.get_running_loop().time())

    async with lock:
        with pytest.raises(TimeoutError):
            async with lock:
                pass

    await wait_for(LockedWork(lock).run("next"))


async def start_claim(engine: EngineHarness, request: ClaimRequest) -> asyncio.Task[ClaimedInstances]:
    """Start a claim and then a create, which both wait for the lock, and return the claim when the create has ended."""
    has_lock, may_end = asyncio.Event(), asyncio.Event()

    async def hold_lock(_: DatabaseSession) -> None:
        has_lock.set()
        await may_end.wait()

    holder = asyncio.create_task(engine.store.connections.write(hold_lock))
    await wait_for(has_lock.wait())
    claim = asyncio.create_task(engine.store.instances.claim(request))
    create = asyncio.create_task(engine.create_instance(priority=5))
    await asyncio.wait([claim, create], timeout=0.001)
    may_end.set()
    await wait_for(asyncio.gather(holder, create))
    return claim


@pytest.mark.parametrize(("limit_below", "claimed"), [(0, 0), (LONG_ROWS + 1, 1)])
async def test_a_claim_that_is_limited_for_higher_priorities_lets_these_pass(
    sqlite_url: str, limit_below: int, claimed: int
) -> None:
    async with open_engine(sqlite_url, GatedHandler().build_module()) as engine:
        executor = await engine.add_executor()
        names = engine.registry.names
        request = ClaimRequest(executor.id, ["default"], names, 160, engine.clock.now(), 5, limit_below)

        assert len((await wait_for(await start_claim(engine, request))).instances) == claimed
