"""The table of API keys. It holds only hashes: reading it does not let one log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import ApiKey
from flowlet.accounts.roles import Principal, Role
from flowlet.errors import OwnerError, UnknownKeyError
from flowlet.store.columns import Expression, RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.optimistic_lock import check_version
from flowlet.store.people.audit import write_audit
from flowlet.store.tables import API_KEY, FLAG_CODEC, USER
from flowlet.store.users import lock_user

__all__ = ["ApiKeyCredentials", "ApiKeyStore", "NewApiKey"]

_READER = RowReader(
    ApiKey,
    {"k": API_KEY, "u": USER},
    expressions={"is_owner_disabled": Expression("u.disabled", FLAG_CODEC)},
)
_INSERT_COLUMNS = API_KEY.omit_columns("version", "last_used", "revoked", "revoked_by")
_SELECT = f"""
SELECT {_READER.select_list}
FROM {API_KEY} k JOIN {USER} u ON u.id = k.user_id
"""
_FIND = f"""
SELECT k.key_hash, k.role, u.role, u.username, u.id, k.expires, k.last_used, k.may_act_on_behalf
FROM {API_KEY} k JOIN {USER} u ON u.id = k.user_id
WHERE k.id = :id AND k.revoked IS NULL AND u.disabled = 0
"""


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key to be created.

    Attributes:
        expires: In microseconds since 1970 UTC; None for never.
        expected_version: How many API keys its creator has to have created before; None for any number.
        may_act_on_behalf: Whether it may act on behalf of other persons.
    """

    id: str
    key_hash: str = field(repr=False)
    name: str
    role: Role
    user_id: int
    expires: int | None
    created_by: str
    expected_version: int | None = None
    may_act_on_behalf: bool = False


@dataclass(frozen=True, slots=True)
class ApiKeyCredentials:
    """A key that is not revoked and whose owner is enabled: its principal, and the hash that a given key must have."""

    principal: Principal
    key_hash: str = field(repr=False)
    expires: int | None
    last_used: int | None


class ApiKeyStore:
    """Reads and writes API keys. Every method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def insert(self, new: NewApiKey, *, now: int) -> bool:
        """Create a key; return False, and create none, if its id is in use.

        Raises:
            OwnerError: If the owner is disabled or deleted, or has a lesser role than the key.
            StaleError: If the user who creates it has created another number of keys than expected.
        """

        async def insert_key(session: DatabaseSession) -> bool:
            owner = await lock_user(session, new.user_id)
            if owner is None:
                raise OwnerError("the key's owner is disabled or deleted: the key could not be used.")
            if new.role > owner.role:
                raise OwnerError(
                    f"{owner.username!r} is {owner.role}: a key of that user cannot be {new.role}. "
                    f"Choose the role {owner.role} or a lesser one, or another owner."
                )
            if await session.fetch_rows(f"SELECT id FROM {API_KEY} WHERE id = :id", {"id": new.id}):
                return False
            if new.expected_version is not None:
                # Under the lock of the owner's row: a form that is sent twice waits for its first submission.
                count = await _count_keys(session, new.created_by)
                check_version(f"the list of API keys created by {new.created_by!r}", count, new.expected_version)
            may_act = int(new.may_act_on_behalf)
            row = (
                new.id,
                new.key_hash,
                new.name,
                new.role.value,
                new.user_id,
                may_act,
                now,
                new.created_by,
                new.expires,
            )
            await session.insert_many(API_KEY, _INSERT_COLUMNS, [row])
            detail = f"of {owner.username}, role {new.role}" + (", acts on behalf of others" if may_act else "")
            await write_audit(session, [AuditEntry(new.created_by, AuditAction.KEY_CREATED, new.id, detail)], now=now)
            return True

        return await self._connections.write(insert_key)

    async def find(self, id: str) -> ApiKeyCredentials | None:
        """Return a key, expired or not; None if there is none, it is revoked, or its owner is disabled."""
        for row in await self._connections.read(lambda session: session.fetch_rows(_FIND, {"id": id})):
            key_hash, role, owner_role, username, user_id, expires, last_used, may_act = row
            # The owner may have been demoted since the key was made.
            least = min(Role(role), Role(owner_role))
            principal = Principal(username, least, user_id, id, may_act_on_behalf=bool(may_act))
            return ApiKeyCredentials(principal, key_hash, expires, last_used)
        return None

    async def record_use(self, id: str, *, now: int, unused_since: int) -> None:
        """Store that a key is in use, unless a use after ``unused_since`` is stored already."""
        is_unused = "(last_used IS NULL OR last_used <= :unused_since)"
        sql = f"UPDATE {API_KEY} SET last_used = :now WHERE id = :id AND {is_unused}"
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
            sql = f"SELECT version, revoked FROM {API_KEY} WHERE id = :id {session.dialect.expressions.for_update_sql}"
            found = await session.fetch_rows(sql, {"id": id})
            if not found:
                raise _build_unknown_key_error(id)
            ((version, revoked),) = found
            check_version(f"the API key {id!r}", version, expected_version)
            if revoked is not None:
                return
            await session.execute(
                f"UPDATE {API_KEY} SET revoked = :now, revoked_by = :by, version = version + 1 "
                "WHERE id = :id AND revoked IS NULL",
                {"id": id, "now": now, "by": revoked_by},
            )
            await write_audit(session, [AuditEntry(revoked_by, AuditAction.KEY_REVOKED, id)], now=now)

        await self._connections.write(revoke_key)

    async def _read_keys(self, tail: str, values: dict[str, Any]) -> list[ApiKey]:
        rows = await self._connections.read(lambda session: session.fetch_rows(f"{_SELECT} {tail}", values))
        return _READER.parse_all(rows)


async def _count_keys(session: DatabaseSession, created_by: str) -> int:
    ((count,),) = await session.fetch_rows(f"SELECT COUNT(*) FROM {API_KEY} WHERE created_by = :by", {"by": created_by})
    return int(count)


def _build_unknown_key_error(id: str) -> UnknownKeyError:
    return UnknownKeyError(f"there is no API key {id!r}. Run: flowlet key list")
