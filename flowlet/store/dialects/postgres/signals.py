"""Other processes' commits to PostgreSQL, announced by NOTIFY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowlet.store.dialects.postgres.listen import listen
from flowlet.store.dialects.postgres.statements import NOTIFY, NOTIFY_AT_ONCE, format_notification
from flowlet.store.dialects.signals import ListenRequest

__all__ = ["PostgresSignals"]


class PostgresSignals:
    """PostgreSQL's part for signals.

    Args:
        process_name: The sender's name in notifications.
    """

    needs_notifications = True

    def __init__(self, process_name: str) -> None:
        self._process_name = process_name

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications, which arrive when the transaction commits."""
        await raw.execute(NOTIFY, self._format_notifications(groups))

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications in a transaction of their own, which writes nothing and so waits for no disk."""
        await raw.execute(NOTIFY_AT_ONCE, self._format_notifications(groups))

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Listen on a connection of its own."""
        await listen(listen_request, self._process_name)

    def _format_notifications(self, groups: Iterable[str]) -> list[str]:
        return [format_notification(self._process_name, group) for group in sorted(groups) or ("",)]
