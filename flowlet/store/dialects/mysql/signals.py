"""Other processes' commits to MariaDB and MySQL: unknown, so that processes poll."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from flowlet.store.dialects.signals import cancel_task

__all__ = ["MySQLSignals"]

POLL_SECONDS = 0.2


class MySQLSignals:
    """The part of MariaDB and MySQL for signals."""

    has_polling_watch = True
    has_commit_signal = False
    has_commit_listener = False

    async def notify(self, raw: Any, channel: str) -> None:
        """Do nothing: other processes poll."""

    async def watch(
        self, url: str, channels: Sequence[str], on_change: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Wake five times a second; each time costs about a millisecond."""
        task = asyncio.create_task(_poll_forever(on_change))

        return partial(cancel_task, task)

    async def send_commit_signal(self, raw: Any, name: str) -> None:
        """Do nothing: other processes poll."""

    async def listen_for_commits(
        self, url: str, name: str, on_commit: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Hear nothing."""

        async def end() -> None:
            """Do nothing."""

        return end


async def _poll_forever(on_change: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)  # noqa: TID251 - a poll, in real time
        on_change()
