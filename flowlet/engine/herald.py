"""Word between the processes of a database: something has been committed, have a look. What it was, the store tells."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import uuid
from collections.abc import Awaitable, Callable

from flowlet.clock import Clock
from flowlet.store.opening import Store

__all__ = ["Herald"]

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.05
"""Between two tellings; as long as there is always something to tell the pauses double, and a busy process tells twenty
times a second."""

logger = logging.getLogger(__name__)


class Herald:
    """Tells the other processes that this one has committed something, and hears it from them.

    Word may get lost, as when the connection does: whoever relies on it looks now and then as well. On MariaDB and
    MySQL nobody can be told. On SQLite a process cannot tell its own commits from others', and hears of them too.

    Args:
        store: The database.
        clock: By which it pauses.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._connections = store.connections
        self._dialect = store.connections.dialect
        self._clock = clock
        self._name = uuid.uuid4().hex
        self._is_due = False
        self._telling: asyncio.Task[None] | None = None
        self._end_hearing: Callable[[], Awaitable[None]] | None = None

    @property
    def hears(self) -> bool:
        """Whether others can be heard on this database."""
        return self._dialect.hears

    def tell(self) -> None:
        """Tell the others, at once if they have not been told just now."""
        self._is_due = self._dialect.announces
        if self._is_due and self._telling is None:
            self._telling = asyncio.create_task(self._tell(), context=contextvars.Context())

    async def hear(self, heard: Callable[[], None]) -> None:
        """Call a function whenever another process tells of a commit, until closed. Called again it does nothing."""
        if self._end_hearing is not None:
            return
        try:
            self._end_hearing = await self._dialect.hear(self._connections.url, self._name, heard)
        except Exception as error:  # noqa: BLE001 - whatever it is, looking finds the same, a little later
            logger.warning("cannot hear of what other processes commit, looking now and then: %s", error)

    async def close(self) -> None:
        """Tell and hear nothing any more."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling
        if self._end_hearing is not None:
            await self._end_hearing()

    async def _tell(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        try:
            while self._is_due:
                self._is_due = False
                try:
                    await self._connections.read(lambda session: self._dialect.announce(session.raw, self._name))
                except Exception as error:  # noqa: BLE001 - as above
                    logger.debug("cannot tell other processes of a commit: %s", error)
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._telling = None
