"""The operations on saved views that the API, the console and the command line share."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flowlet.accounts.models import make_username_key, normalize_name
from flowlet.errors import RefusedError, UserError
from flowlet.operations.views.address import read_view_address
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.store.people.views import SHARED_OWNER, ViewChange, ViewRecord
from flowlet.text import MAX_IDENTIFIER_LENGTH, clean_text

__all__ = ["MAX_OWN_VIEWS", "MAX_SHARED_VIEWS", "ViewOperations"]

MAX_OWN_VIEWS = 50
MAX_SHARED_VIEWS = 100

logger = logging.getLogger(__name__)


class ViewOperations:
    """Creates, changes and deletes saved views of the workflow list. Every change is one transaction.

    A user sees and changes the user's own views, and sees those that all share. Whether the user may change these, for
    which the API and the console require the role operator, is for the caller to check.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_all(self, *, username: str) -> list[ViewRecord]:
        """Return the views that a user sees: the user's own ones by name, then those that all share.

        Args:
            username: The user; a name that is no user's sees the shared ones.
        """
        return await self._store.views.list_visible(username)

    async def get(self, id: int, *, username: str) -> ViewRecord:
        """Return a view.

        Args:
            id: The view.
            username: The user who has to see it.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
        """
        return await self._store.views.get(id, username)

    async def create(
        self, name: str, address: str, *, username: str, is_shared: bool = False, is_default: bool = False
    ) -> ViewRecord:
        """Save an address of the list under a name.

        Args:
            name: 1 to 120 characters; unique among the views of the user, or those that all share, in any case.
            address: The filters, the order and the columns, such as ``status=FAILED&sort=-modified``.
            username: The user whose view it is, or who shares it.
            is_shared: Whether all users see it.
            is_default: Whether it opens when the user opens the list without filters, and no other one does.

        Raises:
            UserError: If the name or the address cannot be used, or a shared view is to be a default.
            RefusedError: If there is a view of this name, or there are too many: 50 of a user, 100 that all share.
            UnknownUserError: If the user does not exist, and the view is not shared.
        """
        if is_shared and is_default:
            raise UserError("a shared view cannot be a default: each user has an own one.")
        new = self._build_change(name, address, is_default=is_default, username=username)
        owner_id = SHARED_OWNER if is_shared else (await self._store.users.get(username)).id
        limit = MAX_SHARED_VIEWS if is_shared else MAX_OWN_VIEWS

        def check(views: Sequence[ViewRecord]) -> None:
            _check_name(new.name, views)
            if len(views) >= limit:
                raise RefusedError(f"there are {limit} views already, which is the limit: delete one first.")

        made = await self._store.views.create(owner_id, check, new)
        logger.info("view %d created by %s", made.id, new.by)
        return made

    async def change(
        self,
        id: int,
        *,
        username: str,
        name: str | None = None,
        address: str | None = None,
        is_default: bool | None = None,
        expected_version: int | None = None,
    ) -> ViewRecord:
        """Rename a view, overwrite its address, or make it the default. What is None stays as it is.

        Args:
            id: The view.
            username: Who changes it.
            name: As for ``create``.
            address: As for ``create``.
            is_default: As for ``create``.
            expected_version: The version that the caller has read; None for any.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
            UserError: If the name or the address cannot be used, or a shared view is to be a default.
            RefusedError: If there is another view of this name.
            StaleError: If the view has another version.
        """

        def decide(before: ViewRecord, others: Sequence[ViewRecord]) -> ViewChange:
            check_version(f"the view {before.name!r}", before.version, expected_version, changed_by=before.modified_by)
            if before.is_shared and is_default:
                raise UserError("a shared view cannot be a default: each user has an own one.")
            kept = before.is_default if is_default is None else is_default
            made = self._build_change(
                before.name if name is None else name, address, is_default=kept, username=username, before=before
            )
            _check_name(made.name, others)
            return made

        changed = await self._store.views.change(id, username, decide)
        logger.info("view %d changed by %s", id, changed.modified_by)
        return changed

    async def delete(self, id: int, *, username: str, expected_version: int | None = None) -> None:
        """Delete a view.

        Args:
            id: The view.
            username: Who deletes it.
            expected_version: The version that the caller has read; None for any.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
            StaleError: If the view has another version.
        """

        def check(found: ViewRecord) -> None:
            check_version(f"the view {found.name!r}", found.version, expected_version, changed_by=found.modified_by)

        await self._store.views.delete(id, username, check, now=self._store.clock.now())
        logger.info("view %d deleted by %s", id, username)

    def _build_change(
        self, name: str, address: str | None, *, is_default: bool, username: str, before: ViewRecord | None = None
    ) -> ViewChange:
        """Return a checked change. An address that stays is not checked: a later version may not understand it."""
        kept = before.address if before and address is None else read_view_address(address or "").text
        by = clean_text(username, MAX_IDENTIFIER_LENGTH)
        return ViewChange(normalize_name(name, "a view's name"), kept, is_default, by, self._store.clock.now())


def _check_name(name: str, others: Sequence[ViewRecord]) -> None:
    if make_username_key(name) in {make_username_key(view.name) for view in others}:
        raise RefusedError(f"there is a view {name!a} already; upper and lower case are the same.")
