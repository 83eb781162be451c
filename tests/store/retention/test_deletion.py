"""The deletion of ended trees: whole ones, beside locks, creates and operators, and in the middle of a large one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowlet.errors import PrunedInstanceError, RefusedError, UnknownInstanceError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, Status
from flowlet.store.changes import change_instance
from flowlet.store.database_session import DatabaseSession
from flowlet.store.retention import deletion
from flowlet.store.retention.deletion import Deleted
from flowlet.store.retention.external_ids import delete_expired_external_ids
from flowlet.store.retention.pruned_line import read_pruned_line
from tests.store.retention.retention_harness import RetentionHarness, open_retention_harness
from tests.store.store_harness import NOW

TIMEOUT_SECONDS = 20


async def test_whole_trees_are_deleted_and_those_with_an_open_descendant_stay(database_url: str) -> None:
    async with open_retention_harness(database_url) as seen:
        single, failed = await seen.create_ended(), await seen.create_ended(Status.FAILED)
        root = await seen.create_ended()
        child = await seen.create_child(root, root)
        await seen.create_child(child, root, Status.CANCELLED)
        for id in (single, child, failed):
            await seen.add_message(id)
        open_root = await seen.create_ended()
        open_parent = await seen.create_child(open_root, open_root)
        open_leaf = await seen.create_child(open_parent, open_root, Status.WAITING)
        last_line = max(action.id or 0 for action in await seen.store.queries.read_history(open_leaf))

        deleted = await seen.delete_range()

        assert deleted == Deleted(instances=4, trees=2)
        assert await seen.read_ids() == sorted([failed, open_root, open_parent, open_leaf])
        assert 0 < await read_pruned_line(seen.store.connections) < last_line
        assert await seen.store.counters.count_pruned_instances() == {"Orders": 4}
        await seen.check_counts()
        with pytest.raises(UnknownInstanceError, match=f"no workflow has the id {single}"):
            await seen.store.queries.get(single)


async def test_a_tree_of_which_a_row_is_locked_is_left_out_without_waiting(concurrent_url: str) -> None:
    async with open_retention_harness(concurrent_url) as seen:
        root = await seen.create_ended()
        child = await seen.create_child(root, root)
        other = await seen.create_ended()
        async with seen.store.connections.transaction() as session, asyncio.timeout(TIMEOUT_SECONDS):
            await session.fetch_rows("SELECT id FROM flowlet_workflow WHERE id = :id FOR UPDATE", {"id": child})
            beside = await seen.delete_range()
            left = await seen.read_ids()

        assert beside == Deleted(instances=1, trees=1, left_parts=1)
        assert other not in left
        assert await seen.delete_range() == Deleted(instances=2, trees=1)


async def test_a_child_that_was_created_since_the_tree_was_read_keeps_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_retention_harness(database_url) as seen:
        root = await seen.create_ended()
        await seen.create_child(root, root)
        delete = deletion.delete_parts
        children: list[int] = []

        async def create_late_child(*given: object, **named: object) -> Deleted:
            children.append(await seen.create_child(root, root, Status.FINISHED))
            return await delete(*given, **named)  # type: ignore[arg-type]  # whatever was given

        monkeypatch.setattr("tests.store.retention.retention_harness.delete_parts", create_late_child)
        deleted = await seen.delete_range()

        assert deleted == Deleted(left_parts=1)
        assert len(await seen.read_ids()) == 3


async def test_a_large_tree_goes_leaves_first_and_cannot_be_opened_again_in_the_middle(database_url: str) -> None:
    async with open_retention_harness(database_url) as seen:
        root = await seen.create_ended(Status.FAILED)
        middle = await seen.create_child(root, root, Status.FAILED)
        leaves = [await seen.create_child(middle, root) for _ in range(4)]
        await seen.delete_range(Status.FAILED, limit=2, most=1)  # as if it was killed then
        between = await seen.read_ids()

        with pytest.raises(RefusedError, match="it has ended long ago, and is being deleted with its children"):
            await reopen(seen, middle)
        await seen.check_counts()
        rest = await seen.delete_range(Status.FAILED, limit=2)

        assert between[:2] == [root, middle]
        assert len(between) == 4
        assert set(between[2:]) < set(leaves)  # which of them is the database's affair
        assert rest == Deleted(instances=4, trees=1)
        assert await seen.read_ids() == []
        await seen.check_counts()


async def reopen(seen: RetentionHarness, id: int) -> Instance:
    """Open an ended instance again, as a retry does."""

    def decide(instance: Instance) -> Change:
        action = Action(ActionKind.RETRIED, NOW, from_state=instance.state, username="ada")
        after = replace(instance, status=Status.IN_PROGRESS, ended_us=None, next_activation_us=NOW)
        return Change(instance, after, (action,))

    return await change_instance(seen.store.connections, id, decide, now=NOW)


async def test_a_tree_with_an_instance_that_an_operator_has_opened_again_stays(database_url: str) -> None:
    async with open_retention_harness(database_url) as seen:
        root = await seen.create_ended()
        child = await seen.create_child(root, root, Status.FAILED)

        await reopen(seen, child)

        assert await seen.delete_range() == Deleted()
        assert await seen.read_ids() == [root, child]
        await seen.check_counts()


async def test_a_kept_external_id_answers_for_its_deleted_instance_until_it_expires(database_url: str) -> None:
    async with open_retention_harness(database_url) as seen:
        id = await seen.create_ended(external_id="order-7")
        await seen.delete_range(keeps_external_ids=True)
        new = [seen.build_new_instance(external_id=name) for name in ("order-7", "order-8", "order-7")]

        created = await seen.store.instances.create(new, now=NOW)

        assert [(one.is_new, one.is_pruned) for one in created] == [(False, True), (True, False), (False, True)]
        assert (created[0].id, created[2].id) == (id, id)
        assert await seen.read_ids() == [created[1].id]
        for find in (seen.store.queries.get(id), seen.store.queries.get_by_external_id("order-7")):
            with pytest.raises(PrunedInstanceError, match=r"'order-7' has ended, and was deleted at"):
                await find
        assert await delete_expired_external_ids(seen.store.connections, before=NOW + 1) == 1
        assert [one.is_new for one in await seen.store.instances.create(new, now=NOW)] == [True, False, False]


@pytest.mark.parametrize("keeps_external_ids", [True, False])
async def test_a_create_that_waits_for_the_deletion_of_its_external_id_sees_what_it_keeps(
    database_url: str, monkeypatch: pytest.MonkeyPatch, keeps_external_ids: bool
) -> None:
    async with open_retention_harness(database_url) as seen:
        old = await seen.create_ended(external_id="order-7")
        has_deleted, may_commit = asyncio.Event(), asyncio.Event()

        async def wait_before_commit(session: DatabaseSession, line: int) -> None:
            has_deleted.set()
            await may_commit.wait()

        monkeypatch.setattr(deletion, "raise_pruned_line", wait_before_commit)
        async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(seen.delete_range(keeps_external_ids=keeps_external_ids))
            await has_deleted.wait()
            new = [seen.build_new_instance(external_id=name) for name in ("order-6", "order-7")]
            creating = group.create_task(seen.store.instances.create(new, now=NOW))
            await asyncio.wait([creating], timeout=0.1)
            may_commit.set()

        other, created = creating.result()
        # MariaDB reads the row as it was before the deletion: the create counts as the earlier one of the two.
        came_first = created.id == old and not created.is_pruned
        assert came_first or (created.is_new, created.is_pruned) == (not keeps_external_ids, keeps_external_ids)
        assert (created.id == old) is (keeps_external_ids or came_first)
        assert await seen.read_ids() == sorted({other.id, created.id} - {old})
