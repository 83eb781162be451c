"""The table of users. A change locks the user's row and those of all acting admins, so that one of them is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import User, make_username_key
from flowlet.accounts.roles import Role
from flowlet.errors import UnknownUserError, UserExistsError
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.people.audit import write_audit
from flowlet.store.people.tables import INBOX, TEAM_MEMBER, VIEW
from flowlet.store.tables import API_KEY, SESSION, USER
from flowlet.text import MAX_INTEGER, MAX_NAME_LENGTH

__all__ = ["Credentials", "NewUser", "UserChange", "UserStore"]

_READER = RowReader(User, {"": USER})
_SELECT = f"SELECT {_READER.select_list} FROM {USER}"
_INSERT_COLUMNS = USER.omit_columns("id", "version", "last_login")
_UPDATE = f"""
UPDATE {USER} SET role = :role, disabled = :disabled, password_hash = COALESCE(:password_hash, password_hash),
    version = :version, modified = :modified, modified_by = :modified_by
WHERE id = :id
"""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be created."""

    username: str
    role: Role
    password_hash: str = field(repr=False)
    created_by: str
    is_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user, and the hash that a given password must have."""

    user: User
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserChange:
    """A change of a user.

    Attributes:
        user: The user after the change.
        password_hash: The new hash; None to keep the old one.
        ends_sessions: Whether the user's sessions end.
        kept_session_hash: The hash of the session that is kept nevertheless; None for none.
        audit: What the audit records of it; None for nothing.
    """

    user: User
    password_hash: str | None = field(default=None, repr=False)
    ends_sessions: bool = False
    kept_session_hash: str | None = field(default=None, repr=False)
    audit: AuditEntry | None = None


class UserStore:
    """Reads and writes users. Every method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def insert(self, new: NewUser, *, now: int) -> User:
        """Create a user.

        Raises:
            UserExistsError: If there is one of this name; upper and lower case are the same.
        """
        made = await self._insert(new, now=now, only_first=False)
        if made is None:
            raise UserExistsError(f"there is a user {new.username!r} already; upper and lower case are the same.")
        return made

    async def insert_first(self, new: NewUser, *, now: int) -> User | None:
        """Create the first user; return None if there is any. Of many calls at once, one creates it."""
        return await self._insert(new, now=now, only_first=True)

    async def get(self, username: str) -> User:
        """Return the user of a name; upper and lower case are the same.

        Raises:
            UnknownUserError: If there is none.
        """
        found = await self._read_users("WHERE username_key = :key", {"key": make_username_key(username)})
        return _require_user(found, username)

    async def get_by_id(self, id: int) -> User:
        """Return the user of an id.

        Raises:
            UnknownUserError: If there is none.
        """
        found = await self._read_users("WHERE id = :id", {"id": id}) if 0 < id <= MAX_INTEGER else []
        if not found:
            raise UnknownUserError(f"no user has the id {id}")
        return found[0]

    async def list_all(self) -> list[User]:
        """Return every user, by name."""
        return await self._read_users("ORDER BY username_key", {})

    async def is_empty(self) -> bool:
        """Return whether there is no user at all."""
        return not await self._read_users("LIMIT 1", {})

    async def find_credentials(self, username: str) -> Credentials | None:
        """Return a user with the hash of the password, or None if there is no user of this name."""
        sql = f"SELECT password_hash, {_READER.select_list} FROM {USER} WHERE username_key = :key"
        values = {"key": make_username_key(username)}
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        for password_hash, *columns in rows:
            return Credentials(_READER.parse(columns), password_hash)
        return None

    async def record_login(self, verified: Credentials, *, new_password_hash: str | None, now: int) -> User | None:
        """Store the time of a login, and the password's new hash if there is one.

        Return the user after it; None if the password has changed since it was read, or the user is disabled or
        deleted.
        """

        async def write_login(session: DatabaseSession) -> User | None:
            user = await lock_user(session, verified.user.id, password_hash=verified.password_hash)
            if user is not None:
                await session.execute(
                    f"UPDATE {USER} SET last_login = :now, password_hash = :password_hash WHERE id = :id",
                    {"now": now, "password_hash": new_password_hash or verified.password_hash, "id": user.id},
                )
            return user

        return await self._connections.write(write_login)

    async def change_user(self, username: str, decide: Callable[[User, int], UserChange], *, now: int) -> User:
        """Lock a user and every acting admin, decide, write. Return the user after the change.

        Args:
            username: The user's name; upper and lower case are the same.
            decide: Returns the change, given the user and how many others are acting admins; none of them can change
                meanwhile. It is called again if the transaction lost against another one.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            UnknownUserError: If there is none.
            UserError: Or any other error that ``decide`` raises; nothing is written then.
        """

        async def decide_and_write(session: DatabaseSession) -> User:
            made = decide(*await _lock_user_and_admins(session, username))
            user = made.user
            await session.execute(
                _UPDATE,
                {
                    "role": user.role.value,
                    "disabled": int(user.is_disabled),
                    "password_hash": made.password_hash,
                    "version": user.version,
                    "modified": user.modified,
                    "modified_by": user.modified_by,
                    "id": user.id,
                },
            )
            if made.ends_sessions:
                await _end_sessions(session, user.id, kept_hash=made.kept_session_hash)
            if made.audit is not None:
                await write_audit(session, [made.audit], now=now)
            return user

        return await self._connections.write(decide_and_write)

    async def replace_password(self, known: Credentials, password_hash: str, *, modified_by: str, now: int) -> bool:
        """Change a user's password and end the sessions; return False, and do nothing, if it is not the known one."""

        async def write_password(session: DatabaseSession) -> bool:
            sql = f"SELECT password_hash FROM {USER} WHERE id = :id {session.dialect.expressions.for_update_sql}"
            if await session.fetch_rows(sql, {"id": known.user.id}) != [(known.password_hash,)]:
                return False
            await session.execute(
                f"UPDATE {USER} SET password_hash = :hash, version = version + 1, modified = :now, modified_by = :by "
                "WHERE id = :id",
                {"hash": password_hash, "now": now, "by": modified_by, "id": known.user.id},
            )
            await _end_sessions(session, known.user.id, kept_hash=None)
            detail = "new password in place of the demo's"
            changed = AuditEntry(modified_by, AuditAction.USER_CHANGED, known.user.username, detail)
            await write_audit(session, [changed], now=now)
            return True

        return await self._connections.write(write_password)

    async def delete(self, username: str, check: Callable[[User, int], None], *, deleted_by: str, now: int) -> User:
        """Lock as ``change_user`` does, check, and delete a user with sessions, API keys and views. Return the user.

        Raises:
            UnknownUserError: If there is none.
            UserError: Or any other error that ``check`` raises; nothing is deleted then.
        """

        async def check_and_delete(session: DatabaseSession) -> User:
            user, others = await _lock_user_and_admins(session, username)
            check(user, others)
            await _end_sessions(session, user.id, kept_hash=None)
            for table in (API_KEY, TEAM_MEMBER):
                await session.execute(f"DELETE FROM {table} WHERE user_id = :id", {"id": user.id})
            await session.execute(f"DELETE FROM {VIEW} WHERE owner_id = :id", {"id": user.id})
            # Another user may get the name, and must not get the questions with it.
            sql = f"UPDATE {INBOX} SET assignee = NULL WHERE assignee = :name"
            await session.execute(sql, {"name": user.username})
            await session.execute(f"DELETE FROM {USER} WHERE id = :id", {"id": user.id})
            await write_audit(session, [AuditEntry(deleted_by, AuditAction.USER_DELETED, user.username)], now=now)
            return user

        return await self._connections.write(check_and_delete)

    async def _insert(self, new: NewUser, *, now: int, only_first: bool) -> User | None:
        async def insert_row(session: DatabaseSession) -> User | None:
            if only_first and await session.fetch_rows(f"SELECT id FROM {USER} LIMIT 1"):
                return None
            if await _find_users(session, new.username):
                return None
            await session.insert_many(USER, _INSERT_COLUMNS, [_encode_new_user_row(new, now)])
            detail = f"role {new.role}" + (", disabled" if new.is_disabled else "")
            created = AuditEntry(new.created_by, AuditAction.USER_CREATED, new.username, detail)
            await write_audit(session, [created], now=now)
            return (await _find_users(session, new.username))[0]

        try:
            return await self._connections.write(insert_row)
        except Exception as error:
            # Of two at once the unique index refuses one, with an error of the driver's own.
            if self._connections.dialect.errors.is_refusal(error) and await self._has_user(new.username):
                return None
            raise

    async def _has_user(self, username: str) -> bool:
        return bool(await self._connections.read(lambda session: _find_users(session, username)))

    async def _read_users(self, tail: str, values: dict[str, Any]) -> list[User]:
        rows = await self._connections.read(lambda session: session.fetch_rows(f"{_SELECT} {tail}", values))
        return _READER.parse_all(rows)


