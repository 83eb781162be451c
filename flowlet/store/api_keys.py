"""The table of API keys. It holds only hashes: who reads it cannot get in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flowlet.accounts.models import ApiKey
from flowlet.accounts.roles import Principal, Role
from flowlet.errors import OwnerError, UnknownKeyError
from flowlet.store.connection import Connections, DatabaseSession
from flowlet.store.optimistic_lock import check_version
from flowlet.store.users import lock_user

__all__ = ["ApiKeyCredentials", "ApiKeyStore", "NewApiKey"]

_INSERT_COLUMNS = ("id", "key_hash", "name", "role", "user_id", "created", "created_by", "expires")
_SELECT = """
SELECT k.id, k.name, k.role, k.user_id, u.username, u.disabled, k.version,
    k.created, k.created_by, k.expires, k.last_used, k.revoked
FROM api_key k JOIN user_account u ON u.id = k.user_id
"""
_FIND = """
SELECT k.key_hash, k.role, u.role, u.username, u.id, k.expires, k.last_used
FROM api_key k JOIN user_account u ON u.id = k.user_id
WHERE k.id = :id AND k.revoked IS NULL AND u.disabled = 0
"""


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key that is to be made.

    Attributes:
        expires: In microseconds since 1970 UTC; None for never.
        expected_version: How many API keys its creator has to have created before; None for any number.
    """

    id: str
    key_hash: str = field(repr=False)
    name: str
    role: Role
    user_id: int
    expires: int | None
    created_by: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ApiKeyCredentials:
    """A key that is not revoked, and whose owner is enabled: who it stands for, and the hash that it has to have."""

    principal: Principal
    key_hash: str = field(repr=False)
    expires: int | None
    last_used: int | None


class ApiKeyStore:
    """Reads and writes API keys. Every method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def insert(self, new: NewApiKey, *, now: int) -> bool:
        """Make a key; return False, and make none, if its id is in use.

        Raises:
            OwnerError: If the owner is disabled or gone, or has a lesser role than the key is to have.
            StaleError: If its creator has created another number of keys than expected.
        """

        async def insert_key(session: DatabaseSession) -> bool:
            owner = await lock_user(session, new.user_id)
            if owner is None:
                raise OwnerError("the key's owner is disabled or gone, and the key would let nobody in.")
            if new.role > owner.role:
                raise OwnerError(
                    f"{owner.username!r} is {owner.role}: a key of that user cannot be {new.role}. "
                    f"Take the role {owner.role} or a lesser one, or another owner."
                )
            if await session.fetch_rows("SELECT id FROM api_key WHERE id = :id", {"id": new.id}):
                return False
            if new.expected_version is not None:
                # Under the lock of the owner's row: a form that is sent twice waits for its first request.
                count = await _count_keys(session, new.created_by)
                check_version(f"the list of API keys created by {new.created_by!r}", count, new.expected_version)
            row = (new.id, new.key_hash, new.name, new.role.value, new.user_id, now, new.created_by, new.expires)
            await session.insert_many("api_key", _INSERT_COLUMNS, [row])
            return True

        return await self._connections.write(insert_key)

    async def find(self, id: str) -> ApiKeyCredentials | None:
        """Return a key, expired or not; None if there is none, it is revoked, or its owner is disabled."""
        for row in await self._connections.read(lambda session: session.fetch_rows(_FIND, {"id": id})):
            key_hash, role, owner_role, username, user_id, expires, last_used = row
            # The owner may have been demoted since the key was made.
            principal = Principal(username, min(Role(role), Role(owner_role)), user_id, id)
            return ApiKeyCredentials(principal, key_hash, expires, last_used)
        return None

    async def record_use(self, id: str, *, now: int, unused_since: int) -> None:
        """Take note that a key is in use, where nobody has since a moment."""
        sql = "UPDATE api_key SET last_used = :now WHERE id = :id AND (last_used IS NULL OR last_used <= :unused_since)"
        values = {"id": id, "now": now, "unused_since": unused_since}
        await self._connections.write(lambda session: session.execute(sql, values))

    async def get(self, id: str) -> ApiKey:
        """Return the key of an id.

        Raises:
            UnknownKeyError: If there is none.
        """
        found = await self._read_keys("WHERE k.id = :id", {"id": id})
        if not found:
            raise _build_unknown_key_error(id)
        return found[0]

    async def list_all(self) -> list[ApiKey]:
        """Return every key, the newest first."""
        return await self._read_keys("ORDER BY k.created DESC, k.id", {})

    async def list_for_user(self, user_id: int) -> list[ApiKey]:
        """Return the keys of a user, the newest first."""
        return await self._read_keys("WHERE k.user_id = :user_id ORDER BY k.created DESC, k.id", {"user_id": user_id})

    async def count_created_by(self, created_by: str) -> int:
        """Return how many API keys a user has created, for any owner."""
        return await self._connections.read(lambda session: _count_keys(session, created_by))

    async def revoke(self, id: str, *, revoked_by: str, now: int, expected_version: int | None = None) -> None:
        """Revoke a key. A key that is already revoked stays as it is.

        Raises:
            UnknownKeyError: If there is no such key.
            StaleError: If the key has another version than expected.
        """

        async def revoke_key(session: DatabaseSession) -> None:
            sql = f"SELECT version FROM api_key WHERE id = :id {session.dialect.for_update_sql}"
            rows = await session.fetch_rows(sql, {"id": id})
            if not rows:
                raise _build_unknown_key_error(id)
            check_version(f"the API key {id!r}", rows[0][0], expected_version)
            await session.execute(
                "UPDATE api_key SET revoked = :now, revoked_by = :by, version = version + 1 "
                "WHERE id = :id AND revoked IS NULL",
                {"id": id, "now": now, "by": revoked_by},
            )

        await self._connections.write(revoke_key)

    async def _read_keys(self, tail: str, values: dict[str, Any]) -> list[ApiKey]:
        rows = await self._connections.read(lambda session: session.fetch_rows(f"{_SELECT} {tail}", values))
        return [_parse_key_row(row) for row in rows]


async def _count_keys(session: DatabaseSession, created_by: str) -> int:
    rows = await session.fetch_rows("SELECT COUNT(*) FROM api_key WHERE created_by = :by", {"by": created_by})
    return int(rows[0][0])


def _build_unknown_key_error(id: str) -> UnknownKeyError:
    return UnknownKeyError(f"there is no API key {id!r}. Run: flowlet key list")


def _parse_key_row(row: Sequence[Any]) -> ApiKey:
    id, name, role, user_id, username, disabled, *rest = row
    return ApiKey(id, name, Role(role), user_id, username, bool(disabled), *rest)
