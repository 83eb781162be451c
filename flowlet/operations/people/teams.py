"""The operations on teams that the API, the console and the command line share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from flowlet.accounts.models import make_username_key
from flowlet.errors import NotFoundError, UserError
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.store.people.teams import MAX_MEMBERS, TeamRecord
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_NAME_LENGTH, clean_text
from flowlet.workflow.question import check_team_name

__all__ = ["TeamOperations"]

logger = logging.getLogger(__name__)


class TeamOperations:
    """Creates, changes and deletes teams, for admins. Every change is one transaction; the log names who made it.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_all(self) -> list[TeamRecord]:
        """Return every team, by name."""
        return await self._store.teams.list_all()

    async def set_members(
        self, name: str, members: Sequence[str], *, username: str, expected_version: int | None = None
    ) -> TeamRecord:
        """Create a team with these members, or replace the members of one.

        Args:
            name: The team.
            members: The names of the users, at most 1,000.
            username: Who changes it.
            expected_version: The version that the caller has read, 0 for a team that does not exist; None for any.

        Raises:
            UserError: If the name cannot be a team's, or there are too many members.
            UnknownUserError: If there is no user of one of the names.
            StaleError: If the team has another version.
        """

        def decide(before: TeamRecord | None) -> tuple[str, ...]:
            check_version(f"the team {name!r}", before.version if before else 0, expected_version)
            return tuple(members)

        if len(members) > MAX_MEMBERS:
            raise UserError(f"a team has at most {MAX_MEMBERS:,} members, not {len(members):,}.")
        return await self._change(name, decide, username)

    async def change_members(
        self, name: str, *, username: str, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> TeamRecord:
        """Add and remove members of a team, and create it if there is none.

        Args:
            name: The team.
            username: Who changes it.
            add: The users to add.
            remove: The users to remove; one that is no member is left out.

        Raises:
            NotFoundError: If there is no such team, and no member is added.
            UserError: If the name cannot be a team's, or there are too many members.
            UnknownUserError: If there is no user of one of the names.
        """
        removed = {make_username_key(one) for one in remove}

        def decide(before: TeamRecord | None) -> tuple[str, ...]:
            if before is None and not add:
                raise NotFoundError(f"there is no team {name[:MAX_NAME_LENGTH]!a}")
            named = {make_username_key(one): one for one in (*(before.members if before else ()), *add)}
            members = tuple(one for key, one in named.items() if key not in removed)
            if len(members) > MAX_MEMBERS:
                raise UserError(f"a team has at most {MAX_MEMBERS:,} members, not {len(members):,}.")
            return members

        return await self._change(name, decide, username)

    async def delete(self, name: str, *, username: str, expected_version: int | None = None) -> None:
        """Delete a team. Its members lose its questions; admins can answer them.

        Args:
            name: The team.
            username: Who deletes it.
            expected_version: The version that the caller has read; None for any.

        Raises:
            NotFoundError: If there is no such team.
            StaleError: If the team has another version.
        """
        await self._store.teams.delete(
            name,
            lambda found: check_version(f"the team {name!r}", found.version, expected_version),
            deleted_by=username,
            now=self._store.clock.now(),
        )
        logger.info("team %s deleted by %s", name, username)

    async def _change(
        self, name: str, decide: Callable[[TeamRecord | None], tuple[str, ...]], username: str
    ) -> TeamRecord:
        try:
            check_team_name(name)
        except ValueError as error:
            raise UserError(f"{error}.") from None
        by = clean_text(username, MAX_IDENTIFIER_LENGTH)
        changed = await self._store.teams.change(name, decide, modified_by=by, now=self._store.clock.now())
        logger.info("team %s has %d members; changed by %s", name, len(changed.members), by)
        return changed
