"""The people of a target: users, API keys, teams and saved views of a database or of a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias

from flowlet.accounts.models import ApiKey, User
from flowlet.accounts.roles import Role
from flowlet.store.people.teams import TeamRecord
from flowlet.store.people.views import ViewRecord

__all__ = ["PeopleTarget", "StatusChange"]

StatusChange: TypeAlias = Literal["disable", "enable"]
"""A method of ``Users`` and of ``AsyncUsers``."""


class PeopleTarget(Protocol):
    """Users, API keys, teams and saved views. An operation that raises has changed nothing."""

    def now(self) -> int:
        """Return the time, in microseconds since 1970 UTC."""
        ...

    async def list_users(self) -> Sequence[User]:
        """Return every user, by name."""
        ...

    async def create_user(self, name: str, password: str, role: Role) -> User:
        """Create a user."""
        ...

    async def set_password(self, name: str, password: str, *, expected_version: int | None) -> User:
        """Change a user's password."""
        ...

    async def set_role(self, name: str, role: Role, *, expected_version: int | None) -> User:
        """Change a user's role."""
        ...

    async def change_status(self, change: StatusChange, name: str, *, expected_version: int | None) -> User:
        """Disable a user, or enable one again."""
        ...

    async def delete_user(self, name: str, *, expected_version: int | None) -> None:
        """Delete a user."""
        ...

    async def list_keys(self, owner: str | None) -> Sequence[ApiKey]:
        """Return the API keys of a user, or of all, the newest first."""
        ...

    async def create_key(
        self, name: str, owner: str, role: Role, lifetime: timedelta | None, *, may_act_on_behalf: bool
    ) -> tuple[ApiKey, str]:
        """Create an API key, and return it with its text."""
        ...

    async def revoke_key(self, id: str, *, expected_version: int | None) -> ApiKey:
        """Revoke an API key, named by its id or its text."""
        ...

    async def list_teams(self) -> Sequence[TeamRecord]:
        """Return every team, by name."""
        ...

    async def change_members(self, name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> TeamRecord:
        """Add and remove members of a team."""
        ...

    async def delete_team(self, name: str, *, expected_version: int | None) -> None:
        """Delete a team."""
        ...

    async def list_views(self) -> Sequence[ViewRecord]:
        """Return the views of the workflow list that the user sees: the own ones, then the shared ones."""
        ...

    async def create_view(self, name: str, address: str, *, is_shared: bool, is_default: bool) -> ViewRecord:
        """Save an address of the list under a name."""
        ...

    async def change_view(
        self,
        id: int,
        *,
        name: str | None = None,
        address: str | None = None,
        is_default: bool | None = None,
        expected_version: int | None = None,
    ) -> ViewRecord:
        """Rename a view, overwrite its address, or make it the default."""
        ...

    async def delete_view(self, id: int, *, expected_version: int | None) -> None:
        """Delete a view."""
        ...
