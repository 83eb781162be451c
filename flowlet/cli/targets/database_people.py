"""The people of a database as the target of a command."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowlet.accounts.models import ApiKey, User
from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.cli.targets.people import StatusChange
from flowlet.operations.people.teams import TeamOperations
from flowlet.operations.views.saved_views import ViewOperations
from flowlet.store.opening import Store
from flowlet.store.people.teams import TeamRecord
from flowlet.store.people.views import ViewRecord

__all__ = ["DatabasePeople"]


class DatabasePeople:
    """Users, API keys, teams and saved views of a database.

    Args:
        store: The database.
        username: Who operates; recorded with each change.
    """

    def __init__(self, store: Store, username: str) -> None:
        self._store = store
        self._username = username
        self._users = Users(store)
        self._teams = TeamOperations(store)
        self._views = ViewOperations(store)

    def now(self) -> int:
        """Return the store's time."""
        return self._store.clock.now()

    async def list_users(self) -> Sequence[User]:
        """Return every user."""
        return await self._users.list_users()

    async def create_user(self, name: str, password: str, role: Role) -> User:
        """Create a user."""
        return await self._users.create(name, password, role, actor=self._username)

    async def set_password(self, name: str, password: str, *, expected_version: int | None) -> User:
        """Change a user's password."""
        return await self._users.set_password(name, password, actor=self._username, expected_version=expected_version)

    async def set_role(self, name: str, role: Role, *, expected_version: int | None) -> User:
        """Change a user's role."""
        return await self._users.set_role(name, role, actor=self._username, expected_version=expected_version)

    async def change_status(self, change: StatusChange, name: str, *, expected_version: int | None) -> User:
        """Disable or enable a user."""
        operate = self._users.disable if change == "disable" else self._users.enable
        return await operate(name, actor=self._username, expected_version=expected_version)

    async def delete_user(self, name: str, *, expected_version: int | None) -> None:
        """Delete a user."""
        await self._users.delete(name, actor=self._username, expected_version=expected_version)

    async def list_keys(self, owner: str | None) -> Sequence[ApiKey]:
        """Return the API keys of a user, or of all."""
        return await self._users.keys.list_keys(owner)

    async def create_key(
        self, name: str, owner: str, role: Role, lifetime: timedelta | None, *, may_act_on_behalf: bool
    ) -> tuple[ApiKey, str]:
        """Create an API key."""
        made = await self._users.keys.create(
            name,
            username=owner,
            role=role,
            actor=self._username,
            lifetime=lifetime,
            may_act_on_behalf=may_act_on_behalf,
        )
        return made.key, made.text

    async def revoke_key(self, id: str, *, expected_version: int | None) -> ApiKey:
        """Revoke an API key."""
        return await self._users.keys.revoke(id, actor=self._username, expected_version=expected_version)

    async def list_teams(self) -> Sequence[TeamRecord]:
        """Return every team."""
        return await self._teams.list_all()

    async def change_members(self, name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> TeamRecord:
        """Add and remove members of a team."""
        return await self._teams.change_members(name, add=add, remove=remove, username=self._username)

    async def delete_team(self, name: str, *, expected_version: int | None) -> None:
        """Delete a team."""
        await self._teams.delete(name, username=self._username, expected_version=expected_version)

    async def list_views(self) -> Sequence[ViewRecord]:
        """Return the views that the user sees; one that is no user of Flowlet sees the shared ones."""
        return await self._views.list_all(username=self._username)

    async def create_view(self, name: str, address: str, *, is_shared: bool, is_default: bool) -> ViewRecord:
        """Save an address of the list under a name."""
        return await self._views.create(
            name, address, username=self._username, is_shared=is_shared, is_default=is_default
        )

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
        return await self._views.change(
            id,
            username=self._username,
            name=name,
            address=address,
            is_default=is_default,
            expected_version=expected_version,
        )

    async def delete_view(self, id: int, *, expected_version: int | None) -> None:
        """Delete a view."""
        await self._views.delete(id, username=self._username, expected_version=expected_version)