async def lock_user(session: DatabaseSession, id: int, *, password_hash: str | None = None) -> User | None:
    """Lock a user's row and return it; None if the user is deleted or disabled, or the password hash is another."""
    sql = (
        f"SELECT password_hash, {_READER.select_list} FROM {USER} WHERE id = :id "
        f"{session.dialect.expressions.for_update_sql}"
    )
    for stored_hash, *columns in await session.fetch_rows(sql, {"id": id}):
        user = _READER.parse(columns)
        if not user.is_disabled and password_hash in (None, stored_hash):
            return user
    return None


async def _lock_user_and_admins(session: DatabaseSession, username: str) -> tuple[User, int]:
    """Lock a user and all acting admins, and return the user and how many of the others are acting admins."""
    # In one statement, and in the order of their ids: two admins who demote each other wait, and do not deadlock. The
    # one that waited sees the rows as the other one left them.
    sql = (
        f"{_SELECT} WHERE username_key = :key OR (role = 'admin' AND disabled = 0) "
        f"ORDER BY id {session.dialect.expressions.for_update_sql}"
    )
    key = make_username_key(username)
    users = _READER.parse_all(await session.fetch_rows(sql, {"key": key}))
    user = _require_user([user for user in users if make_username_key(user.username) == key], username)
    return user, sum(other.is_acting_admin for other in users if other.id != user.id)


async def _end_sessions(session: DatabaseSession, id: int, *, kept_hash: str | None) -> None:
    sql = f"DELETE FROM {SESSION} WHERE user_id = :id AND token_hash <> :kept"
    await session.execute(sql, {"id": id, "kept": kept_hash or ""})


async def _find_users(session: DatabaseSession, username: str) -> list[User]:
    rows = await session.fetch_rows(f"{_SELECT} WHERE username_key = :key", {"key": make_username_key(username)})
    return _READER.parse_all(rows)


def _require_user(found: list[User], username: str) -> User:
    if not found:
        raise UnknownUserError(f"there is no user {username[:MAX_NAME_LENGTH]!a}")
    return found[0]


def _encode_new_user_row(new: NewUser, now: int) -> Sequence[Any]:
    return (
        new.username,
        make_username_key(new.username),
        new.password_hash,
        new.role.value,
        int(new.is_disabled),
        now,
        new.created_by,
        now,
        new.created_by,
    )
