"""The table of messages: reading, listing, and deleting those whose time is over. One method is one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, Status
from flowlet.instance.message import Message, ReceivedNames
from flowlet.store.changes import apply_changes, build_select
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.messages.table import IS_EXPIRING, MESSAGE
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import WORKFLOW

__all__ = ["MAX_EXPIRED_MESSAGES", "MESSAGE_READER", "MessageStore"]

MAX_EXPIRED_MESSAGES = 200
"""How many messages one transaction deletes."""

MESSAGE_READER = RowReader(Message, {"": MESSAGE})
_SELECT = f"SELECT {MESSAGE_READER.select_list} FROM {MESSAGE}"
# Not those of an instance that is executing, which may be about to consume one, nor the one that an instance keeps for
# its next attempt.
_FIND_EXPIRED = f"""
SELECT m.id, m.workflow_id FROM {MESSAGE} m JOIN {WORKFLOW} w ON w.id = m.workflow_id
WHERE {IS_EXPIRING.replace("expires", "m.expires").replace("consumed", "m.consumed")} AND m.expires <= :now
    AND w.status <> 'EXECUTING' AND (w.message_id IS NULL OR w.message_id <> m.id)
ORDER BY m.expires LIMIT {MAX_EXPIRED_MESSAGES}
"""


class MessageStore:
    """The messages that were sent to instances.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def read_next(
        self, workflow_id: int, names: ReceivedNames, message_id: int | None, *, now: int
    ) -> Message | None:
        """Return the unread message that an activation receives; None for none.

        It may have a name that this version of the workflow does not know: then a higher version has to run the
        instance.

        Args:
            workflow_id: The instance.
            names: The names of the messages that its state receives, and those that its workflow knows.
            message_id: The message with which former attempts have failed, whatever its name; None for the oldest one.
            now: The store's time, in microseconds since 1970 UTC: messages whose time is over are left out.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        unread = f"{_SELECT} WHERE workflow_id = :workflow_id AND consumed IS NULL"
        if message_id is not None:
            found = await self._read(f"{unread} AND id = :id", {"workflow_id": workflow_id, "id": message_id})
            if found:
                return found[0]
        awaited, values = build_in_list("name", names.awaited)
        known, known_values = build_in_list("known", names.known)
        is_received = f"(name IN ({awaited}) OR (definition_version > :version AND name NOT IN ({known})))"
        sql = f"{unread} AND {is_received} AND (expires IS NULL OR expires > :now) ORDER BY id LIMIT 1"
        binds = {"workflow_id": workflow_id, "now": now, "version": names.version, **values, **known_values}
        found = await self._read(sql, binds)
        return found[0] if found else None

    async def list_unread(self, workflow_id: int, *, limit: int) -> list[Message]:
        """Return the unread messages of an instance, the oldest first."""
        sql = f"{_SELECT} WHERE workflow_id = :id AND consumed IS NULL ORDER BY id LIMIT :limit"
        return await self._read(sql, {"id": workflow_id, "limit": limit})

    async def list_consumed(self, workflow_id: int, *, limit: int) -> list[Message]:
        """Return the messages that an instance has consumed, those that it consumed last first."""
        sql = f"{_SELECT} WHERE workflow_id = :id AND consumed IS NOT NULL ORDER BY consumed DESC, id DESC LIMIT :limit"
        return await self._read(sql, {"id": workflow_id, "limit": limit})

    async def delete_expired(self, *, now: int) -> int:
        """Delete unread messages whose time is over, at most ``MAX_EXPIRED_MESSAGES``, and return how many.

        Each one is a line in the history of its instance. Instances that are executing have their turn later.

        Args:
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        if not await self._connections.read(lambda session: session.fetch_rows(_FIND_EXPIRED, {"now": now})):
            return 0

        async def delete(session: DatabaseSession) -> int:
            found = await session.fetch_rows(_FIND_EXPIRED, {"now": now})
            ids: dict[int, set[int]] = defaultdict(set)
            for message_id, workflow_id in found:
                ids[workflow_id].add(message_id)
            changes = [await _expire(session, one, ids[one.id], now) for one in await _lock(session, ids)]
            done = [change for change in changes if change is not None]
            await apply_changes(session, done, now=now)
            return sum(change.before.unread - change.after.unread for change in done)

        return await self._connections.write(delete)

    async def _read(self, sql: str, values: Mapping[str, object]) -> list[Message]:
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, dict(values)))
        return MESSAGE_READER.parse_all(rows)


async def _lock(session: DatabaseSession, ids: Mapping[int, object]) -> list[Instance]:
    binds, values = build_in_list("id", list(ids))
    sql = build_select(f"id IN ({binds}) ORDER BY id", lock=session.dialect.expressions.skip_locked_sql)
    return INSTANCE_READER.parse_all(await session.fetch_rows(sql, values))


async def _expire(session: DatabaseSession, instance: Instance, ids: set[int], now: int) -> Change | None:
    """Delete messages of an instance whose row is locked, and return its change; None if it is not their time yet."""
    ids = ids - {instance.message_id}
    if instance.status is Status.EXECUTING or not ids:
        return None
    binds, values = build_in_list("message", sorted(ids))
    still_unread = f"{MESSAGE} WHERE id IN ({binds}) AND consumed IS NULL"
    expired = await session.fetch_rows(f"SELECT name FROM {still_unread} ORDER BY id", values)
    await session.execute(f"DELETE FROM {still_unread}", values)
    after = replace(
        instance,
        unread=instance.unread - len(expired),
        # What was not known before may be among them: then the instance looks once more than it needs to.
        unread_seen=max(instance.unread_seen - len(expired), 0),
        modified_us=now,
    )
    version = instance.definition_version
    lines = [
        Action(ActionKind.EXPIRED, now, from_state=instance.state, text=f"message {name!r}", version=version)
        for (name,) in expired
    ]
    return Change(instance, after, tuple(lines), keeps_version=True)
