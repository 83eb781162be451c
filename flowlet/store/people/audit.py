"""The table of the audit. A row is written in the transaction of what it records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.accounts.access import get_access
from flowlet.accounts.audit import AuditAction, AuditEntry, AuditRecord
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.people.tables import AUDIT

__all__ = ["MAX_DELETED_RECORDS", "AuditQuery", "AuditStore", "write_audit", "write_change_audit"]

MAX_DELETED_RECORDS = 500
"""How many rows one transaction deletes at most."""

_READER = RowReader(AuditRecord, {"": AUDIT})
_INSERTED = AUDIT.omit_columns("id")


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """A page of the audit.

    Attributes:
        person: Only what this user did, or a key on behalf of this person; None for all.
        action: Only this action; None for all.
        before: Only rows with a lower id; None for the newest.
        limit: How many at most.
    """

    person: str | None = None
    action: str | None = None
    before: int | None = None
    limit: int = 100


class AuditStore:
    """Reads the audit, and deletes old rows of it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_page(self, query: AuditQuery) -> list[AuditRecord]:
        """Return rows, the newest first.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        columns = (None,) if query.person is None else ("actor", "on_behalf_of")

        async def read(session: DatabaseSession) -> list[AuditRecord]:
            found: dict[int, AuditRecord] = {}
            for column in columns:  # one after the other: each reads an index of its own from its end
                found |= {one.id: one for one in await _read_page(session, query, column)}
            return sorted(found.values(), key=lambda one: -one.id)[: query.limit]

        return await self._connections.read(read)

    async def write(self, entry: AuditEntry, *, now: int) -> None:
        """Record what changes nothing else, such as a refused login. One transaction."""
        await self._connections.write(lambda session: write_audit(session, [entry], now=now))

    async def delete_before(self, time: int) -> int:
        """Delete the oldest rows from before a time, in microseconds since 1970 UTC; return how many: at most 500.

        One transaction.
        """
        sql = f"SELECT id FROM {AUDIT} WHERE at < :time ORDER BY at LIMIT {MAX_DELETED_RECORDS}"

        async def delete(session: DatabaseSession) -> int:
            ids = [id for (id,) in await session.fetch_rows(sql, {"time": time})]
            if ids:
                binds, values = build_in_list("id", ids)
                await session.execute(f"DELETE FROM {AUDIT} WHERE id IN ({binds})", values)
            return len(ids)

        return await self._connections.write(delete)


async def write_audit(session: DatabaseSession, entries: Iterable[AuditEntry], *, now: int) -> None:
    """Record what a person does in the transaction that does it, with the access of the current request."""
    access = get_access()
    rows = [
        (now, one.actor, access.on_behalf_of, access.via, one.action.value, one.subject, one.detail) for one in entries
    ]
    await session.insert_many(AUDIT, _INSERTED, rows)


async def write_change_audit(session: DatabaseSession, changes: Sequence[Change], *, now: int) -> None:
    """Record the changes of instances that a user made: each line of history that names one."""
    entries = [
        AuditEntry(action.username, _get_action(action), str(made.before.id), _describe_line(made, action))
        for made in changes
        for action in made.actions
        if action.username is not None and _is_recorded(action)
    ]
    if entries:
        await write_audit(session, entries, now=now)


async def _read_page(session: DatabaseSession, query: AuditQuery, column: str | None) -> list[AuditRecord]:
    """Return a page; if there is a person, of the rows that have it in this column."""
    conditions = {column or "": query.person, "action": query.action}
    values: dict[str, Any] = {name: value for name, value in conditions.items() if value is not None}
    parts = [f"{name} = :{name}" for name in values]
    if query.before is not None:
        parts.append("id < :before")
        values["before"] = query.before
    where = f"WHERE {' AND '.join(parts)}" if parts else ""
    sql = f"SELECT {_READER.select_list} FROM {AUDIT} {where} ORDER BY id DESC LIMIT :row_limit"
    return _READER.parse_all(await session.fetch_rows(sql, {**values, "row_limit": query.limit}))


def _is_recorded(action: Action) -> bool:
    """Return whether a line is recorded: not a message that a program sends for itself, of which there may be many."""
    return action.kind is not ActionKind.MESSAGE or get_access().is_personal


def _get_action(action: Action) -> AuditAction:
    return AuditAction(f"workflow.{action.kind.value.lower()}")


def _describe_line(made: Change, action: Action) -> str:
    """Return an instance's workflow and what became of it, without the line's text: it may be a typed reason."""
    moved = f"{action.from_state} → {action.to_state}" if action.to_state else action.from_state or made.before.state
    # The text of an assignment is written by this package, and names the user.
    more = f", {action.text}" if action.kind is ActionKind.ASSIGNED else ""
    return f"{made.before.type}: {moved}{more}"
