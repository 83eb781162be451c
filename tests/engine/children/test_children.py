"""Parents and children: a parent waits until its children have ended, however they end, and sees how."""

from __future__ import annotations

from datetime import timedelta

from flowlet.clock import to_datetime
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.children.family_modules import (
    CHILD_MODULE,
    FAILING_CHILD_MODULE,
    build_parent_module,
    build_slow_module,
)


async def test_children_run_and_their_parent_sees_how_they_ended(database_url: str) -> None:
    modules = [build_parent_module(child("Child"), child("Failing")), CHILD_MODULE, FAILING_CHILD_MODULE]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")

        assert (await flow.run_to_end(id)).succeeded
        assert await flow.vars(id) == {"children": ["FINISHED", "FAILED"]}


async def test_a_cancelled_child_counts_as_ended(database_url: str) -> None:
    async with Harness([build_parent_module(child("Slow")), build_slow_module()], database_url=database_url) as flow:
        id = await flow.start("Parent")
        (one,) = await flow.children(id)

        await flow.operations.cancel(one.id, username="anna")
        await flow.settle()

        assert await flow.vars(id) == {"children": ["CANCELLED"]}


async def test_a_child_that_is_cancelled_while_it_runs_counts_once(database_url: str) -> None:
    box: list[Harness] = []

    async def check(ctx: Context) -> str:
        await box[0].operations.cancel(ctx.workflow.id, username="anna")
        return "done"

    self_cancelling = build_workflow_module(workflow=Workflow("Child"), **build_single_state(check))
    async with Harness(
        [build_parent_module(child("Child"), child("Slow")), self_cancelling, build_slow_module()],
        database_url=database_url,
    ) as flow:
        box.append(flow)
        id = await flow.start("Parent")

        assert (await flow.get(id)).open_children == 1
        await flow.run_to_end(id)
        assert await flow.vars(id) == {"children": ["CANCELLED", "FINISHED"]}


async def test_a_child_that_is_retried_is_waited_for_again(database_url: str) -> None:
    modules = [build_parent_module(child("Failing"), child("Slow")), FAILING_CHILD_MODULE, build_slow_module()]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")
        failed = (await flow.children(id))[0]
        assert (await flow.get(id)).open_children == 1

        await flow.operations.retry(failed.id, username="anna")

        assert (await flow.get(id)).open_children == 2
        await flow.run_to_end(id)
        assert await flow.vars(id) == {"children": ["FAILED", "FINISHED"]}


async def test_the_wait_for_children_ends_at_its_deadline(database_url: str) -> None:
    async with Harness(
        [build_parent_module(child("Slow"), timeout="10 minutes"), build_slow_module()], database_url=database_url
    ) as flow:
        began = flow.now()
        id = await flow.start("Parent")

        ended = await flow.run_to_end(id)

        assert to_datetime(ended.ended_us or 0) - began == timedelta(minutes=10)
        assert await flow.vars(id) == {"children": ["IN_PROGRESS"]}


async def test_a_child_that_ends_after_its_parent_disturbs_nobody(database_url: str) -> None:
    async with Harness(
        [build_parent_module(child("Slow"), timeout="10 minutes"), build_slow_module()], database_url=database_url
    ) as flow:
        id = await flow.start("Parent")
        ended = await flow.run_to_end(id)

        await flow.advance("2 hours")

        (one,) = await flow.children(id)
        after = await flow.get(id)
        assert one.status is Status.FINISHED
        assert (after.status, after.ended_us, after.open_children) == (Status.FINISHED, ended.ended_us, 0)


async def test_a_child_wakes_its_waiting_parent_although_others_are_open(database_url: str) -> None:
    modules = [
        build_parent_module(child("Slow"), child("Waking")),
        build_slow_module(),
        build_slow_module("Waking", wakes=True),
    ]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")

        assert (await flow.get(id)).status is Status.FINISHED
        assert await flow.vars(id) == {"children": ["IN_PROGRESS", "IN_PROGRESS"]}


async def test_a_wake_is_used_up_by_the_wait_that_it_ended(database_url: str) -> None:
    rounds = []

    @state(start=True, next=["again"])
    async def begin() -> Next:
        return again.spawn([child("Waking"), child("Slow")]).when_children_end()

    @state(next=["again", "done"])
    async def again(ctx: Context) -> Next:
        rounds.append([one.status for one in ctx.children])
        return done if len(rounds) == 2 else again_when_children_end()

    def again_when_children_end() -> Next:
        return again.when_children_end()

    done = end()
    module = build_workflow_module(workflow=Workflow("Parent"), begin=begin, again=again, done=done)
    async with Harness(
        [module, build_slow_module(), build_slow_module("Waking", wakes=True)], database_url=database_url
    ) as flow:
        id = await flow.start("Parent")
        assert rounds == [["IN_PROGRESS", "IN_PROGRESS"]]

        await flow.run_to_end(id)

    assert rounds[1:] == [["FINISHED", "FINISHED"]]


async def test_a_wait_for_no_children_is_no_wait(database_url: str) -> None:
    async with Harness(build_parent_module(), database_url=database_url) as flow:
        assert (await flow.get(await flow.start("Parent"))).status is Status.FINISHED


async def test_children_may_have_children(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def middle() -> Next:
        return wait.spawn(child("Slow")).when_children_end()

    @state(next=["done"])
    async def wait(ctx: Context) -> None:
        assert ctx.parent is not None

    module = build_workflow_module(workflow=Workflow("Middle"), middle=middle, wait=wait, done=end())
    async with Harness(
        [build_parent_module(child("Middle"), child("Middle")), module, build_slow_module()], database_url=database_url
    ) as flow:
        began = flow.now()
        id = await flow.start("Parent")

        ended = await flow.run_to_end(id)

        assert to_datetime(ended.ended_us or 0) - began == timedelta(hours=1)
        assert await flow.vars(id) == {"children": ["FINISHED", "FINISHED"]}
        sql = "SELECT id, root_id FROM flowlet_workflow"
        roots = dict(await flow.store.connections.read(lambda session: session.fetch_rows(sql)))
        assert roots.pop(id) is None
        assert set(roots.values()) == {id}


async def test_children_are_named_after_their_parent_and_their_place(database_url: str) -> None:
    named = child("Child").with_ids(external_id="box-7", key="customer-1")
    modules = [build_parent_module(child("Child"), named, child("Child")), CHILD_MODULE]
    async with Harness(modules, database_url=database_url) as flow:
        children = await flow.children(await flow.start("Parent", external_id="order-1"))

        assert [one.external_id for one in children] == ["order-1/0.1", "box-7", "order-1/0.3"]
        assert children[1].key == "customer-1"


async def test_a_parent_whose_childs_name_is_taken_fails_its_attempt_and_spawns_none(database_url: str) -> None:
    modules = [build_parent_module(child("Child"), child("Child").with_ids(external_id="taken")), CHILD_MODULE]
    async with Harness(modules, database_url=database_url) as flow:
        await flow.start("Child", external_id="taken")
        id = await flow.start("Parent")

        instance = await flow.get(id)
        assert (instance.state, instance.status, instance.attempt) == ("spawn", Status.IN_PROGRESS, 1)
        assert "external id" in str(instance.reason)
        assert (instance.children, await flow.children(id)) == (0, [])
