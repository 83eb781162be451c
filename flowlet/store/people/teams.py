"""The tables of teams and their members."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import make_username_key
from flowlet.errors import NotFoundError, UnknownUserError
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.people.audit import write_audit
from flowlet.store.people.tables import INBOX, TEAM, TEAM_MEMBER, build_team_pattern
from flowlet.store.tables import USER
from flowlet.text import MAX_NAME_LENGTH

__all__ = ["MAX_MEMBERS", "TeamRecord", "TeamStore"]

MAX_MEMBERS = 1_000


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """A team. Times are microseconds since 1970 UTC.

    Attributes:
        name: Its name.
        members: The names of its members, in their order.
        version: Raised by each change; what ``expected_version`` is compared with.
        created: When it was created.
        created_by: Who created it.
        modified: When its members last changed.
        modified_by: Who changed them.
    """

    name: str
    members: tuple[str, ...]
    version: int
    created: int
    created_by: str
    modified: int
    modified_by: str


@dataclass(frozen=True, slots=True)
class _TeamRow:
    name: str
    version: int
    created: int
    created_by: str
    modified: int
    modified_by: str


_READER = RowReader(_TeamRow, {"": TEAM})
_SELECT = f"SELECT {_READER.select_list} FROM {TEAM}"
_SELECT_MEMBERS = f"SELECT m.team, u.username FROM {TEAM_MEMBER} m JOIN {USER} u ON u.id = m.user_id"


class TeamStore:
    """Reads and writes teams. Every method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_all(self) -> list[TeamRecord]:
        """Return every team, by name."""

        async def read(session: DatabaseSession) -> list[TeamRecord]:
            rows = _READER.parse_all(await session.fetch_rows(f"{_SELECT} ORDER BY name"))
            members: dict[str, list[str]] = {}
            for team, username in await session.fetch_rows(f"{_SELECT_MEMBERS} ORDER BY u.username_key"):
                members.setdefault(team, []).append(username)
            return [_build_record(row, members.get(row.name, [])) for row in rows]

        return await self._connections.read(read)

    async def list_of_user(self, username: str) -> frozenset[str]:
        """Return the names of the teams that a user is a member of."""
        sql = f"{_SELECT_MEMBERS} WHERE u.username_key = :key"
        values = {"key": make_username_key(username)}
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return frozenset(team for team, _ in rows)

    async def change(
        self,
        name: str,
        decide: Callable[[TeamRecord | None], tuple[str, ...]],
        *,
        modified_by: str,
        now: int,
    ) -> TeamRecord:
        """Lock a team, decide about its members, write; create it if there is none. Return it as it is afterwards.

        Args:
            name: The team.
            decide: Returns the names of the members, given the team; None if there is none. It is called again if the
                transaction lost against another one.
            modified_by: Who changes it.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            UnknownUserError: If there is no user of one of the names.
            Exception: Whatever ``decide`` raises; nothing is written then.
        """

        async def lock_and_write(session: DatabaseSession) -> TeamRecord:
            before = await _lock_team(session, name)
            members = await _find_users(session, decide(before))
            if before is not None and set(before.members) == set(members):
                return before
            if before is None:
                row = [name, 1, now, modified_by, now, modified_by]
                await session.insert_many(TEAM, TEAM.columns, [row])
            else:
                sql = f"UPDATE {TEAM} SET version = version + 1, modified = :now, modified_by = :by WHERE name = :name"
                await session.execute(sql, {"now": now, "by": modified_by, "name": name})
                await session.execute(f"DELETE FROM {TEAM_MEMBER} WHERE team = :name", {"name": name})
                await _take_back_assignments(session, name, set(before.members) - set(members))
            await session.insert_many(TEAM_MEMBER, TEAM_MEMBER.columns, [[name, id] for id in members.values()])
            detail = _describe_members(before.members if before else (), members)
            await write_audit(session, [AuditEntry(modified_by, AuditAction.TEAM_CHANGED, name, detail)], now=now)
            found = await _lock_team(session, name)
            return found or TeamRecord(name, (), 1, now, modified_by, now, modified_by)

        try:
            return await self._connections.write(lock_and_write)
        except Exception as error:
            # Of two that create it at once the primary key refuses one, which then finds the other's team.
            if not self._connections.dialect.errors.is_refusal(error):
                raise
            return await self._connections.write(lock_and_write)

    async def delete(self, name: str, check: Callable[[TeamRecord], None], *, deleted_by: str, now: int) -> TeamRecord:
        """Lock a team, check, delete it, and return it as it was.

        Raises:
            NotFoundError: If there is none.
            Exception: Whatever ``check`` raises; nothing is deleted then.
        """

        async def check_and_delete(session: DatabaseSession) -> TeamRecord:
            found = await _lock_team(session, name)
            if found is None:
                raise NotFoundError(f"there is no team {name[:MAX_NAME_LENGTH]!a}")
            check(found)
            await session.execute(f"DELETE FROM {TEAM_MEMBER} WHERE team = :name", {"name": name})
            await _take_back_assignments(session, name, set(found.members))
            await session.execute(f"DELETE FROM {TEAM} WHERE name = :name", {"name": name})
            await write_audit(session, [AuditEntry(deleted_by, AuditAction.TEAM_DELETED, name)], now=now)
            return found

        return await self._connections.write(check_and_delete)


async def _lock_team(session: DatabaseSession, name: str) -> TeamRecord | None:
    sql = f"{_SELECT} WHERE name = :name {session.dialect.expressions.for_update_sql}"
    rows = _READER.parse_all(await session.fetch_rows(sql, {"name": name}))
    if not rows:
        return None
    sql = f"{_SELECT_MEMBERS} WHERE m.team = :name ORDER BY u.username_key"
    members = await session.fetch_rows(sql, {"name": name})
    return _build_record(rows[0], [username for _, username in members])


async def _take_back_assignments(session: DatabaseSession, name: str, usernames: Iterable[str]) -> None:
    """Assign the team's questions no longer to users who leave it: with the team they lose the right to answer.

    The caller has deleted their memberships: an assignment locks them, and has ended by now or finds none.
    """
    for username in usernames:
        sql = f"UPDATE {INBOX} SET assignee = NULL WHERE assignee = :username AND teams LIKE :team"
        await session.execute(sql, {"username": username, "team": build_team_pattern(name)})


async def _find_users(session: DatabaseSession, usernames: tuple[str, ...]) -> dict[str, int]:
    """Return the ids of users by their names as they were created."""
    found: dict[str, int] = {}
    for username in usernames:
        sql = f"SELECT username, id FROM {USER} WHERE username_key = :key"
        rows = await session.fetch_rows(sql, {"key": make_username_key(username)})
        if not rows:
            raise UnknownUserError(f"there is no user {username[:MAX_NAME_LENGTH]!a}")
        found.update(rows)
    return found


def _describe_members(before: Iterable[str], after: Iterable[str]) -> str:
    known, now = set(before), set(after)
    parts = (("added", sorted(now - known)), ("removed", sorted(known - now)))
    return "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names) or "no members"


def _build_record(row: _TeamRow, members: list[str]) -> TeamRecord:
    return TeamRecord(row.name, tuple(members), row.version, row.created, row.created_by, row.modified, row.modified_by)
