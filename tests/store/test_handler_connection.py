"""Connections after a handler's own transaction: nothing that it has set, locked or opened reaches the next one."""

from __future__ import annotations

from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store

BACKEND_PID_SQL = "SELECT pg_backend_pid()"


async def test_what_a_transaction_has_set_and_locked_ends_with_it(postgres_url: str) -> None:
    async with open_store(postgres_url) as store:
        async with store.connections.transaction() as session:
            backend = await session.fetch_rows(BACKEND_PID_SQL)
            await session.execute("SET lock_timeout = '77s'")
            await session.fetch_rows("SELECT CAST(pg_advisory_lock(7) AS text)")

        found = await store.connections.read(read_session_state)

    assert found == [backend, [("0",)], [(0,)]]


async def read_session_state(session: DatabaseSession) -> list[list[tuple[object, ...]]]:
    """Return which connection this is, the setting, and how many such locks there are."""
    locks = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'"
    return [await session.fetch_rows(sql) for sql in (BACKEND_PID_SQL, "SHOW lock_timeout", locks)]


async def test_a_connection_that_cannot_be_restored_is_dropped_and_the_commit_stays(postgres_url: str) -> None:
    async with open_store(postgres_url) as store:
        await store.connections.write(lambda session: session.execute("CREATE TABLE note (text text)"))

        async with store.connections.transaction() as session:
            backend = await session.fetch_rows(BACKEND_PID_SQL)
            await session.execute("INSERT INTO note VALUES ('kept')")
            restore = store.connections.dialect.connections.reset_connection

            async def raise_driver_error(raw: object) -> None:
                raise OSError("connection reset by peer")

            store.connections.dialect.connections.reset_connection = raise_driver_error  # type: ignore[method-assign]  # once
        store.connections.dialect.connections.reset_connection = restore  # type: ignore[method-assign]  # as before

        assert await store.connections.read(lambda one: one.fetch_rows("SELECT text FROM note")) == [("kept",)]
        assert await store.connections.read(lambda one: one.fetch_rows(BACKEND_PID_SQL)) != backend
