"""The table of sessions. It holds only hashes: reading it does not let one log in."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import Session as UserSession
from flowlet.accounts.roles import Principal, Role
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.people.audit import write_audit
from flowlet.store.tables import SESSION, USER
from flowlet.store.users import lock_user
from flowlet.text import MAX_INTEGER

__all__ = ["NewSession", "SessionStore"]

_READER = RowReader(UserSession, {"s": SESSION})
_INSERT_COLUMNS = SESSION.get_columns("token_hash", "user_id", "created", "last_seen", "expires", "user_agent")
_FIND = f"""
SELECT u.username, u.role, {_READER.select_list}
FROM {SESSION} s JOIN {USER} u ON u.id = s.user_id
WHERE s.token_hash = :token_hash AND u.disabled = 0
"""
_FIND_OWNER = f"SELECT u.username FROM {SESSION} s JOIN {USER} u ON u.id = s.user_id WHERE s.token_hash = :token_hash"
_PURGE_BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be created."""

    token_hash: str = field(repr=False)
    user_id: int
    created: int
    expires: int
    user_agent: str


class SessionStore:
    """Reads and writes sessions. Every method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def open(self, new: NewSession, *, password_hash: str | None = None) -> bool:
        """Create a session; return False, and create none, if the user is disabled or deleted.

        Args:
            new: The session.
            password_hash: The hash that the user's password was verified against: no session is created if the
                password has changed since. None if no password was given.
        """

        async def insert_session(session: DatabaseSession) -> bool:
            # Under the lock of the user's row: disabling the user, or changing the password, ends all sessions, and
            # none may be created in between.
            user = await lock_user(session, new.user_id, password_hash=password_hash)
            if user is None:
                return False
            row = (new.token_hash, new.user_id, new.created, new.created, new.expires, new.user_agent)
            await session.insert_many(SESSION, _INSERT_COLUMNS, [row])
            entry = AuditEntry(user.username, AuditAction.LOGIN_SUCCEEDED, user.username)
            await write_audit(session, [entry], now=new.created)
            return True

        return await self._connections.write(insert_session)

    async def find(self, token_hash: str) -> tuple[UserSession, Principal] | None:
        """Return a session, expired or not, and its principal; None if there is none or its user is disabled."""
        values = {"token_hash": token_hash}
        for row in await self._connections.read(lambda session: session.fetch_rows(_FIND, values)):
            username, role, *columns = row
            found = _READER.parse(columns)
            return found, Principal(username, Role(role), found.user_id)
        return None

    async def record_use(self, id: int, *, now: int) -> None:
        """Store that a session is in use."""
        sql = f"UPDATE {SESSION} SET last_seen = :now WHERE id = :id AND last_seen < :now"
        await self._connections.write(lambda session: session.execute(sql, {"id": id, "now": now}))

    async def close(self, token_hash: str, *, now: int) -> None:
        """End the session of a token, if there is one, with a line in the audit."""
        values = {"token_hash": token_hash}

        async def delete_session(session: DatabaseSession) -> None:
            rows = await session.fetch_rows(f"{_FIND_OWNER} {session.dialect.expressions.for_update_sql}", values)
            for (username,) in rows:
                await session.execute(f"DELETE FROM {SESSION} WHERE token_hash = :token_hash", values)
                entry = AuditEntry(username, AuditAction.USER_LOGGED_OUT, username, "one session")
                await write_audit(session, [entry], now=now)

        await self._connections.write(delete_session)

    async def close_by_id(self, id: int, user_id: int, audit: AuditEntry, *, now: int) -> bool:
        """End a session by its id; return False, and end none, if there is none or it is another user's."""
        if not 0 < id <= MAX_INTEGER:
            return False
        where, values = f"FROM {SESSION} WHERE id = :id AND user_id = :user_id", {"id": id, "user_id": user_id}

        async def delete_session(session: DatabaseSession) -> bool:
            if not await session.fetch_rows(f"SELECT id {where} {session.dialect.expressions.for_update_sql}", values):
                return False
            await session.execute(f"DELETE {where}", values)
            await write_audit(session, [audit], now=now)
            return True

        return await self._connections.write(delete_session)

    async def list_for_user(self, user_id: int) -> list[UserSession]:
        """Return the sessions of a user, expired or not, the newest first."""
        sql = f"SELECT {_READER.select_list} FROM {SESSION} s WHERE user_id = :user_id ORDER BY id DESC"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {"user_id": user_id}))
        return _READER.parse_all(rows)

    async def count_by_user(self, *, now: int, unseen_since: int) -> dict[int, int]:
        """Return how many open sessions each user has, by the user's id; users without any are left out."""
        sql = (
            f"SELECT user_id, COUNT(*) FROM {SESSION} "
            "WHERE expires > :now AND last_seen > :unseen_since GROUP BY user_id"
        )
        values = {"now": now, "unseen_since": unseen_since}
        return dict(await self._connections.read(lambda session: session.fetch_rows(sql, values)))

    async def delete_expired(self, *, now: int, unseen_since: int) -> int:
        """Delete sessions that have expired, or were last used before ``unseen_since``; return how many.

        One transaction for each 500.
        """
        where = "expires <= :now OR last_seen <= :unseen_since"
        select = f"SELECT id FROM {SESSION} WHERE {where} ORDER BY id LIMIT {_PURGE_BATCH_SIZE}"
        values = {"now": now, "unseen_since": unseen_since}
        purged = 0
        while rows := await self._connections.read(lambda session: session.fetch_rows(select, values)):
            binds, ids = build_in_list("id", [id for (id,) in rows])
            delete = f"DELETE FROM {SESSION} WHERE id IN ({binds}) AND ({where})"
            await self._connections.write(
                lambda session, delete=delete, ids=ids: session.execute(delete, {**ids, **values})  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            )
            purged += len(rows)
        return purged
