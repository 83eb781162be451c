"""The table of sessions. It holds only hashes: who reads it cannot get in."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowlet.accounts.models import Session as UserSession
from flowlet.accounts.roles import Principal, Role
from flowlet.store.connection import Connections, DatabaseSession, build_in_list
from flowlet.store.users import lock_user
from flowlet.text import MAX_INTEGER

__all__ = ["NewSession", "SessionStore"]

_COLUMNS = ("id", "user_id", "created", "last_seen", "expires", "user_agent")
_INSERT_COLUMNS = ("token_hash", *_COLUMNS[1:])
_FIND = f"""
SELECT {", ".join(f"s.{column}" for column in _COLUMNS)}, u.username, u.role
FROM user_session s JOIN user_account u ON u.id = s.user_id
WHERE s.token_hash = :token_hash AND u.disabled = 0
"""
_PURGE_BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that is to be made."""

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
        """Make a session; return False, and make none, if the user is disabled or gone.

        Args:
            new: The session.
            password_hash: The hash that the user's password was verified against; the session is not made either
                if the password has changed since. None if no password was given.
        """

        async def insert_session(session: DatabaseSession) -> bool:
            # Under the lock of the user's row: who disables the user, or changes the password, ends all sessions,
            # and none may slip in behind.
            if await lock_user(session, new.user_id, password_hash=password_hash) is None:
                return False
            row = (new.token_hash, new.user_id, new.created, new.created, new.expires, new.user_agent)
            await session.insert_many("user_session", _INSERT_COLUMNS, [row])
            return True

        return await self._connections.write(insert_session)

    async def find(self, token_hash: str) -> tuple[UserSession, Principal] | None:
        """Return a session, expired or not, and who it is; None if there is none or its user is disabled."""
        values = {"token_hash": token_hash}
        for row in await self._connections.read(lambda session: session.fetch_rows(_FIND, values)):
            *columns, username, role = row
            return UserSession(*columns), Principal(username, Role(role), columns[1])
        return None

    async def record_use(self, id: int, *, now: int) -> None:
        """Take note that a session is in use."""
        sql = "UPDATE user_session SET last_seen = :now WHERE id = :id AND last_seen < :now"
        await self._connections.write(lambda session: session.execute(sql, {"id": id, "now": now}))

    async def close(self, token_hash: str) -> None:
        """End the session of a token, if there is one."""
        sql = "DELETE FROM user_session WHERE token_hash = :token_hash"
        await self._connections.write(lambda session: session.execute(sql, {"token_hash": token_hash}))

    async def close_by_id(self, id: int, user_id: int) -> bool:
        """End a session by its id; return False, and end none, if there is none or it is another user's."""
        if not 0 < id <= MAX_INTEGER:
            return False
        where, values = "FROM user_session WHERE id = :id AND user_id = :user_id", {"id": id, "user_id": user_id}

        async def delete_session(session: DatabaseSession) -> bool:
            if not await session.fetch_rows(f"SELECT id {where} {session.dialect.for_update_sql}", values):
                return False
            await session.execute(f"DELETE {where}", values)
            return True

        return await self._connections.write(delete_session)

    async def close_all(self, user_id: int, *, kept_hash: str | None = None) -> None:
        """End every session of a user but the one with this hash."""
        sql = "DELETE FROM user_session WHERE user_id = :user_id AND token_hash <> :kept"
        values = {"user_id": user_id, "kept": kept_hash or ""}
        await self._connections.write(lambda session: session.execute(sql, values))

    async def list_for_user(self, user_id: int) -> list[UserSession]:
        """Return the sessions of a user, expired or not, the newest first."""
        sql = f"SELECT {', '.join(_COLUMNS)} FROM user_session WHERE user_id = :user_id ORDER BY id DESC"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {"user_id": user_id}))
        return [UserSession(*row) for row in rows]

    async def count_by_user(self, *, now: int, unseen_since: int) -> dict[int, int]:
        """Return how many sessions each user has open, by the user's id; who has none is left out."""
        sql = (
            "SELECT user_id, COUNT(*) FROM user_session "
            "WHERE expires > :now AND last_seen > :unseen_since GROUP BY user_id"
        )
        values = {"now": now, "unseen_since": unseen_since}
        return dict(await self._connections.read(lambda session: session.fetch_rows(sql, values)))

    async def delete_expired(self, *, now: int, unseen_since: int) -> int:
        """Delete what has expired, or has last been seen before a moment; return how many those were.

        One transaction for each 500.
        """
        where = "expires <= :now OR last_seen <= :unseen_since"
        select = f"SELECT id FROM user_session WHERE {where} ORDER BY id LIMIT {_PURGE_BATCH_SIZE}"
        values = {"now": now, "unseen_since": unseen_since}
        purged = 0
        while rows := await self._connections.read(lambda session: session.fetch_rows(select, values)):
            binds, ids = build_in_list("id", [row[0] for row in rows])
            delete = f"DELETE FROM user_session WHERE id IN ({binds}) AND ({where})"
            await self._connections.write(
                lambda session, delete=delete, ids=ids: session.execute(delete, {**ids, **values})  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            )
            purged += len(rows)
        return purged
