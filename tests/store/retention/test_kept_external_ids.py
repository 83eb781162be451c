"""On PostgreSQL a create looks for kept external ids in statements of its own, once there are any."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowlet.errors import RowsLockedError
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.batch import CreatedRow
from flowlet.store.retention.external_ids import delete_expired_external_ids
from tests.store.retention.retention_harness import RetentionHarness, open_retention_harness
from tests.store.store_harness import NOW

TIMEOUT_SECONDS = 20
COUNT_BLOCKED = """
SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


async def create(seen: RetentionHarness, *external_ids: str) -> tuple[list[CreatedRow], int]:
    """Create instances; return what became of them, and how many statements it took."""
    new = [seen.build_new_instance(external_id=name) for name in external_ids]
    statements: list[Any] = []

    async def create_and_count(session: DatabaseSession) -> list[CreatedRow]:
        session.raw.add_query_logger(statements.append)
        try:
            return await session.dialect.writes.create(session.raw, new, NOW)
        finally:
            session.raw.remove_query_logger(statements.append)

    return await seen.store.connections.run_on_engine(create_and_count), len(statements)


async def test_a_create_is_one_statement_until_an_external_id_is_kept(postgres_url: str) -> None:
    async with open_retention_harness(postgres_url) as seen:
        await seen.create_ended(external_id="order-7")
        alone, alone_statements = await create(seen, "order-1", "order-2")
        known, known_statements = await create(seen, "order-1", "order-3")
        await seen.delete_range(keeps_external_ids=True)

        kept, _ = await create(seen, "order-7", "order-8")
        _, beside_statements = await create(seen, "order-9")

        assert ([row.is_new for row in alone], alone_statements) == ([True, True], 1)
        assert ([row.is_new for row in known], known_statements) == ([False, True], 2)
        assert [(row.is_new, row.is_pruned) for row in kept] == [(False, True), (True, False)]
        assert beside_statements == 4  # BEGIN, the insert, the look at what is kept, COMMIT


async def test_the_first_deletion_that_keeps_waits_for_creates_that_have_found_nothing_kept(postgres_url: str) -> None:
    async with open_retention_harness(postgres_url) as seen, asyncio.timeout(TIMEOUT_SECONDS):
        old = await seen.create_ended(external_id="order-7")
        async with asyncio.TaskGroup() as group, seen.store.connections.transaction() as session:
            await session.dialect.writes.create(
                session.raw, [seen.build_new_instance(external_id="order-6")], NOW, in_transaction=True
            )
            creating = group.create_task(create(seen, "order-6", "order-7"))
            await wait_for_blocked(seen, 1)
            deleting = group.create_task(seen.delete_range(keeps_external_ids=True))
            await wait_for_blocked(seen, 2, deleting)

        (_, seventh), _ = creating.result()
        assert deleting.result().instances == 1
        assert (seventh.id, seventh.is_new) == (old, False)


async def test_creates_go_on_while_a_deletion_cannot_keep_its_first_external_id(postgres_url: str) -> None:
    async with open_retention_harness(postgres_url) as seen, asyncio.timeout(TIMEOUT_SECONDS):
        id = await seen.create_ended(external_id="order-7")
        async with seen.store.connections.transaction() as session:  # as a backup does, or a caller's own transaction
            await session.fetch_rows("SELECT COUNT(*) FROM flowlet_external_id")
            creating = asyncio.create_task(create(seen, "order-8"))
            with pytest.raises(RowsLockedError, match="other transactions have read"):
                await seen.delete_range(keeps_external_ids=True)
            created, _ = await creating
            after, statements = await create(seen, "order-9")

        assert ([row.is_new for row in created + after], statements) == ([True, True], 1)
        assert id in await seen.read_ids()
        assert (await seen.delete_range(keeps_external_ids=True)).instances == 1


async def test_an_external_id_does_not_expire_while_a_deletion_relies_on_it(postgres_url: str) -> None:
    async with open_retention_harness(postgres_url) as seen:
        await seen.create_ended(external_id="order-7")
        await seen.delete_range(keeps_external_ids=True)
        async with seen.store.connections.transaction() as session:
            await session.dialect.writes.announce_kept_external_ids(session.raw)
            expired_meanwhile = await delete_expired_external_ids(seen.store.connections, before=NOW + 1)

        assert expired_meanwhile == 0
        assert await delete_expired_external_ids(seen.store.connections, before=NOW + 1) == 1


async def wait_for_blocked(seen: RetentionHarness, count: int, task: asyncio.Task[Any] | None = None) -> None:
    """Wait until so many statements of the database wait for a lock, or until the task is done."""
    while not (task and task.done()):
        rows = await seen.store.connections.read(lambda session: session.fetch_rows(COUNT_BLOCKED))
        if rows[0][0] >= count:
            return
