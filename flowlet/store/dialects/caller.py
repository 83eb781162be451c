"""What differs between the databases in connections that an application has opened with a library of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flowlet.shutdown import run_to_end

__all__ = ["CallerDialect", "call_in_thread", "is_of_library"]


class CallerDialect(Protocol):
    """How statements of Flowlet run inside a transaction of the application."""

    drivers: str
    """The libraries whose connections can be adopted, for people."""

    def adopt(self, connection: Any) -> Any | None:
        """Return a driver's connection as a raw connection of this dialect; None if it is of another library."""
        ...

    async def has_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open, or the driver opens one with the next statement."""
        ...

    async def begin_transaction(self, raw: Any) -> None:
        """Open the transaction that the driver would open later; nothing if one is open."""
        ...

    async def fetch(self, raw: Any, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement with ``:named`` values, and return its rows."""
        ...


def is_of_library(connection: Any, library: str) -> bool:
    """Return whether a connection's class, or one that it derives from, is of a library; nothing is imported."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(connection).__mro__)


async def call_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a synchronous driver in a thread, to its end also if the caller is cancelled."""
    return await run_to_end(asyncio.to_thread(function, *arguments))
