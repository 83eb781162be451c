"""The table of messages."""

from __future__ import annotations

from flowlet.store.columns import Column, ColumnType, Index, Table

__all__ = ["IS_EXPIRING", "MESSAGE"]

IS_EXPIRING = "expires IS NOT NULL AND consumed IS NULL"

MESSAGE = Table(
    "flowlet_message",
    (
        Column("id", ColumnType.IDENTITY, ""),
        Column("workflow_id", ColumnType.BIG),
        Column("name", ColumnType.NAME),
        Column("message_key", ColumnType.KEY, field="key"),
        Column("body", ColumnType.TEXT, field="body_json"),
        Column("sender", ColumnType.NAME, ""),
        Column("definition_version", ColumnType.INTEGER, ""),
        Column("sent", ColumnType.BIG, field="sent_us"),
        Column("expires", ColumnType.BIG, "", field="expires_us"),
        Column("consumed", ColumnType.BIG, "", field="consumed_us"),
    ),
    indexes=(
        Index("flowlet_message_key", ("workflow_id", "name", "message_key"), is_unique=True),
        # The unread ones of an instance that has read many are one range, the oldest first.
        Index("flowlet_message_unread", ("workflow_id", "consumed")),
        Index("flowlet_message_expires", ("expires",), IS_EXPIRING),
    ),
)
"""The messages that were sent to instances; one is unread until it is consumed."""
