"""Parents and children: the last child wakes its parent, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import ModuleType

import pytest

from flowlet.clock import moment
from flowlet.context import Context
from flowlet.errors import Fail
from flowlet.instances import Instance, Status
from flowlet.states import Workflow, end, state
from flowlet.store.instances import Verdict
from flowlet.testing import Harness
from flowlet.transitions import ChildRequest, Next, Transition, child
from tests.engine.hands import Hand, Hands, opened
from tests.engine.making import one_state, workflow_module


async def finishing() -> str:
    return "done"


async def failing() -> str:
    raise Fail("no such box")


CHILD = workflow_module(workflow=Workflow("Child"), **one_state(finishing))
FAILING = workflow_module(workflow=Workflow("Failing"), **one_state(failing))


def slow(name: str = "Slow", *, wakes: bool = False) -> ModuleType:
    """Return a workflow that takes an hour."""

    @state(start=True, next=["arrive"])
    async def leave() -> Next:
        return arrive.after("1 hour").wake_parent() if wakes else arrive.after("1 hour")

    @state(next=["done"])
    async def arrive() -> None: ...

    return workflow_module(workflow=Workflow(name), leave=leave, arrive=arrive, done=end())


def parent(*children: ChildRequest, within: str | None = None) -> ModuleType:
    """Return a workflow that spawns children, does something else, waits for them, and looks how they ended."""

    @state(start=True, next=["work"])
    async def spawn() -> Next:
        return work.spawn(children)

    @state(next=["check"])
    async def work() -> Next:
        return check.when_children_end(within=within)

    @state(next=["done"])
    async def check(ctx: Context) -> None:
        ctx.vars["children"] = [one.status for one in ctx.children]

    return workflow_module(workflow=Workflow("Parent"), spawn=spawn, work=work, check=check, done=end())


class Race:
    """A parent that is about to wait, and its children, about to end: each transition is ready to be committed."""

    def __init__(self, hands: Hands, first: Hand, second: Hand, parent: Transition, ends: list[Transition]) -> None:
        self.hands = hands
        self.first = first
        self.second = second
        self.parent = parent
        self.ends = ends

    async def is_parent_woken(self) -> bool:
        """Return whether the parent is due, and no child is open."""
        instance = await self.hands.get(self.parent.instance.id)
        claimed = [one.id for one in await self.first.claim()]
        return (instance.open_children, instance.waits_for_children, claimed) == (0, False, [instance.id])


@asynccontextmanager
async def race(database_url: str, *, children: int = 1) -> AsyncIterator[Race]:
    module = parent(*[child("Child") for _ in range(children)])
    async with opened(database_url, module, CHILD) as hands:
        first, second = await hands.hand("executor-a"), await hands.hand("executor-b")
        id = await hands.create("Parent")
        spawned = await first.run(await first.claim_one(id))
        assert await first.commit(spawned) == [Verdict.COMMITTED]
        entering = await first.run(await hands.get(id))
        ends = [await second.run(one) for one in await second.claim()]
        assert len(ends) == children
        yield Race(hands, first, second, entering, ends)


async def parent_first(race: Race) -> None:
    await race.first.commit(race.parent)
    await race.second.commit(*race.ends)


async def children_first(race: Race) -> None:
    await race.second.commit(*race.ends)
    await race.first.commit(race.parent)


async def between_the_children(race: Race) -> None:
    await race.second.commit(race.ends[0])
    await race.first.commit(race.parent)
    for last in race.ends[1:]:
        await race.second.commit(last)


async def at_once(race: Race) -> None:
    await asyncio.gather(
        race.first.commit(race.parent), race.second.commit(*race.ends[::2]), race.second.commit(*race.ends[1::2])
    )


@pytest.mark.parametrize("order", [parent_first, children_first, between_the_children, at_once])
async def test_the_last_child_wakes_its_parent_whoever_commits_first(
    database_url: str, order: Callable[[Race], Awaitable[None]]
) -> None:
    async with race(database_url, children=3) as raced:
        await order(raced)

        assert await raced.is_parent_woken()


@pytest.mark.parametrize("ends", [1, 3])
async def test_a_parent_that_begins_to_wait_in_the_batch_in_which_its_last_child_ends_is_woken(
    database_url: str, ends: int
) -> None:
    module = parent(*[child("Child") for _ in range(ends)])
    async with opened(database_url, module, CHILD) as hands:
        hand = await hands.hand()
        id = await hands.create("Parent")
        assert await hand.commit(await hand.run(await hand.claim_one(id))) == [Verdict.COMMITTED]
        batch = [await hand.run(await hands.get(id)), *[await hand.run(one) for one in await hand.claim()]]

        assert await hand.commit(*batch) == [Verdict.COMMITTED] * (ends + 1)

        instance = await hands.get(id)
        assert (instance.open_children, instance.waits_for_children) == (0, False)
        assert [one.id for one in await hand.claim()] == [id]


async def test_a_parent_is_not_woken_while_a_child_is_open(database_url: str) -> None:
    async with race(database_url, children=2) as raced:
        await raced.first.commit(raced.parent)
        await raced.second.commit(raced.ends[0])

        instance = await raced.hands.get(raced.parent.instance.id)
        assert (instance.open_children, instance.waits_for_children, instance.next_activation) == (1, True, None)
        assert await raced.first.claim() == []


async def test_a_batch_of_parents_and_of_children_of_all_of_them_wakes_each(database_url: str) -> None:
    async with opened(database_url, parent(child("Child"), child("Child")), CHILD) as hands:
        hand = await hands.hand()
        ids = [await hands.create("Parent") for _ in range(5)]
        await commit_all(hand, await hand.claim())
        batch = [await hand.run(await hands.get(id)) for id in ids]
        batch += [await hand.run(one) for one in await hand.claim()]

        await hand.commit(*batch)

        assert sorted(one.id for one in await hand.claim()) == ids


async def commit_all(hand: Hand, instances: Sequence[Instance]) -> None:
    await hand.commit(*[await hand.run(one) for one in instances])


async def test_children_run_and_their_parent_sees_how_they_ended(database_url: str) -> None:
    modules = [parent(child("Child"), child("Failing")), CHILD, FAILING]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")

        assert (await flow.run_to_end(id)).succeeded
        assert await flow.vars(id) == {"children": ["FINISHED", "FAILED"]}


async def test_a_cancelled_child_counts_as_ended(database_url: str) -> None:
    async with Harness([parent(child("Slow")), slow()], database_url=database_url) as flow:
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

    self_cancelling = workflow_module(workflow=Workflow("Child"), **one_state(check))
    async with Harness(
        [parent(child("Child"), child("Slow")), self_cancelling, slow()], database_url=database_url
    ) as flow:
        box.append(flow)
        id = await flow.start("Parent")

        assert (await flow.get(id)).open_children == 1
        await flow.run_to_end(id)
        assert await flow.vars(id) == {"children": ["CANCELLED", "FINISHED"]}


async def test_a_child_that_is_retried_is_waited_for_again(database_url: str) -> None:
    modules = [parent(child("Failing"), child("Slow")), FAILING, slow()]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")
        failed = (await flow.children(id))[0]
        assert (await flow.get(id)).open_children == 1

        await flow.operations.retry(failed.id, username="anna")

        assert (await flow.get(id)).open_children == 2
        await flow.run_to_end(id)
        assert await flow.vars(id) == {"children": ["FAILED", "FINISHED"]}


async def test_the_wait_for_children_ends_at_its_deadline(database_url: str) -> None:
    async with Harness([parent(child("Slow"), within="10 minutes"), slow()], database_url=database_url) as flow:
        began = flow.now()
        id = await flow.start("Parent")

        ended = await flow.run_to_end(id)

        assert moment(ended.ended or 0) - began == timedelta(minutes=10)
        assert await flow.vars(id) == {"children": ["IN_PROGRESS"]}


async def test_a_child_that_ends_after_its_parent_disturbs_nobody(database_url: str) -> None:
    async with Harness([parent(child("Slow"), within="10 minutes"), slow()], database_url=database_url) as flow:
        id = await flow.start("Parent")
        ended = await flow.run_to_end(id)

        await flow.advance("2 hours")

        (one,) = await flow.children(id)
        after = await flow.get(id)
        assert one.status is Status.FINISHED
        assert (after.status, after.ended, after.open_children) == (Status.FINISHED, ended.ended, 0)


async def test_a_child_wakes_its_waiting_parent_although_others_are_open(database_url: str) -> None:
    modules = [parent(child("Slow"), child("Waking")), slow(), slow("Waking", wakes=True)]
    async with Harness(modules, database_url=database_url) as flow:
        id = await flow.start("Parent")

        assert (await flow.get(id)).status is Status.FINISHED
        assert await flow.vars(id) == {"children": ["IN_PROGRESS", "IN_PROGRESS"]}


async def test_a_child_wakes_a_parent_that_is_only_about_to_wait(database_url: str) -> None:
    waking = slow("Child", wakes=True)
    async with opened(database_url, parent(child("Child")), waking) as hands:
        hand = await hands.hand()
        id = await hands.create("Parent")
        await hand.commit(await hand.run(await hand.claim_one(id)))
        entering = await hand.run(await hands.get(id))
        (one,) = await hand.claim()
        await hand.commit(await hand.run(one))

        await hand.commit(entering)

        assert [claimed.id for claimed in await hand.claim()] == [id]


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
    module = workflow_module(workflow=Workflow("Parent"), begin=begin, again=again, done=done)
    async with Harness([module, slow(), slow("Waking", wakes=True)], database_url=database_url) as flow:
        id = await flow.start("Parent")
        assert rounds == [["IN_PROGRESS", "IN_PROGRESS"]]

        await flow.run_to_end(id)

    assert rounds[1:] == [["FINISHED", "FINISHED"]]


async def test_a_wait_for_no_children_is_no_wait(database_url: str) -> None:
    async with Harness(parent(), database_url=database_url) as flow:
        assert (await flow.get(await flow.start("Parent"))).status is Status.FINISHED


async def test_children_may_have_children(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def middle() -> Next:
        return wait.spawn(child("Slow")).when_children_end()

    @state(next=["done"])
    async def wait(ctx: Context) -> None:
        assert ctx.parent is not None

    module = workflow_module(workflow=Workflow("Middle"), middle=middle, wait=wait, done=end())
    async with Harness([parent(child("Middle"), child("Middle")), module, slow()], database_url=database_url) as flow:
        began = flow.now()
        id = await flow.start("Parent")

        ended = await flow.run_to_end(id)

        assert moment(ended.ended or 0) - began == timedelta(hours=1)
        assert await flow.vars(id) == {"children": ["FINISHED", "FINISHED"]}


async def test_children_are_named_after_their_parent_and_their_place(database_url: str) -> None:
    named = child("Child").named(external_id="box-7", key="customer-1")
    modules = [parent(child("Child"), named, child("Child")), CHILD]
    async with Harness(modules, database_url=database_url) as flow:
        children = await flow.children(await flow.start("Parent", external_id="order-1"))

        assert [one.external_id for one in children] == ["order-1/0.1", "box-7", "order-1/0.3"]
        assert children[1].business_key == "customer-1"


async def test_a_parent_whose_childs_name_is_taken_fails_its_attempt_and_spawns_none(database_url: str) -> None:
    modules = [parent(child("Child"), child("Child").named(external_id="taken")), CHILD]
    async with Harness(modules, database_url=database_url) as flow:
        await flow.start("Child", external_id="taken")
        id = await flow.start("Parent")

        instance = await flow.get(id)
        assert (instance.state, instance.status, instance.attempt) == ("spawn", Status.IN_PROGRESS, 1)
        assert "external id" in str(instance.reason)
        assert (instance.children, await flow.children(id)) == (0, [])


async def test_two_executors_that_end_children_of_the_same_parents_do_not_lose_one(database_url: str) -> None:
    async with opened(database_url, parent(child("Child"), child("Child")), CHILD) as hands:
        first, second = await hands.hand("executor-a"), await hands.hand("executor-b")
        ids = [await hands.create("Parent") for _ in range(6)]
        await commit_all(first, await first.claim())
        await first.commit(*[await first.run(await hands.get(id)) for id in ids])
        mine, yours = await first.claim(6), await second.claim(6)

        await asyncio.gather(commit_all(first, mine), commit_all(second, yours))

        assert sorted(one.id for one in await first.claim()) == ids
