"""How many children an instance has, while those of a large spawn are being made."""

from __future__ import annotations

import pytest

from flowlet.instance.instance import Status
from flowlet.store.reports import children
from flowlet.store.reports.children import CountedChildren, read_child_counts
from tests.engine.spawns.spawn_modules import LARGE, PART, SpawnHarness, open_spawns


async def count(spawned: SpawnHarness) -> CountedChildren:
    return await read_child_counts(spawned.hands.store.connections, await spawned.hands.get_instance(spawned.id))


async def test_children_are_counted_by_status_and_as_unmade(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        before = await count(spawned)
        await spawned.make_part()
        between = await count(spawned)
        while await spawned.make_part():
            pass

        assert before == CountedChildren(LARGE, LARGE, {})
        assert between == CountedChildren(LARGE, LARGE - PART, {Status.NEW: PART})
        assert await count(spawned) == CountedChildren(LARGE, 0, {Status.NEW: LARGE})
        assert between.made == PART


async def test_more_children_than_are_counted_still_say_how_many_are_unmade(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "MAX_COUNTED_CHILDREN", LARGE - 1)
    async with open_spawns(database_url) as spawned:
        await spawned.make_part()

        assert await count(spawned) == CountedChildren(LARGE, LARGE - PART, None)
