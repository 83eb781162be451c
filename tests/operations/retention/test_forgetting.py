"""Personal data: all that is stored under a business key is deleted, or nothing while some of it is open."""

from __future__ import annotations

import pytest

from flowlet.errors import RefusedError
from flowlet.instance.instance import Status
from flowlet.operations.forgetting import count_keyed_trees, forget_key
from flowlet.store.retention.deletion import Deleted
from tests.store.retention.retention_harness import RetentionHarness, open_retention_harness


async def set_key(seen: RetentionHarness, id: int, key: str = "customer-7") -> None:
    await seen.execute_sql("UPDATE flowlet_workflow SET business_key = :key WHERE id = :id", key=key, id=id)


async def test_the_whole_trees_of_a_key_are_deleted_also_by_the_key_of_a_child(database_url: str) -> None:
    async with open_retention_harness(database_url) as seen:
        single, root, other = [await seen.create_ended() for _ in range(3)]
        child = await seen.create_child(root, root)
        for id, key in ((single, "customer-7"), (child, "customer-7"), (other, "customer-70")):
            await set_key(seen, id, key)

        deleted = await forget_key(seen.store, "customer-7", username="ada")

        assert deleted == Deleted(instances=3, trees=2)
        assert await seen.read_ids() == [other]
        assert await count_keyed_trees(seen.store, "customer-7") == 0
        await seen.check_counts()


@pytest.mark.parametrize("status", [Status.WAITING, Status.EXECUTING])
async def test_nothing_is_deleted_while_an_instance_of_one_tree_is_open(sqlite_url: str, status: Status) -> None:
    async with open_retention_harness(sqlite_url) as seen:
        ended, root = await seen.create_ended(), await seen.create_ended()
        child = await seen.create_child(root, root, status)
        for id in (ended, root):
            await set_key(seen, id)

        with pytest.raises(RefusedError, match=f"1 workflows with this key have not ended.*: {root}. Nothing"):
            await forget_key(seen.store, "customer-7", username="ada")

        assert await seen.read_ids() == [ended, root, child]
