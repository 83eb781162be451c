"""The table of saved views: names for addresses of the workflow list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import make_username_key
from flowlet.errors import NotFoundError
from flowlet.store.columns import Codec, Expression, RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.definitions import save_concurrently
from flowlet.store.people.audit import write_audit
from flowlet.store.people.tables import VIEW
from flowlet.store.tables import USER
from flowlet.store.users import lock_user
from flowlet.text import MAX_INTEGER

__all__ = ["SHARED_OWNER", "ViewChange", "ViewRecord", "ViewStore"]

SHARED_OWNER = 0
"""The owner of views that all users share; no user has this id."""


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """A saved view. Times are microseconds since 1970 UTC.

    Attributes:
        id: Its id.
        name: Its name, unique in any case among those of its user, or those that all users share.
        address: The filters, the order and the columns: what follows the question mark in the list's address.
        is_shared: Whether all users see it; otherwise only its user does.
        is_default: Whether it opens for its user when the list is opened without filters.
        version: Raised by each change; what ``expected_version`` is compared with.
        created: When it was created.
        created_by: Who created it.
        modified: When it was last changed.
        modified_by: Who changed it.
    """

    id: int
    name: str
    address: str
    is_shared: bool
    is_default: bool
    version: int
    created: int
    created_by: str
    modified: int
    modified_by: str


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a view is to be from now on, and who says so. ``now`` is the store's time."""

    name: str
    address: str
    is_default: bool
    by: str
    now: int


_IS_SHARED = Expression(f"CASE owner_id WHEN {SHARED_OWNER} THEN 1 ELSE 0 END", Codec(int, bool))
_READER = RowReader(ViewRecord, {"": VIEW}, expressions={"is_shared": _IS_SHARED})
_INSERTED = VIEW.omit_columns("id")
_SELECT = f"SELECT {_READER.select_list} FROM {VIEW}"
_OWNERS = f"({SHARED_OWNER}, COALESCE((SELECT id FROM {USER} WHERE username_key = :key), {SHARED_OWNER}))"
"""The owners whose views a user sees. A name that is no user's sees the shared ones."""
_UPDATE = f"""
UPDATE {VIEW} SET name = :name, name_key = :name_key, address = :address, is_default = :is_default,
    version = version + 1, modified = :now, modified_by = :by
WHERE id = :id
"""


