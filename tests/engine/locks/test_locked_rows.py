"""Rows that another transaction has locked: their own transitions wait, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from flowlet.clock import StoreClock
from flowlet.engine.committer import Committer
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.store.opening import Store, open_store
from tests.databases import find_schema
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.children.family_modules import build_waiting_parent_module
from tests.engine.executor_harness import wait_for
from tests.engine.manual_executor import EngineHarness, open_engine

SERVERS = ["postgres_url", "mariadb_url"]
ORDERS = build_workflow_module(**build_single_state(lambda: "done"))


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@asynccontextmanager
async def lock_rows(url: str, ids: Sequence[int]) -> AsyncIterator[Store]:
    """Hold the locks of instances in another transaction for the length of the block."""
    numbers = ", ".join(map(str, ids))
    async with open_store(url, schema=find_schema(url)) as other, other.connections.transaction() as session:
        await session.execute(f"UPDATE flowlet_workflow SET version = version WHERE id IN ({numbers})")
        yield other


async def prepare_transitions(hands: EngineHarness, count: int) -> list[Transition]:
    hand = await hands.add_executor()
    for _ in range(count):
        await hands.create_instance()
    return [await hand.run_instance(instance) for instance in await hand.claim_due()]


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
async def test_locked_rows_do_not_hold_up_the_others_of_their_batch(server_url: str) -> None:
    async with open_engine(server_url, ORDERS) as hands:
        transitions = await prepare_transitions(hands, 10)
        committer = Committer(hands.store, "executor-a", max_batch_size=100)
        locked = {transitions[3].instance.id, transitions[7].instance.id}
        async with lock_rows(server_url, sorted(locked)):
            tasks = {one.instance.id: asyncio.create_task(committer.commit(one)) for one in transitions}
            await wait_for(asyncio.gather(*(task for id, task in tasks.items() if id not in locked)))
            waiting = {id for id, task in tasks.items() if not task.done()}
            batches = committer.totals.batches

        await wait_for(asyncio.gather(*tasks.values()))
        statuses = {(await hands.get_instance(id)).status for id in tasks}
        await committer.close()

    assert waiting == locked
    assert batches <= 12
    assert statuses == {Status.FINISHED}


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
async def test_a_locked_parent_holds_up_only_its_own_children(server_url: str) -> None:
    parent = build_waiting_parent_module("Orders")
    async with open_engine(server_url, parent, ORDERS) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance("Parent")
        await hand.run_due_instance(id)
        for _ in range(5):
            await hands.create_instance()
        transitions = [await hand.run_instance(instance) for instance in await hand.claim_due()]
        committer = Committer(hands.store, hand.id, max_batch_size=100)
        async with lock_rows(server_url, [id]):
            tasks = {one.instance.id: asyncio.create_task(committer.commit(one)) for one in transitions}
            (held,) = [one.instance.id for one in transitions if one.instance.parent_id == id]
            await wait_for(asyncio.gather(*(task for key, task in tasks.items() if key != held)))
            was_waiting = not tasks[held].done()

        await wait_for(tasks[held])
        await committer.close()
        assert was_waiting
        assert (await hands.get_instance(id)).open_children == 0


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
async def test_a_row_that_is_locked_for_long_is_no_failed_attempt(server_url: str) -> None:
    class SleepCounter(StoreClock):
        count = 0
        has_slept_often = asyncio.Event()

        async def sleep(self, seconds: float) -> None:
            self.count += 1
            if self.count == 20:
                self.has_slept_often.set()
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.001)

    clock = SleepCounter()
    async with (
        open_store(server_url, schema=find_schema(server_url), clock=clock) as store,
        open_engine(server_url, ORDERS) as hands,
    ):
        (transition,) = await prepare_transitions(hands, 1)
        committer = Committer(store, "executor-a", max_batch_size=100)
        async with lock_rows(server_url, [transition.instance.id]):
            task = asyncio.create_task(committer.commit(transition))
            await wait_for(clock.has_slept_often.wait())

        assert await wait_for(task) is transition
        await committer.close()


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
async def test_which_rows_are_locked_is_read_without_waiting(server_url: str) -> None:
    async with open_engine(server_url, ORDERS) as hands:
        ids = [await hands.create_instance() for _ in range(3)]

        async with lock_rows(server_url, ids[1:2]):
            locked = await hands.store.instances.find_locked([*ids, 99])

        assert locked == {ids[1]}
        assert await hands.store.instances.find_locked(ids) == set()
