"""The database of a process: its product, its version, and its last migration."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import SCHEMA_VERSION

__all__ = ["Database", "read_database"]


@dataclass(frozen=True, slots=True)
class Database:
    """A database.

    Attributes:
        kind: The product, such as "PostgreSQL".
        version: The version that the server reports.
        migration: The number of the last migration.
        migrated: When it was applied, in microseconds since 1970 UTC.
    """

    kind: str
    version: str
    migration: int
    migrated: int


async def read_database(connections: Connections) -> Database:
    """Return the database's description.

    Raises:
        StoreUnavailableError: If it is unavailable.
    """

    async def read_in_session(session: DatabaseSession) -> Database:
        dialect = session.dialect.connections
        ((version,),) = await session.fetch_rows(dialect.version_sql)
        ((migration, migrated),) = await session.fetch_rows(
            f"SELECT MAX(migration), MAX(applied) FROM {SCHEMA_VERSION}"
        )
        return Database(dialect.name_product(str(version)), str(version), int(migration), int(migrated))

    return await connections.read(read_in_session)
