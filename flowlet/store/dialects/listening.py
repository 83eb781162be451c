"""What a database's listener is given: where to listen, what to call, and how often to look where it has to look."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from flowlet.store.commits import Commit

__all__ = ["ListenRequest"]


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """How one process listens to the commits of others.

    Attributes:
        url: The database's URL.
        on_commit: Called for each commit, or for several at once.
        read: Runs a statement on a connection of the pool, given the driver's own one.
        get_poll_seconds: Returns how often to look, on a database that has to be polled; infinity for not at all.
        poll_changed: Set when that has become oftener.
    """

    url: str
    on_commit: Callable[[Commit], None]
    read: Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
    get_poll_seconds: Callable[[], float]
    poll_changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_poll(self) -> None:
        """Return when it is time to look again, in real time."""
        self.poll_changed.clear()
        seconds = self.get_poll_seconds()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self.poll_changed.wait()
