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

__all__ = ["CommitSignal"]

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.002, 0.05
"""Between two tellings; as long as there is always something to tell the pauses double, and a busy process tells twenty
times a second."""

logger = logging.getLogger(__name__)


class CommitSignal:
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
        self._send_task: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], Awaitable[None]] | None = None

    @property
    def has_listener(self) -> bool:
        """Whether others can be heard on this database."""
        return self._dialect.signals.has_commit_listener

    def send(self) -> None:
        """Tell the others, at once if they have not been told just now."""
        self._is_due = self._dialect.signals.has_commit_signal
        if self._is_due and self._send_task is None:
            self._send_task = asyncio.create_task(self._send_while_due(), context=contextvars.Context())

    async def listen(self, on_commit: Callable[[], None]) -> None:
        """Call a function whenever another process tells of a commit, until closed. Called again it does nothing."""
        if self._stop_listening is not None:
            return
        try:
            self._stop_listening = await self._dialect.signals.listen_for_commits(
                self._connections.url, self._name, on_commit
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, looking finds the same, a little later
            logger.warning("cannot hear of what other processes commit, looking now and then: %s", error)

    async def close(self) -> None:
        """Tell and hear nothing any more."""
        if self._send_task is not None:
            self._send_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._send_task
        if self._stop_listening is not None:
            await self._stop_listening()

    async def _send_while_due(self) -> None:
        pause = MIN_PAUSE_SECONDS
        try:
            while self._is_due:
                self._is_due = False
                try:
                    await self._connections.read(
                        lambda session: self._dialect.signals.send_commit_signal(session.raw, self._name)
                    )
                except Exception as error:  # noqa: BLE001 - as above
                    logger.debug("cannot tell other processes of a commit: %s", error)
                await self._clock.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
        finally:
            self._send_task = None
