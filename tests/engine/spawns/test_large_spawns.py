"""A spawn of more than 200 children: counted by its commit, and made part by part."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from flowlet.engine.committer import RejectedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.doctor import CHILDREN, STUCK, examine_store
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.limits import Limit
from flowlet.workflow.outcome import ChildRequest, child
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.children.family_modules import CHILD_MODULE, build_parent_module
from tests.engine.manual_executor import open_engine
from tests.engine.spawns.spawn_modules import LARGE, PART, build_fan_module, open_spawns


class Box(BaseModel):
    number: int


async def test_the_commit_counts_the_children_and_makes_none(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        parent = await spawned.hands.get_instance(spawned.id)

        assert await spawned.read_counts() == (LARGE, LARGE, 0, LARGE)
        assert (parent.state, parent.wake_at_open_children, parent.next_activation) == ("wait", 0, None)
        assert await examine_store(spawned.hands.store) == []


async def test_the_parts_are_made_in_order_each_child_once(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        sizes = [await spawned.make_part() for _ in range(4)]

        assert sizes == [PART, PART, LARGE - 2 * PART, 0]
        assert await spawned.read_counts() == (LARGE, LARGE, LARGE, 0)
        assert await spawned.read_numbers() == list(range(LARGE))
        children = await spawned.hands.store.queries.list_children(spawned.id)
        assert [one.external_id for one in children] == [f"fan/0.{place}" for place in range(1, LARGE + 1)]
        assert {(one.status, one.root_id, one.next_activation_us) for one in children} == {
            (Status.NEW, spawned.id, spawned.hands.clock.now())
        }
        (line,) = await spawned.hands.read_history(children[-1].id)
        assert (line.kind, line.text) == (ActionKind.CREATED, f"child of {spawned.id}")
        assert await examine_store(spawned.hands.store) == []


async def test_several_executors_make_each_child_once(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        while await spawned.count_unmade():
            await asyncio.gather(*(spawned.make_part() for _ in range(3)))

        assert await spawned.read_counts() == (LARGE, LARGE, LARGE, 0)
        assert await spawned.read_numbers() == list(range(LARGE))


async def test_a_large_spawn_runs_to_its_end(database_url: str) -> None:
    async with Harness([build_fan_module(3 * LARGE), CHILD_MODULE], database_url=database_url) as flow:
        id = await flow.start("Fan")

        assert (await flow.get(id)).status is Status.FINISHED
        assert len(await flow.children(id)) == 3 * LARGE
        assert {one.status for one in await flow.children(id)} == {Status.FINISHED}
        assert await examine_store(flow.store) == []


async def test_children_end_while_others_are_still_to_be_made(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        executor = await spawned.hands.add_executor("executor-b")
        await spawned.make_part()

        first = await executor.claim_due()
        await executor.commit_transitions(*[await executor.run_instance(one) for one in first])

        assert len(first) == PART
        assert await spawned.read_counts() == (LARGE, LARGE - PART, PART, LARGE - PART)
        assert (await spawned.hands.get_instance(spawned.id)).waits_for_children
        assert await examine_store(spawned.hands.store) == []


async def test_200_children_are_created_by_the_commit_itself(database_url: str) -> None:
    async with open_spawns(database_url, build_fan_module(200)) as spawned:
        assert await spawned.read_counts() == (200, 200, 200, 0)


async def test_an_external_id_that_exists_refuses_the_whole_spawn(database_url: str) -> None:
    async with open_engine(database_url, build_fan_module(prefix="box-"), CHILD_MODULE) as hands:
        executor = await hands.add_executor()
        id = await hands.create_instance("Fan")
        transition = await executor.run_instance(await executor.claim_instance(id))
        await hands.create_instance("Child", external_id=f"box-{LARGE - 1}")
        before = await hands.read_tables()

        async with executor.open_committer() as committer:
            with pytest.raises(RejectedError, match="external"):
                await committer.commit(transition)

        assert await hands.read_tables() == before
        assert await hands.fetch_rows("SELECT * FROM flowlet_spawn") == []


async def test_an_external_id_that_is_taken_meanwhile_is_reported_and_not_waited_for(database_url: str) -> None:
    async with open_spawns(database_url, build_fan_module(prefix="box-")) as spawned:
        await spawned.hands.create_instance("Child", external_id="box-7")

        while await spawned.make_part():
            pass

        assert await spawned.read_counts() == (LARGE - 1, LARGE - 1, LARGE - 1, 0)
        (line,) = await spawned.hands.read_history(spawned.id, ActionKind.LOG)
        assert line.text == "1 children were not created, because their external ids were taken meanwhile: 'box-7'."
        assert await examine_store(spawned.hands.store) == []


async def test_a_parent_all_of_whose_last_children_cannot_be_created_goes_on(database_url: str) -> None:
    async with open_spawns(database_url, build_fan_module(201, prefix="box-")) as spawned:
        executor = await spawned.hands.add_executor("executor-b")
        await spawned.make_part()
        await spawned.make_part()
        claimed = await executor.claim_due(300)
        await executor.commit_transitions(*[await executor.run_instance(one) for one in claimed])
        await spawned.hands.create_instance("Child", external_id="box-200", group="elsewhere")

        await spawned.make_part()

        assert [one.id for one in await executor.claim_due()] == [spawned.id]


async def test_children_that_wait_for_a_person_or_a_limit_are_made_complete(database_url: str) -> None:
    @manual(start=True, next={"done": "Done"}, deadline="3 days", on_deadline="done")
    async def ask() -> None: ...

    asking = build_workflow_module(workflow=Workflow("Asking", summary="number {number}"), ask=ask, done=end())

    async def finish() -> str:
        return "done"

    limited = build_workflow_module(
        workflow=Workflow("Limited", vars=Box), **build_single_state(finish, limit=Limit(3, by="number"))
    )
    requests: list[ChildRequest] = [child("Asking", number=number) for number in range(150)]
    requests += [child("Limited", number=number % 2) for number in range(150)]
    modules = [build_parent_module(*requests, timeout="1 day"), asking, limited]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")

        children = await flow.children(id)
        assert [one.status for one in children[:150]] == [Status.WAITING] * 150
        assert children[0].next_activation_us is not None
        assert [finding for finding in await examine_store(flow.store) if finding.rule != STUCK] == []
        for _ in range(50):  # a limit lets six at once
            await flow.advance("5 minutes")
        assert (await flow.get(id)).open_children == 150


async def test_a_spawn_in_a_transaction_of_the_handlers_own_and_one_of_a_plain_function(database_url: str) -> None:
    @state(start=True, next=["second"])
    async def first(ctx: Context) -> Next:
        async with ctx.transaction() as connection:
            await connection.execute("UPDATE flowlet_workflow SET token = token WHERE id = 0")
        return second.spawn(child("Child", number=number) for number in range(LARGE))

    @state(next=["third"])
    def second() -> Next:
        return third.spawn(child("Child", number=number) for number in range(LARGE)).when_children_end()

    @state(next=["done"])
    async def third() -> None: ...

    parent = build_workflow_module(workflow=Workflow("Twice"), first=first, second=second, third=third, done=end())
    async with Harness([parent, CHILD_MODULE], database_url=database_url) as flow:
        id = await flow.start("Twice")

        assert (await flow.get(id)).status is Status.FINISHED
        assert [one.vars["number"] for one in await flow.children(id)] == [*range(LARGE), *range(LARGE)]


async def test_the_doctor_finds_a_part_that_is_lost_and_one_that_nobody_makes(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        spawned.hands.clock.advance(3_600_000_000)
        (finding,) = await examine_store(spawned.hands.store)
        assert (finding.instance_id, finding.rule) == (spawned.id, STUCK)
        assert "250 of its children have been waiting to be made for 3,600 s" in finding.message

        await spawned.hands.execute_sql("DELETE FROM flowlet_spawn")

        (finding,) = await examine_store(spawned.hands.store)
        assert finding.rule == CHILDREN
        assert "it counts 250 open children, but 0 of its children are open" in finding.message
