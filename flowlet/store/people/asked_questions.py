"""What decides whether a person may answer a question, as it is under the lock of the instance's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.accounts.models import make_username_key
from flowlet.accounts.roles import Role
from flowlet.instance.inbox_entry import InboxEntry, Vote
from flowlet.store.columns import RowReader
from flowlet.store.database_session import DatabaseSession
from flowlet.store.people.entry_rows import read_entries
from flowlet.store.people.tables import TEAM_MEMBER, VOTE
from flowlet.store.tables import USER

__all__ = ["AskedQuestion", "Person", "find_person", "lock_person", "read_question", "read_votes"]

_VOTE_READER = RowReader(Vote, {"": VOTE})


@dataclass(frozen=True, slots=True)
class Person:
    """A person who acts on a question.

    Attributes:
        username: The name; of a known user as it was created.
        role: The role; None for a name that is no user, or a disabled one.
        teams: The teams that the user is a member of.
    """

    username: str
    role: Role | None = None
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """The question of an instance, and what has been chosen so far.

    Attributes:
        entry: The instance's entry in the inbox; None if it has none.
        votes: What persons have chosen in this visit.
    """

    entry: InboxEntry | None = None
    votes: tuple[Vote, ...] = ()


async def find_person(session: DatabaseSession, username: str) -> Person:
    """Return the person of a name, in any case."""
    return await _read_person(session, username, lock="")


async def lock_person(session: DatabaseSession, username: str) -> Person:
    """Return the person of a name, who neither leaves a team nor is deleted before the transaction has ended."""
    return await _read_person(session, username, lock=session.dialect.expressions.for_update_sql)


async def _read_person(session: DatabaseSession, username: str, *, lock: str) -> Person:
    sql = f"SELECT id, username, role, disabled FROM {USER} WHERE username_key = :key {lock}"
    rows = await session.fetch_rows(sql, {"key": make_username_key(username)})
    if not rows:
        return Person(username)
    ((id, name, role, disabled),) = rows
    sql = f"SELECT team FROM {TEAM_MEMBER} WHERE user_id = :id ORDER BY team {lock}"
    teams = await session.fetch_rows(sql, {"id": id})
    return Person(name, None if disabled else Role(role), frozenset() if disabled else frozenset(t for (t,) in teams))


async def read_question(session: DatabaseSession, id: int, visit: int) -> AskedQuestion:
    """Return the question of an instance in this visit of its state."""
    entry = (await read_entries(session, [id])).get(id)
    votes = (await read_votes(session, [id])).get(id, [])
    counted = tuple(vote for vote in votes if vote.visit == visit)
    return AskedQuestion(entry if entry and entry.visit == visit else None, counted)


async def read_votes(session: DatabaseSession, ids: Sequence[int]) -> dict[int, list[Vote]]:
    """Return the votes of these instances by id, in their order, of all visits; those without one are left out."""
    found: dict[int, list[Vote]] = {}
    if ids:
        expressions = session.dialect.expressions
        members = expressions.build_ids_sql("ids")
        sql = f"SELECT workflow_id, {_VOTE_READER.select_list} FROM {VOTE} WHERE workflow_id IN ({members}) ORDER BY at"
        for id, *columns in await session.fetch_rows(sql, {"ids": expressions.encode_ids(ids)}):
            found.setdefault(id, []).append(_VOTE_READER.parse(columns))
    return found
