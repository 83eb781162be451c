"""Claims of several workflows: the higher priority first, equal shares within one, and nothing of anyone else's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import pytest

from flowlet.clock import VirtualClock
from flowlet.instance.instance import Instance
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.dialects.lanes import ClaimPlan, Draw, Lane
from flowlet.store.opening import Store, open_store
from tests.databases import find_schema
from tests.store.store_harness import NOW, StoreHarness

LATER = NOW + 1_000_000


async def create_due(harness: StoreHarness, type: str, count: int, *, due: int = NOW, priority: int = 0) -> list[int]:
    """Create instances of a workflow, each due one microsecond after the one before; return their ids."""
    new = [
        harness.build_new_instance(type=type, priority=priority, next_activation=due + place) for place in range(count)
    ]
    return [created.id for created in await harness.store.instances.create(new, now=NOW)]


async def claim(store: Store, types: Iterable[str], limit: int, *groups: str) -> list[Instance]:
    request = ClaimRequest("executor-a", groups or ("default",), tuple(types), limit, LATER)
    return (await store.instances.claim(request)).instances


def count_types(claimed: Iterable[Instance]) -> dict[str, int]:
    return dict(Counter(instance.type for instance in claimed))


async def test_workflows_of_one_priority_get_equal_shares(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        busy = await create_due(harness, "Busy", 300, due=NOW - 1000)
        await create_due(harness, "Quiet", 4)
        await create_due(harness, "Plain", 30)

        claimed = await claim(store, ("Busy", "Quiet", "Plain"), 24)

        assert count_types(claimed) == {"Busy": 10, "Quiet": 4, "Plain": 10}
        assert sorted(one.id for one in claimed if one.type == "Busy") == busy[:10]


async def test_small_claims_take_turns(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        await create_due(harness, "Busy", 30, due=NOW - 1000)
        await create_due(harness, "Quiet", 2)

        claimed = [one for _ in range(4) for one in await claim(store, ("Busy", "Quiet"), 1)]

        assert count_types(claimed) == {"Busy": 2, "Quiet": 2}


async def test_groups_of_one_priority_get_equal_shares(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        for place in range(6):
            await harness.create_instance(executor_group="mail", next_activation=NOW - 10 + place)
            await harness.create_instance()

        claimed = await claim(store, ("Orders",), 6, "mail", "default", "empty")

        assert Counter(one.group for one in claimed) == {"mail": 3, "default": 3}


async def test_a_higher_priority_comes_before_every_lower_one(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        await create_due(harness, "A", 20, due=NOW - 1000)
        urgent = [*await create_due(harness, "A", 9, priority=9), *await create_due(harness, "B", 1, priority=9)]
        await create_due(harness, "B", 20, priority=5)

        claimed = await claim(store, ("A", "B"), 15)

        others = await claim(store, ("A", "B"), 5)

        assert sorted(urgent) == sorted(one.id for one in claimed)
        assert Counter(one.priority for one in others) == {5: 5}


async def test_a_higher_priority_that_is_not_due_yet_leaves_its_place(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        await create_due(harness, "A", 3, due=LATER + 1, priority=9)
        await harness.create_instance(type="A", priority=7, next_activation=None, status="IN_PROGRESS")
        due = await create_due(harness, "A", 2, due=NOW, priority=1)
        await create_due(harness, "A", 3, due=LATER + 1, priority=1)

        claimed = await claim(store, ("A",), 10)

        assert sorted(one.id for one in claimed) == due
        assert await store.instances.find_next_due(("default",), ("A",), now=LATER) == LATER + 1


async def test_many_workflows_with_little_to_do_fill_a_claim(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        types = [f"Type{number:02}" for number in range(40)]
        for number, type in enumerate(types):
            await create_due(harness, type, 1 + number % 3)
            await create_due(harness, type, 2, due=LATER + 1)

        claimed = await claim(store, types, 100)

        assert count_types(claimed) == {type: 1 + number % 3 for number, type in enumerate(types)}


async def test_gated_instances_and_those_of_other_workflows_are_left(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        own = await create_due(harness, "Own", 2)
        await create_due(harness, "Other", 5, due=NOW - 1000, priority=9)
        for status in ("NEW", "IN_PROGRESS", "WAITING"):
            gated = await harness.create_instance(type="Own", status=status, gate="hold:1")

        claimed = await claim(store, ("Own",), 100)

        assert sorted(one.id for one in claimed) == own
        assert await store.instances.find_next_due(("default",), ("Own",), now=NOW - 1) is None
        assert (await store.queries.get(gated)).gate == "hold:1"


@pytest.mark.parametrize("types", [("A",), ("A", "B", "C")])
async def test_claims_of_several_workflows_that_race_share_what_is_due(
    database_url: str, types: tuple[str, ...]
) -> None:
    clock = VirtualClock()
    schema = find_schema(database_url)
    async with (
        open_store(database_url, schema=schema, clock=clock) as store,
        open_store(database_url, schema=schema, clock=clock) as other,
    ):
        harness = StoreHarness(store)
        due = [id for type in types for id in await create_due(harness, type, 12 // len(types))]

        shares = await asyncio.gather(*(claim(one, types, 6) for _ in range(3) for one in (store, other)))
        # What one claim has locked beyond its share is passed over by the others: the next claim finds it.
        shares.append(await claim(store, types, 6))

        leased = [one.id for share in shares for one in share]
        assert sorted(leased) == sorted(due)


def test_a_plan_draws_on_what_has_more_until_the_claim_is_full() -> None:
    lanes = [Lane("default", type, 0, 0) for type in ("A", "B", "C")]
    plan = ClaimPlan(lanes, ClaimRequest("executor-1", ["default"], ["A", "B", "C"], 10, now=0))

    first = plan.find_next_draw()
    assert first == Draw(lanes, 4, 10)
    plan.record_rows(first, [build_row("A", 1)] + [build_row("B", id) for id in (2, 3, 4, 5)] + [build_row("C", 6)])
    second = plan.find_next_draw()
    assert second == Draw([lanes[1]], 4, 4)
    plan.record_rows(second, [build_row("B", 7)])

    assert plan.find_next_draw() is None
    assert [row[0] for row in plan.rows] == [1, 2, 3, 4, 5, 6, 7]


def build_row(type: str, id: int) -> tuple[object, ...]:
    """Return the beginning of a row of an instance."""
    return (id, type, 1, f"order-{id}", "", None, None, "default")
