"""Other processes' commits to PostgreSQL, announced by NOTIFY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowlet.store.dialects.postgres.listen import listen
from flowlet.store.dialects.postgres.qualifier import SchemaQualifier
from flowlet.store.dialects.postgres.statements import NOTIFY, NOTIFY_AT_ONCE, READ_CHANNEL, format_notifications
from flowlet.store.dialects.signals import ListenRequest

__all__ = ["PostgresSignals"]


class PostgresSignals:
    """PostgreSQL's part for signals.

    Args:
        process_name: The sender's name in notifications.
        qualifier: Names the schema of the tables; None where they are found by the search path.
    """

    needs_notifications = True

    def __init__(self, process_name: str, qualifier: SchemaQualifier | None = None) -> None:
        self._process_name = process_name
        self._read_channel = qualifier.qualify_sql(READ_CHANNEL) if qualifier else READ_CHANNEL

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications, which arrive when the transaction commits."""
        await raw.execute(NOTIFY, format_notifications(self._process_name, groups))

    async def notify_all(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications without a sender, which arrive when the transaction commits."""
        await raw.execute(NOTIFY, format_notifications("", groups))

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications in a transaction of their own, which writes nothing and so waits for no disk."""
        await raw.execute(NOTIFY_AT_ONCE, format_notifications(self._process_name, groups))

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Listen on a connection of its own."""
        await listen(listen_request, self._process_name, self._read_channel)
