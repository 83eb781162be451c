"""Users and API keys."""

from __future__ import annotations

from flowlet.accounts.roles import Role
from flowlet.client import endpoints
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.request import quote_segment
from flowlet.client.resources import ApiKey, IssuedApiKey, User
from flowlet.clock import Duration

__all__ = ["AsyncKeys", "AsyncUsers"]


class AsyncUsers:
    """The users. Every method requires the role admin.

    Methods that change a user take ``expected_version``: the server refuses the change with ``RefusedError`` unless the
    user still has this ``version``; None accepts any version.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(self) -> list[User]:
        """Return every user, by name."""
        return await self._transport.send(endpoints.build_get_request("/api/users", list[User]))

    async def get(self, id: int) -> User:
        """Return a user.

        Raises:
            NotFoundError: If there is no user with this id.
        """
        return await self._transport.send(endpoints.build_get_request(f"/api/users/{id}", User))

    async def create(self, username: str, password: str, *, role: Role | str = Role.VIEWER) -> User:
        """Create a user.

        Args:
            username: 1 to 120 printable characters; unique regardless of case.
            password: 8 to 1,000 characters.
            role: The user's role.

        Raises:
            BadRequestError: If the username or the password breaks these rules.
            RefusedError: If another user has this name.
        """
        api_request = endpoints.build_post_request(
            "/api/users", User, username=username, password=password, role=str(role)
        )
        return await self._transport.send(api_request)

    async def delete(self, id: int, *, expected_version: int | None = None) -> None:
        """Delete a user with all sessions and API keys; histories keep the name.

        Raises:
            NotFoundError: If there is no user with this id.
            RefusedError: If the user is the last admin.
        """
        await self._transport.send(
            endpoints.build_delete_request(f"/api/users/{id}", expected_version=expected_version)
        )

    async def set_password(self, id: int, password: str, *, expected_version: int | None = None) -> User:
        """Change a user's password. This ends the user's sessions; API keys keep working.

        Raises:
            BadRequestError: If the password breaks the rules.
            NotFoundError: If there is no user with this id.
        """
        api_request = endpoints.build_post_request(
            f"/api/users/{id}/password", User, password=password, expected_version=expected_version
        )
        return await self._transport.send(api_request)

    async def set_role(self, id: int, role: Role | str, *, expected_version: int | None = None) -> User:
        """Change a user's role, at once for open sessions and API keys too.

        Raises:
            NotFoundError: If there is no user with this id.
            RefusedError: If the user is the last admin.
        """
        api_request = endpoints.build_post_request(
            f"/api/users/{id}/role", User, role=str(role), expected_version=expected_version
        )
        return await self._transport.send(api_request)

    async def disable(self, id: int, *, expected_version: int | None = None) -> User:
        """Disable a user: sessions end, and API keys are refused.

        Raises:
            NotFoundError: If there is no user with this id.
            RefusedError: If the user is the last admin.
        """
        api_request = endpoints.build_post_request(f"/api/users/{id}/disable", User, expected_version=expected_version)
        return await self._transport.send(api_request)

    async def enable(self, id: int, *, expected_version: int | None = None) -> User:
        """Enable a user again, with the same password and API keys.

        Raises:
            NotFoundError: If there is no user with this id.
        """
        api_request = endpoints.build_post_request(f"/api/users/{id}/enable", User, expected_version=expected_version)
        return await self._transport.send(api_request)


class AsyncKeys:
    """The API keys: the caller's own, or for an admin those of all users."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(self) -> list[ApiKey]:
        """Return the API keys, revoked and expired ones included, the newest first."""
        return await self._transport.send(endpoints.build_get_request("/api/keys", list[ApiKey]))

    async def create(
        self,
        name: str,
        *,
        role: Role | str = Role.VIEWER,
        username: str | None = None,
        expires_in: Duration | None = None,
        may_act_on_behalf: bool = False,
    ) -> IssuedApiKey:
        """Create an API key. The result's ``key`` is its text, which the server never shows again.

        Args:
            name: What the key is for.
            role: The key's role, which its owner's role limits.
            username: The owner; the caller if None.
            expires_in: When the key expires, from now; never if None.
            may_act_on_behalf: Whether it may act on behalf of other persons: ``AsyncClient(on_behalf_of=...)``. Only
                admins create such keys.

        Raises:
            DurationError: If ``expires_in`` is not a duration.
            BadRequestError: If the name or the expiry breaks the rules.
            ForbiddenError: If the caller may not create this key; only an admin's API key creates further keys.
            NotFoundError: If there is no such owner.
        """
        lifetime = None if expires_in is None else endpoints.format_api_duration(expires_in)
        api_request = endpoints.build_post_request(
            "/api/keys",
            IssuedApiKey,
            name=name,
            role=str(role),
            username=username,
            expires_in=lifetime,
            may_act_on_behalf=may_act_on_behalf,
        )
        return await self._transport.send(api_request)

    async def revoke(self, id: str, *, expected_version: int | None = None) -> None:
        """Revoke an API key permanently.

        Raises:
            ForbiddenError: If the key's role is above the caller's.
            NotFoundError: If the caller can see no key with this id.
            RefusedError: If the key does not have ``expected_version``; None accepts any version.
        """
        await self._transport.send(
            endpoints.build_delete_request(f"/api/keys/{quote_segment(id)}", expected_version=expected_version)
        )
