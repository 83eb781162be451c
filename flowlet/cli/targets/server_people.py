"""The people of a server as the target of a command: everything goes through its API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowlet.accounts.models import ApiKey, User, make_username_key
from flowlet.accounts.roles import Role
from flowlet.cli.targets.api_records import build_key, build_team, build_user, build_view
from flowlet.cli.targets.people import StatusChange
from flowlet.client import AsyncClient, ForbiddenError
from flowlet.clock import StoreClock
from flowlet.errors import NotFoundError, UnknownKeyError, UnknownUserError
from flowlet.store.people.teams import TeamRecord
from flowlet.store.people.views import ViewRecord
from flowlet.text import MAX_NAME_LENGTH

__all__ = ["ServerPeople"]


class ServerPeople:
    """Users, API keys, teams and saved views of a server. Its API names users by ids, and people name them by names.

    Args:
        client: The client of the server.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._users = client.users
        self._keys = client.keys
        self._teams = client.teams
        self._views = client.views

    def now(self) -> int:
        """Return the time of this machine."""
        return StoreClock().now()

    async def list_users(self) -> Sequence[User]:
        """Return every user."""
        return [build_user(one) for one in await self._users.list_all()]

    async def create_user(self, name: str, password: str, role: Role) -> User:
        """Create a user."""
        return build_user(await self._users.create(name, password, role=role))

    async def set_password(self, name: str, password: str, *, expected_version: int | None) -> User:
        """Change a user's password."""
        id = await self._find_user_id(name)
        return build_user(await self._users.set_password(id, password, expected_version=expected_version))

    async def set_role(self, name: str, role: Role, *, expected_version: int | None) -> User:
        """Change a user's role."""
        id = await self._find_user_id(name)
        return build_user(await self._users.set_role(id, role, expected_version=expected_version))

    async def change_status(self, change: StatusChange, name: str, *, expected_version: int | None) -> User:
        """Disable or enable a user."""
        operate = self._users.disable if change == "disable" else self._users.enable
        return build_user(await operate(await self._find_user_id(name), expected_version=expected_version))

    async def delete_user(self, name: str, *, expected_version: int | None) -> None:
        """Delete a user."""
        await self._users.delete(await self._find_user_id(name), expected_version=expected_version)

    async def list_keys(self, owner: str | None) -> Sequence[ApiKey]:
        """Return the API keys of a user, or of all that the caller may see."""
        id = None if owner is None else await self._find_user_id(owner)
        disabled = await self._read_disabled_ids()
        found = [one for one in await self._keys.list_all() if id in (None, one.user_id)]
        return [build_key(one, is_owner_disabled=one.user_id in disabled) for one in found]

    async def create_key(
        self, name: str, owner: str, role: Role, lifetime: timedelta | None, *, may_act_on_behalf: bool
    ) -> tuple[ApiKey, str]:
        """Create an API key."""
        made = await self._keys.create(
            name, role=role, username=owner, expires_in=lifetime, may_act_on_behalf=may_act_on_behalf
        )
        return build_key(made, is_owner_disabled=False), made.key

    async def revoke_key(self, id: str, *, expected_version: int | None) -> ApiKey:
        """Revoke an API key; of its whole text only the id is sent."""
        shown = id.removeprefix("flk_").partition("_")[0]
        await self._keys.revoke(shown, expected_version=expected_version)
        for one in await self.list_keys(None):
            if one.id == shown:
                return one
        raise UnknownKeyError(f"there is no API key {shown[:MAX_NAME_LENGTH]!a}")

    async def list_teams(self) -> Sequence[TeamRecord]:
        """Return every team."""
        return [build_team(one) for one in await self._teams.list_all()]

    async def change_members(self, name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> TeamRecord:
        """Add and remove members of a team. A change of another client in between is refused, not lost.

        Raises:
            NotFoundError: If there is no such team, and no member is added.
        """
        found = {one.name: one for one in await self._teams.list_all()}.get(name)
        if found is None and not add:
            raise NotFoundError(f"there is no team {name[:MAX_NAME_LENGTH]!a}")
        removed = {make_username_key(one) for one in remove}
        named = {make_username_key(one): one for one in (*(found.members if found else ()), *add)}
        members = [one for key, one in named.items() if key not in removed]
        version = found.version if found else 0
        return build_team(await self._teams.set_members(name, members, expected_version=version))

    async def delete_team(self, name: str, *, expected_version: int | None) -> None:
        """Delete a team."""
        await self._teams.delete(name, expected_version=expected_version)

    async def list_views(self) -> Sequence[ViewRecord]:
        """Return the views that the user of the API key sees."""
        return [build_view(one) for one in await self._views.list_all()]

    async def create_view(self, name: str, address: str, *, is_shared: bool, is_default: bool) -> ViewRecord:
        """Save an address of the list under a name."""
        return build_view(await self._views.create(name, address, is_shared=is_shared, is_default=is_default))

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
        return build_view(
            await self._views.change(
                id, name=name, address=address, is_default=is_default, expected_version=expected_version
            )
        )

    async def delete_view(self, id: int, *, expected_version: int | None) -> None:
        """Delete a view."""
        await self._views.delete(id, expected_version=expected_version)

    async def _read_disabled_ids(self) -> set[int]:
        """Return the ids of the disabled users. Who may not list users sees only keys of its own, and is enabled."""
        try:
            return {one.id for one in await self._users.list_all() if one.is_disabled}
        except ForbiddenError:
            return set()

    async def _find_user_id(self, name: str) -> int:
        key = make_username_key(name)
        for one in await self._users.list_all():
            if make_username_key(one.username) == key:
                return one.id
        raise UnknownUserError(f"there is no user {name[:MAX_NAME_LENGTH]!a}")
