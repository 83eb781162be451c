"""How processes hear of each other's commits, where the databases differ."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowlet.store.commits import Commit

__all__ = ["ListenRequest", "SignalDialect"]


@dataclass(frozen=True, slots=True)
class ListenRequest:
    """How one process listens to the commits of others.

    Attributes:
        url: The database's URL.
        on_commit: Called for each commit, or for several at once.
        on_poll: Called after each poll, on a database that has to be polled, with whether there was a commit, and
            whether one has created an instance that waits for a claim.
        read: Runs a statement on a connection of the pool, given the driver's own one.
        read_on_writer: Runs a statement on the only connection that writes, where there is one.
        own_executor_ids: The executors of this process, whose commits are known here.
        get_poll_seconds: Returns how often to poll, on a database that has to be polled; infinity for not at all.
        poll_changed: Set when the database is to be polled at once, and more often.
    """

    url: str
    on_commit: Callable[[Commit], None]
    on_poll: Callable[[bool, bool], None]
    read: Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
    read_on_writer: Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
    get_poll_seconds: Callable[[], float]
    own_executor_ids: Collection[str]
    poll_changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_poll(self, *, at_most: float = math.inf) -> None:
        """Return when it is time to poll again, in real time: after so many seconds at most, with a subscriber."""
        self.poll_changed.clear()
        seconds = self.get_poll_seconds()
        if seconds < math.inf:
            seconds = min(seconds, at_most)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                await self.poll_changed.wait()


class SignalDialect(Protocol):
    """How a commit reaches other processes."""

    needs_notifications: bool
    """Whether other processes hear of a commit only if this one notifies them."""

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Let the caller's transaction notify the other processes, when it commits, of work that became due."""
        ...

    async def notify_all(self, raw: Any, groups: Iterable[str]) -> None:
        """Let the caller's transaction notify every process, this one too, which does not know when it commits."""
        ...

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Notify the other processes at once of what has been committed; ``groups`` are those with work due, if any."""
        ...

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Call ``on_commit`` (or ``on_poll``) at each commit of other processes until cancelled, and once at first.

        Return, or raise the driver's error, when the connection is lost.
        """
        ...
