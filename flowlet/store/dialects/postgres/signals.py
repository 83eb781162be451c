"""Other processes' commits to PostgreSQL, announced by NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from flowlet.store.dialects.postgres_listen import listen
from flowlet.store.dialects.signals import cancel_task

__all__ = ["PostgresSignals", "notify_groups"]


class PostgresSignals:
    """PostgreSQL's part for signals."""

    has_polling_watch = False
    has_commit_signal = True
    has_commit_listener = True

    async def notify(self, raw: Any, channel: str) -> None:
        """Send one NOTIFY, which arrives when the transaction commits."""
        await notify_groups(raw, (channel,))

    async def watch(
        self, url: str, channels: Sequence[str], on_change: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Listen on a connection of its own, and connect again when it is lost."""
        task = asyncio.create_task(listen(url, "flowlet", frozenset(channels).__contains__, on_change))

        return partial(cancel_task, task)

    async def send_commit_signal(self, raw: Any, name: str) -> None:
        """Send one NOTIFY. Its transaction writes nothing, so it waits for no disk."""
        await raw.execute(f"BEGIN; SET LOCAL synchronous_commit = off; NOTIFY flowlet_commits, '{name}'; COMMIT")

    async def listen_for_commits(
        self, url: str, name: str, on_commit: Callable[[], None]
    ) -> Callable[[], Awaitable[None]]:
        """Listen on a connection of its own."""
        task = asyncio.create_task(listen(url, "flowlet_commits", lambda sender: sender != name, on_commit))

        return partial(cancel_task, task)


async def notify_groups(raw: Any, groups: Collection[str]) -> None:
    """Send one NOTIFY for each executor group, in the order of their names."""
    for group in sorted(groups):
        await raw.execute("SELECT pg_notify('flowlet', $1)", group[:1000])
