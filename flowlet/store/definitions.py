"""The definitions as executors served them: the doctor checks histories by them, and the API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from flowlet.definition.definition import Definition
from flowlet.instance.json_text import parse_json, write_json
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import DEFINITION

__all__ = ["DefinitionStore", "StoredDefinition", "save_concurrently"]

MAX_SAVE_ATTEMPTS = 10
"""How often a save can lose against others: each of these has then stored something for good."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    """A definition as an executor served it.

    Attributes:
        created: When an executor first served it in this shape, in microseconds since 1970 UTC.
        document: The result of ``Definition.to_json``.
    """

    name: str
    version: int
    created: int
    document: dict[str, Any]


_READER = RowReader(StoredDefinition, {"": DEFINITION})


class DefinitionStore:
    """The table of definitions. A version whose shape changed is kept in each of its shapes."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def save_definitions(self, definitions: Iterable[Definition], *, now: int) -> list[str]:
        """Store the definitions that are new, and return the names of those whose version is stored in another shape.

        One transaction, repeated if another executor stores the same definitions at the same time.
        """

        async def insert_new(session: DatabaseSession) -> list[str]:
            reshaped = []
            for definition in sorted(definitions, key=lambda definition: definition.name):
                text = write_json(definition.to_json(), is_sorted=True)
                digest = hashlib.sha256(text.encode()).hexdigest()
                sql = f"SELECT digest FROM {DEFINITION} WHERE name = :name AND version = :version"
                known = await session.fetch_rows(sql, {"name": definition.name, "version": definition.version})
                if (digest,) in known:
                    continue
                if known:
                    reshaped.append(definition.name)
                row = (definition.name, definition.version, digest, text, now)
                await session.insert_many(DEFINITION, DEFINITION.columns, [row])
            return reshaped

        return await save_concurrently(self._connections, insert_new)

    async def has_definition(self, name: str) -> bool:
        """Return whether an executor has ever served a workflow of this name."""
        sql = f"SELECT COUNT(*) FROM {DEFINITION} WHERE name = :name"
        ((count,),) = await self._connections.read(lambda session: session.fetch_rows(sql, {"name": name}))
        return bool(count)

    async def read_save_times(self) -> dict[str, tuple[int, int]]:
        """Return when each definition was first stored, and when in its newest shape, in microseconds since 1970."""
        sql = f"SELECT name, MIN(created), MAX(created) FROM {DEFINITION} GROUP BY name"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql))
        return {name: (first, newest) for name, first, newest in rows}

    async def read_documents(self) -> dict[tuple[str, int], list[dict[str, Any]]]:
        """Return every stored shape by name and version, the oldest first."""
        sql = f"SELECT name, version, definition FROM {DEFINITION} ORDER BY name, version, created"
        shapes: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for name, version, text in await self._connections.read(lambda session: session.fetch_rows(sql)):
            shapes.setdefault((name, version), []).append(parse_json(text))
        return shapes

    async def read_history(self, name: str, *, limit: int) -> list[StoredDefinition]:
        """Return the stored shapes of a definition, the newest first."""
        sql = (
            f"SELECT {_READER.select_list} FROM {DEFINITION} WHERE name = :name "
            "ORDER BY created DESC, version DESC LIMIT :limit"
        )
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {"name": name, "limit": limit}))
        return _READER.parse_all(rows)

    async def read_newest(self) -> dict[str, StoredDefinition]:
        """Return the newest shape of each definition, by name."""
        sql = (
            f"SELECT {_READER.select_list} FROM {DEFINITION} one WHERE created = "
            f"(SELECT MAX(created) FROM {DEFINITION} other WHERE other.name = one.name) ORDER BY name, version"
        )
        rows = await self._connections.read(lambda session: session.fetch_rows(sql))
        return {stored.name: stored for stored in _READER.parse_all(rows)}


async def save_concurrently(connections: Connections, save: Callable[[DatabaseSession], Awaitable[T]]) -> T:
    """Store what another process may store at the same moment: one transaction, repeated while that refuses it.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    for _ in range(MAX_SAVE_ATTEMPTS - 1):
        try:
            return await connections.write(save)
        except Exception as error:
            if not connections.dialect.errors.is_refusal(error):
                raise
    return await connections.write(save)
