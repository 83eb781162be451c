"""How processes hear of each other's commits, where the databases differ."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

__all__ = ["SignalDialect", "cancel_task"]


class SignalDialect(Protocol):
    """How a commit reaches other processes."""

    has_polling_watch: bool
    """Whether ``watch`` wakes at intervals, not knowing whether anything has happened."""
    has_commit_signal: bool
    """Whether other processes hear of a commit only if ``send_commit_signal`` is called."""
    has_commit_listener: bool
    """Whether ``listen_for_commits`` hears of other processes' commits."""

    async def notify(self, raw: Any, channel: str) -> None:
        """Notify the other processes, when the transaction commits, that there is something to do."""
        ...

    async def watch(
        self, url: str, channels: Sequence[str], on_change: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Call ``on_change`` when another process has written; return what ends the watch."""
        ...

    async def send_commit_signal(self, raw: Any, name: str) -> None:
        """Notify the other processes that the one of this name, of letters and digits, has committed something."""
        ...

    async def listen_for_commits(
        self, url: str, name: str, on_commit: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Call ``on_commit`` when another process than the one of this name has committed; return what ends that."""
        ...


async def cancel_task(task: asyncio.Task[None]) -> None:
    """Cancel a task that runs for ever, and wait until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
