"""The last child wakes its parent, in whatever order and in whatever batches the two are committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from flowlet.instance.instance import Instance
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.workflow.outcome import child
from tests.engine.children.family_modules import CHILD_MODULE, build_parent_module, build_slow_module
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine


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


@pytest.mark.parametrize("is_parent_first", [True, False])
async def test_a_parent_may_wait_until_only_so_many_children_are_open(database_url: str, is_parent_first: bool) -> None:
    async with open_race(database_url, children=3) as raced:
        waiting = replace(raced.parent, wake_at_open_children=1)
        steps = [(raced.first, waiting), (raced.second, raced.ends[0]), (raced.second, raced.ends[1])]
        for executor, transition in steps if is_parent_first else [*steps[1:], steps[0]]:
            claimed = [one.id for one in await raced.first.claim_due()]
            assert claimed == []
            await executor.commit_transitions(transition)

        instance = await raced.hands.get_instance(raced.parent.instance.id)
        assert (instance.open_children, instance.wake_at_open_children) == (1, None)
        assert [one.id for one in await raced.first.claim_due()] == [instance.id]


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


async def test_two_executors_that_end_children_of_the_same_parents_do_not_lose_one(database_url: str) -> None:
    async with open_engine(database_url, build_parent_module(child("Child"), child("Child")), CHILD_MODULE) as hands:
        first, second = await hands.add_executor("executor-a"), await hands.add_executor("executor-b")
        ids = [await hands.create_instance("Parent") for _ in range(6)]
        await run_and_commit(first, await first.claim_due())
        await first.commit_transitions(*[await first.run_instance(await hands.get_instance(id)) for id in ids])
        mine, yours = await first.claim_due(6), await second.claim_due(6)

        await asyncio.gather(run_and_commit(first, mine), run_and_commit(second, yours))

        assert sorted(one.id for one in await first.claim_due()) == ids
