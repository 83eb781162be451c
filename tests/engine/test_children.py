"""Parents and children: the last child wakes its parent, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType

import pytest

from flowlet.clock import to_datetime
from flowlet.errors import Fail
from flowlet.instance.instance import Instance, Status
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import ChildRequest, child
from flowlet.workflow.states import Next, Workflow, end, state
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine


async def finish() -> str:
    return "done"


async def fail() -> str:
    raise Fail("no such box")


CHILD_MODULE = build_workflow_module(workflow=Workflow("Child"), **build_single_state(finish))
FAILING_CHILD_MODULE = build_workflow_module(workflow=Workflow("Failing"), **build_single_state(fail))


def build_slow_module(name: str = "Slow", *, wakes: bool = False) -> ModuleType:
    """Return a workflow that takes an hour."""

    @state(start=True, next=["arrive"])
    async def leave() -> Next:
        return arrive.after("1 hour").wake_parent() if wakes else arrive.after("1 hour")

    @state(next=["done"])
    async def arrive() -> None: ...

    return build_workflow_module(workflow=Workflow(name), leave=leave, arrive=arrive, done=end())


def build_parent_module(*children: ChildRequest, timeout: str | None = None) -> ModuleType:
    """Return a workflow that spawns children, does something else, waits for them, and looks how they ended."""

    @state(start=True, next=["work"])
    async def spawn() -> Next:
        return work.spawn(children)

    @state(next=["check"])
    async def work() -> Next:
        return check.when_children_end(within=timeout)

    @state(next=["done"])
    async def check(ctx: Context) -> None:
        ctx.vars["children"] = [one.status for one in ctx.children]

    return build_workflow_module(workflow=Workflow("Parent"), spawn=spawn, work=work, check=check, done=end())


class CommitRace:
    """A parent that is about to wait, and its children, about to end: each transition is ready to be committed."""

    def __init__(
        self,
        engine: EngineHarness,
        first_executor: ManualExecutor,
        second_executor: ManualExecutor,
        parent_transition: Transition,
        child_transitions: list[Transition],
    ) -> None:
        self.hands = engine
        self.first = first_executor
        self.second = second_executor
        self.parent = parent_transition
        self.ends = child_transitions

    async def is_parent_woken(self) -> bool:
        """Return whether the parent is due, and no child is open."""
        instance = await self.hands.get_instance(self.parent.instance.id)
        claimed = [one.id for one in await self.first.claim_due()]
        return (instance.open_children, instance.waits_for_children, claimed) == (0, False, [instance.id])


@asynccontextmanager
async def open_race(database_url: str, *, children: int = 1) -> AsyncIterator[CommitRace]:
    module = build_parent_module(*[child("Child") for _ in range(children)])
    async with open_engine(database_url, module, CHILD_MODULE) as hands:
        first, second = await hands.add_executor("executor-a"), await hands.add_executor("executor-b")
        id = await hands.create_instance("Parent")
        spawned = await first.run_instance(await first.claim_instance(id))
        assert await first.commit_transitions(spawned) == [CommitResult.COMMITTED]
        entering = await first.run_instance(await hands.get_instance(id))
        ends = [await second.run_instance(one) for one in await second.claim_due()]
        assert len(ends) == children
        yield CommitRace(hands, first, second, entering, ends)


async def commit_parent_first(commit_race: CommitRace) -> None:
    await commit_race.first.commit_transitions(commit_race.parent)
    await commit_race.second.commit_transitions(*commit_race.ends)


async def commit_children_first(commit_race: CommitRace) -> None:
    await commit_race.second.commit_transitions(*commit_race.ends)
    await commit_race.first.commit_transitions(commit_race.parent)


async def commit_parent_between_children(commit_race: CommitRace) -> None:
    await commit_race.second.commit_transitions(commit_race.ends[0])
    await commit_race.first.commit_transitions(commit_race.parent)
    for last in commit_race.ends[1:]:
        await commit_race.second.commit_transitions(last)


async def commit_concurrently(commit_race: CommitRace) -> None:
    await asyncio.gather(
        commit_race.first.commit_transitions(commit_race.parent),
        commit_race.second.commit_transitions(*commit_race.ends[::2]),
        commit_race.second.commit_transitions(*commit_race.ends[1::2]),
    )


@pytest.mark.parametrize(
    "order", [commit_parent_first, commit_children_first, commit_parent_between_children, commit_concurrently]
)
async def test_the_last_child_wakes_its_parent_whoever_commits_first(
    database_url: str, order: Callable[[CommitRace], Awaitable[None]]
) -> None:
    async with open_race(database_url, children=3) as raced:
        await order(raced)

        assert await raced.is_parent_woken()


@pytest.mark.parametrize("ends", [1, 3])
async def test_a_parent_that_begins_to_wait_in_the_batch_in_which_its_last_child_ends_is_woken(
    database_url: str, ends: int
) -> None:
    module = build_parent_module(*[child("Child") for _ in range(ends)])
    async with open_engine(database_url, module, CHILD_MODULE) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance("Parent")
        assert await hand.commit_transitions(await hand.run_instance(await hand.claim_instance(id))) == [
            CommitResult.COMMITTED
        ]
        batch = [
            await hand.run_instance(await hands.get_instance(id)),
            *[await hand.run_instance(one) for one in await hand.claim_due()],
        ]

        assert await hand.commit_transitions(*batch) == [CommitResult.COMMITTED] * (ends + 1)

        instance = await hands.get_instance(id)
        assert (instance.open_children, instance.waits_for_children) == (0, False)
        assert [one.id for one in await hand.claim_due()] == [id]


async def test_a_parent_is_not_woken_while_a_child_is_open(database_url: str) -> None:
    async with open_race(database_url, children=2) as raced:
        await raced.first.commit_transitions(raced.parent)
        await raced.second.commit_transitions(raced.ends[0])

        instance = await raced.hands.get_instance(raced.parent.instance.id)
        assert (instance.open_children, instance.waits_for_children, instance.next_activation_us) == (1, True, None)
        assert await raced.first.claim_due() == []


async def test_a_batch_of_parents_and_of_children_of_all_of_them_wakes_each(database_url: str) -> None:
    async with open_engine(database_url, build_parent_module(child("Child"), child("Child")), CHILD_MODULE) as hands:
        hand = await hands.add_executor()
        ids = [await hands.create_instance("Parent") for _ in range(5)]
        await run_and_commit(hand, await hand.claim_due())
        batch = [await hand.run_instance(await hands.get_instance(id)) for id in ids]
        batch += [await hand.run_instance(one) for one in await hand.claim_due()]

        await hand.commit_transitions(*batch)

        assert sorted(one.id for one in await hand.claim_due()) == ids


async def run_and_commit(executor: ManualExecutor, instances: Sequence[Instance]) -> None:
    await executor.commit_transitions(*[await executor.run_instance(one) for one in instances])


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


async def test_a_child_wakes_a_parent_that_is_only_about_to_wait(database_url: str) -> None:
    waking = build_slow_module("Child", wakes=True)
    async with open_engine(database_url, build_parent_module(child("Child")), waking) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance("Parent")
        await hand.commit_transitions(await hand.run_instance(await hand.claim_instance(id)))
        entering = await hand.run_instance(await hands.get_instance(id))
        (one,) = await hand.claim_due()
        await hand.commit_transitions(await hand.run_instance(one))

        await hand.commit_transitions(entering)

        assert [claimed.id for claimed in await hand.claim_due()] == [id]


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


async def test_two_executors_that_end_children_of_the_same_parents_do_not_lose_one(database_url: str) -> None:
    async with open_engine(database_url, build_parent_module(child("Child"), child("Child")), CHILD_MODULE) as hands:
        first, second = await hands.add_executor("executor-a"), await hands.add_executor("executor-b")
        ids = [await hands.create_instance("Parent") for _ in range(6)]
        await run_and_commit(first, await first.claim_due())
        await first.commit_transitions(*[await first.run_instance(await hands.get_instance(id)) for id in ids])
        mine, yours = await first.claim_due(6), await second.claim_due(6)

        await asyncio.gather(run_and_commit(first, mine), run_and_commit(second, yours))

        assert sorted(one.id for one in await first.claim_due()) == ids
