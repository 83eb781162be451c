"""Rows of the inbox, as commits write them: a new entry replaces the one of the instance's state before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowlet.instance.inbox_entry import InboxEffects, InboxEntry
from flowlet.store.columns import RowEncoder, RowReader
from flowlet.store.database_session import DatabaseSession
from flowlet.store.people.tables import INBOX

__all__ = ["ENTRY_COLUMNS", "encode_entry_row", "list_entry_rows", "read_entries"]

ENTRY_COLUMNS = INBOX.columns
"""The columns of a new entry; the first is the instance's id, which the entry itself does not know."""
_READER = RowReader(InboxEntry, {"": INBOX})
_ENCODER = RowEncoder(ENTRY_COLUMNS[1:])


def encode_entry_row(workflow_id: int, entry: InboxEntry) -> list[Any]:
    """Return the values of an entry, in the order of ``ENTRY_COLUMNS``."""
    return [workflow_id, *_ENCODER.encode(entry)]


def list_entry_rows(effects: Iterable[tuple[int, InboxEffects]]) -> Sequence[list[Any]]:
    """Return the rows of the entries that commits write; each effect comes with the id of its instance."""
    return [encode_entry_row(id, one.entry) for id, one in effects if one.entry is not None]


async def read_entries(session: DatabaseSession, ids: Sequence[int]) -> dict[int, InboxEntry]:
    """Return the entries of these instances by id; those without one are left out."""
    if not ids:
        return {}
    expressions = session.dialect.expressions
    members = expressions.build_ids_sql("ids")
    sql = f"SELECT workflow_id, {_READER.select_list} FROM {INBOX} WHERE workflow_id IN ({members})"
    rows = await session.fetch_rows(sql, {"ids": expressions.encode_ids(ids)})
    return {id: _READER.parse(columns) for id, *columns in rows}
