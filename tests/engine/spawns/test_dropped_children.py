"""What becomes of children that are still to be made when their parent is cancelled, ends, or is to be deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.archive import transfer
from flowlet.operations.archive.transfer import export_file, import_file
from flowlet.operations.doctor import examine_store
from flowlet.operations.forgetting import forget_key
from flowlet.store.opening import open_store
from flowlet.store.retention.deletion import delete_parts
from flowlet.store.retention.ended_trees import EndedRoot, EndedTree, TreePart, read_ended_trees
from tests.engine.spawns.spawn_modules import LARGE, PART, SpawnHarness, build_fan_module, open_spawns

HOUR = 3_600_000_000


async def make_all(spawned: SpawnHarness) -> None:
    while await spawned.make_part():
        pass


async def test_a_cancelled_parent_drops_what_is_not_made_and_keeps_what_is(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        await spawned.make_part()

        cancelled = await spawned.operations.cancel(spawned.id, username="ada")
        await make_all(spawned)

        assert (cancelled.children, cancelled.open_children) == (PART, PART)
        assert await spawned.read_counts() == (PART, PART, PART, 0)
        (line,) = await spawned.hands.read_history(spawned.id, ActionKind.LOG)
        assert line.text == f"{LARGE - PART} children that had not been made yet were dropped."
        assert await examine_store(spawned.hands.store) == []


async def test_a_cancel_with_children_leaves_nothing_open(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        await spawned.make_part()

        cancelled = await spawned.operations.cancel(spawned.id, username="ada", with_children=True)
        await make_all(spawned)

        assert (cancelled.children, cancelled.open_children) == (PART, 0)
        assert await spawned.read_counts() == (PART, 0, PART, 0)
        assert {one.status for one in await spawned.hands.store.queries.list_children(spawned.id)} == {Status.CANCELLED}


async def test_a_parent_that_has_ended_has_its_children_made(database_url: str) -> None:
    async with open_spawns(database_url, build_fan_module(waits=False)) as spawned:
        assert (await spawned.hands.get_instance(spawned.id)).status is Status.FINISHED

        await make_all(spawned)

        assert await spawned.read_counts() == (LARGE, LARGE, LARGE, 0)


async def test_the_unmade_children_of_an_ended_parent_can_be_cancelled(database_url: str) -> None:
    async with open_spawns(database_url, build_fan_module(waits=False)) as spawned:
        await spawned.make_part()

        await spawned.operations.cancel(spawned.id, username="ada", with_children=True)

        assert await spawned.read_counts() == (PART, 0, PART, 0)
        assert (await spawned.hands.get_instance(spawned.id)).status is Status.FINISHED


async def test_a_moved_a_paused_and_a_failed_parent_have_their_children_made(database_url: str) -> None:
    async with open_spawns(database_url) as spawned:
        await spawned.operations.pause(spawned.id, username="ada")
        await spawned.make_part()
        await spawned.operations.move(spawned.id, "begin", username="ada", force=True, reason="again")
        await spawned.make_part()
        await spawned.hands.execute_sql(
            "UPDATE flowlet_workflow SET status = 'FAILED' WHERE id = :id", {"id": spawned.id}
        )

        await make_all(spawned)

        assert await spawned.read_counts() == (LARGE, LARGE, LARGE, 0)


async def test_a_tree_with_unmade_children_is_neither_deleted_nor_forgotten(database_url: str) -> None:
    async with open_spawns(database_url, build_fan_module(waits=False)) as spawned:
        connections = spawned.hands.store.connections
        spawned.hands.clock.advance(HOUR)
        now = spawned.hands.clock.now()

        (tree,) = await read_ended_trees(connections, [EndedRoot(spawned.id, 0, LARGE)], before=now)
        part = TreePart(spawned.id, now, (spawned.id,))
        deleted = await delete_parts(connections, [part], now=now, keeps_external_ids=False)

        assert (tree.is_open, deleted.instances, deleted.left_parts) == (True, 0, 1)
        with pytest.raises(RefusedError, match="have not ended, or have children that have not"):
            await forget_key(spawned.hands.store, "fan", username="ada")
        assert await spawned.count_unmade() == LARGE


async def test_an_export_waits_for_children_that_are_made_while_it_reads(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_spawns(database_url) as spawned:

        async def read_and_make(*arguments: Any, **options: Any) -> list[EndedTree]:
            found = await read_ended_trees(*arguments, **options)
            await spawned.make_part()
            return found

        monkeypatch.setattr(transfer, "read_ended_trees", read_and_make)
        rows = await transfer.export_tree(spawned.hands.store, await spawned.hands.get_instance(spawned.id))

        assert (len(rows.instances), rows.count_missing(), rows.people["flowlet_spawn"]) == (LARGE + 1, 0, [])


async def test_an_export_of_a_tree_whose_children_are_never_complete_is_refused_and_leaves_no_file(
    database_url: str, tmp_path: Path
) -> None:
    async with open_spawns(database_url) as spawned:
        await spawned.hands.execute_sql("DELETE FROM flowlet_spawn WHERE part = 0")

        with pytest.raises(RefusedError, match="100 children of 'fan' were created while it was read"):
            async for _ in export_file(spawned.hands.store, path := tmp_path / "export.zst"):
                pass

        assert not path.exists()


async def test_unmade_children_are_exported_and_made_where_they_are_imported(
    database_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    async with open_spawns(f"{sqlite_url}.source") as spawned:
        await spawned.make_part()
        async for _ in export_file(spawned.hands.store, path := tmp_path / "export.zst"):
            pass
    async with open_store(database_url) as store:
        with pytest.raises(RefusedError, match="has not ended"):
            async for _ in import_file(store, path, username="root"):
                pass
        async for _ in import_file(store, path, username="root", with_open=True):
            pass
        parent = await store.queries.get_by_external_id("fan")
        hands = SpawnHarness(spawned.hands, parent.id)
        hands.hands.store = store

        await make_all(hands)

        assert await hands.read_counts() == (LARGE, LARGE, LARGE, 0)
        assert {one.root_id for one in await store.queries.list_children(parent.id)} == {parent.id}
