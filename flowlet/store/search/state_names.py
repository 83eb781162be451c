"""The names of states as a process knows them: by its loaded definitions, and by those that executors have stored."""

from __future__ import annotations

from typing import Any, Protocol

from flowlet.definition.definition import Definition
from flowlet.definition.versions.state_names import StateNames
from flowlet.store.connection import Connections
from flowlet.store.definitions import DefinitionStore
from flowlet.store.tables import DEFINITION

__all__ = ["LoadedDefinitions", "StateNameStore"]

_NO_DEFINITION = (0, 0)


class LoadedDefinitions(Protocol):
    """The loaded definitions of a process: a ``Registry``."""

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """All of them."""
        ...


class StateNameStore:
    """Reads the names of states.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loaded: LoadedDefinitions | None = None
        self._mark = _NO_DEFINITION
        self._stored: dict[str, tuple[int, dict[str, str]]] = {}

    def use_loaded(self, loaded: LoadedDefinitions) -> None:
        """Take the names of loaded definitions too, those that are loaded later included."""
        self._loaded = loaded

    async def read(self) -> StateNames:
        """Return the names of all states. Of each workflow the highest version decides, and the loaded one if equal.

        The stored definitions are read only if there are new ones since the last time.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        mark = await self._read_mark()
        if mark != self._mark:
            # Read after the mark: a definition that is stored in between is read again.
            documents = await DefinitionStore(self._connections).read_documents()
            for (type, version), shapes in documents.items():  # by version: the highest comes last
                self._stored[type] = version, _list_present_names(shapes[-1])
            self._mark = mark
        known = dict(self._stored)
        for definition in self._loaded.definitions if self._loaded else ():
            if definition.version >= known.get(definition.name, (0, {}))[0]:
                known[definition.name] = definition.version, dict(definition.present_names)
        return StateNames({type: renames for type, (_, renames) in known.items()})

    async def _read_mark(self) -> tuple[int, int]:
        """Return what differs after each new definition: none is ever changed or removed."""
        sql = f"SELECT COUNT(*), MAX(created) FROM {DEFINITION}"
        ((count, newest),) = await self._connections.read(lambda session: session.fetch_rows(sql))
        return int(count), int(newest or 0)


def _list_present_names(document: dict[str, Any]) -> dict[str, str]:
    return {former: state["name"] for state in document["states"] for former in state["renamedFrom"]}