class ViewStore:
    """Reads and writes saved views. Every method that writes is one transaction; changes of shared ones are audited."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_visible(self, username: str) -> list[ViewRecord]:
        """Return the views that a user sees, by name: the user's own ones, then those that all share."""
        sql = f"{_SELECT} WHERE owner_id IN {_OWNERS}"
        values = {"key": make_username_key(username)}
        found = _READER.parse_all(await self._connections.read(lambda session: session.fetch_rows(sql, values)))
        return sorted(found, key=lambda view: (view.is_shared, make_username_key(view.name)))

    async def get(self, id: int, username: str) -> ViewRecord:
        """Return a view that a user sees.

        Raises:
            NotFoundError: If there is none of this id, or it is another user's.
        """
        return _get_view(await self.list_visible(username), id)

    async def create(self, owner_id: int, check: Callable[[Sequence[ViewRecord]], None], new: ViewChange) -> ViewRecord:
        """Lock the views of an owner, check, and create one more.

        Args:
            owner_id: The user's id; 0 for a view that all share.
            check: Is given the views that the owner has, and raises if this one must not be added.
            new: The view.

        Raises:
            NotFoundError: If there is no such user, or the user is disabled.
            Exception: Whatever ``check`` raises; nothing is written then.
        """

        async def check_and_insert(session: DatabaseSession) -> ViewRecord:
            # A user who is being deleted gets no view afterwards: the deletion locks the same row.
            if owner_id != SHARED_OWNER and await lock_user(session, owner_id) is None:
                raise NotFoundError(f"there is no user {new.by!a} who could own a view")
            check(await _lock_views(session, owner_id))
            if new.is_default:
                await _clear_default(session, owner_id)
            row = [owner_id, new.name, make_username_key(new.name), new.address, int(new.is_default), 1]
            await session.insert_many(VIEW, _INSERTED, [[*row, new.now, new.by, new.now, new.by]])
            made = next(one for one in await _lock_views(session, owner_id) if one.name == new.name)
            await _audit_shared(session, made, AuditAction.VIEW_CREATED, new.by, new.now)
            return made

        # Of two first views of one name at once the unique index refuses one, which then finds the other.
        return await save_concurrently(self._connections, check_and_insert)

    async def change(
        self, id: int, username: str, decide: Callable[[ViewRecord, Sequence[ViewRecord]], ViewChange]
    ) -> ViewRecord:
        """Lock all views of the owner of one, decide, write. Return the view as it is afterwards.

        Args:
            id: The view.
            username: Who changes it, and has to see it.
            decide: Returns the change, given the view and the others of its owner. It is called again if the
                transaction lost against another one.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
            Exception: Whatever ``decide`` raises; nothing is written then.
        """

        async def decide_and_write(session: DatabaseSession) -> ViewRecord:
            owner_id = await _find_owner(session, id, username)
            views = await _lock_views(session, owner_id)
            found = _get_view(views, id)
            made = decide(found, [one for one in views if one.id != id])
            if made.is_default and not found.is_default:
                await _clear_default(session, owner_id)
            names = {"name": made.name, "name_key": make_username_key(made.name), "address": made.address}
            flags = {"is_default": int(made.is_default), "now": made.now, "by": made.by, "id": id}
            await session.execute(_UPDATE, names | flags)
            after = _get_view(await _lock_views(session, owner_id), id)
            await _audit_shared(session, after, AuditAction.VIEW_CHANGED, made.by, made.now)
            return after

        return await save_concurrently(self._connections, decide_and_write)

    async def delete(self, id: int, username: str, check: Callable[[ViewRecord], None], *, now: int) -> ViewRecord:
        """Lock the views of the owner of one, check, delete it, and return it as it was.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
            Exception: Whatever ``check`` raises; nothing is deleted then.
        """

        async def check_and_delete(session: DatabaseSession) -> ViewRecord:
            owner_id = await _find_owner(session, id, username)
            found = _get_view(await _lock_views(session, owner_id), id)
            check(found)
            await session.execute(f"DELETE FROM {VIEW} WHERE id = :id", {"id": id})
            await _audit_shared(session, found, AuditAction.VIEW_DELETED, username, now)
            return found

        return await self._connections.write(check_and_delete)


async def _find_owner(session: DatabaseSession, id: int, username: str) -> int:
    """Return the owner of a view that a user sees: an id is never used for another view, whoever owns it."""
    sql = f"SELECT owner_id FROM {VIEW} WHERE id = :id AND owner_id IN {_OWNERS}"
    rows = await session.fetch_rows(sql, {"id": min(id, MAX_INTEGER), "key": make_username_key(username)})
    if not rows:
        raise NotFoundError(f"there is no view {id}")
    return int(rows[0][0])


async def _lock_views(session: DatabaseSession, owner_id: int) -> list[ViewRecord]:
    """Lock and return all views of an owner, of which there are few: names, numbers and the default stay as read."""
    sql = f"{_SELECT} WHERE owner_id = :owner_id ORDER BY id {session.dialect.expressions.for_update_sql}"
    return _READER.parse_all(await session.fetch_rows(sql, {"owner_id": owner_id}))


async def _clear_default(session: DatabaseSession, owner_id: int) -> None:
    sql = f"UPDATE {VIEW} SET is_default = 0, version = version + 1 WHERE owner_id = :owner_id AND is_default = 1"
    await session.execute(sql, {"owner_id": owner_id})


async def _audit_shared(session: DatabaseSession, view: ViewRecord, action: AuditAction, by: str, now: int) -> None:
    """Record a change of what all users see; a user's own view concerns no other user."""
    if view.is_shared:
        await write_audit(session, [AuditEntry(by, action, view.name)], now=now)


def _get_view(views: Sequence[ViewRecord], id: int) -> ViewRecord:
    found = next((view for view in views if view.id == id), None)
    if found is None:
        raise NotFoundError(f"there is no view {id}")
    return found
