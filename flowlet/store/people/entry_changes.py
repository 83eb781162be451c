"""The entries in the inbox, the assignments and the votes of instances that change outside of an activation."""

from __future__ import annotations

from collections.abc import Sequence

from flowlet.instance.change import Change
from flowlet.store.columns import RowEncoder
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.people.entry_rows import ENTRY_COLUMNS, encode_entry_row
from flowlet.store.people.tables import INBOX, VOTE

__all__ = ["write_entry_changes"]

_VOTE_ENCODER = RowEncoder(VOTE.columns[1:])
_DUE_COLUMNS = INBOX.get_columns("teams", "remind_at", "reminders", "escalate_at", "escalations", "escalated_to")
_DUE_ENCODER = RowEncoder(_DUE_COLUMNS)
_DUE_VALUES = ", ".join(f"{one.name} = :{one.name}" for one in _DUE_COLUMNS)
_UPDATE_DUE = f"UPDATE {INBOX} SET {_DUE_VALUES} WHERE workflow_id = :workflow_id"


async def write_entry_changes(session: DatabaseSession, changes: Sequence[Change]) -> None:
    """Write what becomes of the entries of changed instances; the caller's transaction has locked their rows.

    An instance that stays in its question keeps its entry, with new texts where a variable was edited.
    """
    left = [made.before.id for made in changes if made.leaves_question or made.is_asking_again]
    if left:
        binds, values = build_in_list("id", left)
        await session.execute(f"DELETE FROM {INBOX} WHERE workflow_id IN ({binds})", values)
    for made in changes:
        await _write_decision(session, made)
        if made.due_entry is not None:
            values = _DUE_ENCODER.encode_binds(made.due_entry)
            await session.execute(_UPDATE_DUE, {**values, "workflow_id": made.before.id})
        if made.inbox is None:
            continue
        if made.is_asking_again:
            row = encode_entry_row(made.before.id, made.inbox)
            await session.insert_many(INBOX, ENTRY_COLUMNS, [row])
        else:
            sql = f"UPDATE {INBOX} SET title = :title, summary = :summary WHERE workflow_id = :id"
            texts = {"title": made.inbox.title, "summary": made.inbox.summary}
            await session.execute(sql, {**texts, "id": made.before.id})


async def _write_decision(session: DatabaseSession, made: Change) -> None:
    id = made.before.id
    if made.assignment is not None:
        sql = f"UPDATE {INBOX} SET assignee = :assignee WHERE workflow_id = :id"
        await session.execute(sql, {"assignee": made.assignment.assignee, "id": id})
    if made.withdraws_votes:  # before the vote of a person who has edited and chosen in one request
        sql = f"DELETE FROM {VOTE} WHERE workflow_id = :id AND visit = :visit"
        await session.execute(sql, {"id": id, "visit": made.after.visit})
    if made.vote is not None:
        # Deleted first: a person who chooses another state has one vote as before.
        key = {"id": id, "visit": made.vote.visit, "person": made.vote.person}
        sql = f"DELETE FROM {VOTE} WHERE workflow_id = :id AND visit = :visit AND person = :person"
        await session.execute(sql, key)
        await session.insert_many(VOTE, VOTE.columns, [[id, *_VOTE_ENCODER.encode(made.vote)]])
