# Made of flowlet/client/asynchronous/users.py by `make client`. Change that one, not this one.
"""Who may do what: users, for admins, and API keys."""

from __future__ import annotations

from flowlet.accounts.roles import Role
from flowlet.client import endpoints
from flowlet.client.request import quote_segment
from flowlet.client.resources import ApiKey, IssuedApiKey, User
from flowlet.client.synchronous.transport import Transport
from flowlet.durations import Duration

__all__ = ["Keys", "Users"]


class Users:
    """The users. All of it needs the role admin."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> list[User]:
        """Return every user, by name."""
        return self._transport.send(endpoints.build_get_request("/api/users", list[User]))

    def get(self, id: int) -> User:
        """Return a user.

        Raises:
            NotFoundError: If there is none with this id.
        """
        return self._transport.send(endpoints.build_get_request(f"/api/users/{id}", User))

    def create(self, username: str, password: str, *, role: Role | str = Role.VIEWER) -> User:
        """Make a user.

        Args:
            username: 1 to 120 printable characters; upper and lower case make no difference.
            password: 8 to 1,000 characters.
            role: What they may do.

        Raises:
            FaultyError: If the name or the password cannot be one.
            RefusedError: If another user has this name.
        """
        api_request = endpoints.build_post_request(
            "/api/users", User, username=username, password=password, role=str(role)
        )
        return self._transport.send(api_request)

    def delete(self, id: int) -> None:
        """Delete a user, with sessions and API keys; histories stay.

        Raises:
            NotFoundError: If there is none with this id.
            RefusedError: If it is the last admin.
        """
        self._transport.send(endpoints.build_delete_request(f"/api/users/{id}"))

    def set_password(self, id: int, password: str) -> User:
        """Change a password. It ends the user's sessions; API keys go on.

        Raises:
            FaultyError: If it cannot be one.
            NotFoundError: If there is no user with this id.
        """
        return self._transport.send(endpoints.build_post_request(f"/api/users/{id}/password", User, password=password))

    def set_role(self, id: int, role: Role | str) -> User:
        """Change what a user may do, at once for open sessions and API keys too.

        Raises:
            NotFoundError: If there is no user with this id.
            RefusedError: If it is the last admin.
        """
        return self._transport.send(endpoints.build_post_request(f"/api/users/{id}/role", User, role=str(role)))

    def disable(self, id: int) -> User:
        """Let a user in no longer: sessions end, API keys are refused.

        Raises:
            NotFoundError: If there is no user with this id.
            RefusedError: If it is the last admin.
        """
        return self._transport.send(endpoints.build_post_request(f"/api/users/{id}/disable", User))

    def enable(self, id: int) -> User:
        """Let a user in again, with password and API keys as before.

        Raises:
            NotFoundError: If there is no user with this id.
        """
        return self._transport.send(endpoints.build_post_request(f"/api/users/{id}/enable", User))


class Keys:
    """The API keys: one's own, or as an admin everybody's."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> list[ApiKey]:
        """Return the API keys, the newest first; revoked and expired ones too."""
        return self._transport.send(endpoints.build_get_request("/api/keys", list[ApiKey]))

    def create(
        self,
        name: str,
        *,
        role: Role | str = Role.VIEWER,
        username: str | None = None,
        expires_in: Duration | None = None,
    ) -> IssuedApiKey:
        """Make an API key. Its text is in ``key``, and nothing shows it again.

        Args:
            name: What it is for.
            role: What it may do at most.
            username: Its owner; None for who asks.
            expires_in: After how long it ends; None for never.

        Raises:
            DurationError: If ``expires_in`` is not a length of time.
            FaultyError: If it cannot be as it was asked for.
            ForbiddenError: If who asks may not make it: by an API key only admins make further ones.
            NotFoundError: If there is no such owner.
        """
        lasts = None if expires_in is None else endpoints.format_api_duration(expires_in)
        api_request = endpoints.build_post_request(
            "/api/keys", IssuedApiKey, name=name, role=str(role), username=username, expires_in=lasts
        )
        return self._transport.send(api_request)

    def revoke(self, id: str) -> None:
        """Revoke an API key for good.

        Raises:
            ForbiddenError: If it may do more than who asks.
            NotFoundError: If there is none with this id.
        """
        self._transport.send(endpoints.build_delete_request(f"/api/keys/{quote_segment(id)}"))
