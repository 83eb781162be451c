"""The report of the database."""

from __future__ import annotations

from flowlet.store.migrations import MIGRATIONS
from flowlet.store.opening import open_store
from flowlet.store.reports.system import read_database


async def test_a_database_tells_its_kind_its_version_and_its_tables(empty_database_url: str) -> None:
    async with open_store(empty_database_url) as store:
        found = await read_database(store.connections)
        now = store.clock.now()

    kinds = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
    assert found.kind == kinds[empty_database_url.partition(":")[0]]
    assert found.version[0].isdigit()
    assert found.migration == MIGRATIONS[-1].number
    assert 0 <= now - found.migrated < 600_000_000
