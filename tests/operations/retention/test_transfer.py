"""Export and import: the same rows in each kind of database, again and again, and beside what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flowlet.errors import RefusedError, SettingsError
from flowlet.instance.instance import Status
from flowlet.operations.archive.transfer import ImportReport, export_file, import_file
from flowlet.operations.doctor import COUNTERS, examine_store
from flowlet.store.columns import list_names
from flowlet.store.opening import Store, open_store
from flowlet.store.retention.archive import ImportResult
from flowlet.store.tables import ACTION, MESSAGE, WORKFLOW
from tests.operations.operations_harness import OperationsHarness, open_operations
from tests.store.retention.retention_harness import RetentionHarness, open_retention_harness


async def read_rows(store: Store) -> list[list[dict[str, Any]]]:
    """Return every row of instances, histories and messages, by column; generated columns are left out."""
    found = []
    for table in (WORKFLOW, ACTION, MESSAGE):
        sql = f"SELECT {list_names(table.columns)} FROM {table} ORDER BY id"
        rows = await store.connections.read(lambda session, sql=sql: session.fetch_rows(sql))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        found.append([dict(zip(list_names(table.columns).split(", "), row, strict=True)) for row in rows])
    return found


async def export_to(store: Store, path: Path) -> Path:
    async for _ in export_file(store, path):
        pass
    return path


async def import_from(store: Store, path: Path, **options: bool) -> ImportReport:
    reports = [report async for report in import_file(store, path, username="root", **options)]
    return reports[-1]


@asynccontextmanager
async def open_family(url: str) -> AsyncIterator[OperationsHarness]:
    """Open a database with a parent whose child waits, and a cancelled order with odd values."""
    async with open_operations(url) as harness:
        await harness.create_family("Orders")
        single = await harness.operations.create("Orders", external_id="order-ä\U0001f600", vars={"amount": 7})
        await harness.operations.cancel(single.id, username="ada", reason="a line\nbreak")
        await RetentionHarness(harness.hands.store).add_message(single.id)
        yield harness


async def test_an_export_gives_the_same_rows_in_each_kind_of_database(
    sqlite_url: str, postgres_url: str, mariadb_url: str, tmp_path: Path
) -> None:
    async with open_family(sqlite_url) as harness:
        rows = await read_rows(harness.hands.store)
        path = await export_to(harness.hands.store, tmp_path / "sqlite.zst")
    for name, url in (("postgresql", postgres_url), ("mariadb", mariadb_url)):
        async with open_store(url) as store:
            report = await import_from(store, path, with_open=True)
            again = await import_from(store, path, with_open=True)

            assert await read_rows(store) == rows
            assert (report.counts, again.counts) == ({ImportResult.IMPORTED: 2}, {ImportResult.PRESENT: 2})
            assert COUNTERS not in {finding.rule for finding in await examine_store(store)}
            path = await export_to(store, tmp_path / f"{name}.zst")
            new = RetentionHarness(store).build_new_instance(external_id="new")
            assert (await store.instances.create([new], now=0))[0].id > max(row["id"] for row in rows[0])


async def test_ids_that_are_taken_change_and_another_instance_of_an_external_id_is_refused(
    database_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    async with open_retention_harness(f"{sqlite_url}.source") as source:
        root = await source.create_ended(external_id="root")
        await source.add_message(await source.create_child(root, root))
        await source.create_ended(external_id="order-7")
        path = await export_to(source.store, tmp_path / "export.zst")
    async with open_retention_harness(database_url) as seen:
        here = await seen.create_ended(Status.CANCELLED, external_id="order-7")

        report = await import_from(seen.store, path)
        again = await import_from(seen.store, path)

        assert report.counts == {ImportResult.RENUMBERED: 1, ImportResult.CONFLICT: 1}
        assert report.conflicts == ["order-7"]
        assert again.counts == {ImportResult.PRESENT: 1, ImportResult.CONFLICT: 1}
        imported = await seen.store.queries.get_by_external_id("root")
        (child,) = await seen.store.queries.list_children(imported.id)
        assert (child.root_id, imported.children) == (imported.id, 1)
        assert await seen.read_ids() == [here, imported.id, child.id]
        await seen.check_counts()


async def test_a_deleted_instance_can_be_restored_and_has_its_external_id_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with open_retention_harness(sqlite_url) as seen:
        id = await seen.create_ended(external_id="order-7")
        path = await export_to(seen.store, tmp_path / "export.zst")
        rows = await read_rows(seen.store)
        await seen.delete_range(keeps_external_ids=True)

        report = await import_from(seen.store, path)

        assert report.counts == {ImportResult.IMPORTED: 1}
        assert await read_rows(seen.store) == rows
        assert (await seen.store.queries.get_by_external_id("order-7")).id == id
        await seen.check_counts()


async def test_open_trees_and_files_that_were_cut_are_refused(sqlite_url: str, tmp_path: Path) -> None:
    async with open_family(sqlite_url) as harness:
        path = await export_to(harness.hands.store, tmp_path / "export.zst")
        cut = tmp_path / "cut.zst"
        cut.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(SettingsError, match="exists already"):
            await export_to(harness.hands.store, path)
    async with open_store(f"{sqlite_url}.other") as store:
        with pytest.raises(RefusedError, match="has not ended, and would run here too"):
            await import_from(store, path)
        with pytest.raises(SettingsError, match="is not complete|is damaged"):
            await import_from(store, cut, with_open=True)
        (tmp_path / "other.zst").write_bytes(b"no export")
        with pytest.raises(SettingsError, match="is no export"):
            await import_from(store, tmp_path / "other.zst")
