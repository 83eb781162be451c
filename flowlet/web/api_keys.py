"""What somebody may do with API keys, over the API and in the console alike: one's own, and everybody's for admins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowlet.accounts.models import ApiKey
from flowlet.accounts.roles import Principal, Role
from flowlet.auth.api_keys import IssuedApiKey
from flowlet.errors import UnknownKeyError
from flowlet.web.auth import get_principal
from flowlet.web.problems import build_forbidden_error
from flowlet.web.services import get_services

__all__ = ["add_key", "list_visible_keys", "revoke_visible_key"]


async def list_visible_keys() -> Sequence[ApiKey]:
    """Return one's own keys, to an admin all of them, the newest first; revoked and expired ones too."""
    me = get_principal()
    return await get_services().users.keys.list_keys(None if me.role is Role.ADMIN else me.username)


async def add_key(
    name: str, *, owner: str, role: Role, expires_in: timedelta | None, expected_version: int | None = None
) -> IssuedApiKey:
    """Create a key; ``expected_version`` is that of the list of keys that the caller has created.

    Whoever is logged in makes keys of their own, with at most their own role; an admin makes anybody's. An API key
    makes further ones only with the role admin: else one that leaked could outlive its being revoked.

    Raises:
        ProblemError: 403 if who asks may not.
        FlowletError: As ``ApiKeys.add``.
    """
    me = get_principal()
    if me.role is not Role.ADMIN:
        _check_key_creation(me, owner, role)
    keys = get_services().users.keys
    return await keys.create(
        name, username=owner, role=role, actor=me.username, lifetime=expires_in, expected_version=expected_version
    )


async def revoke_visible_key(id: str, *, expected_version: int | None = None) -> ApiKey:
    """Revoke a key for good: one's own with at most one's own role, as an admin any.

    Raises:
        UnknownKeyError: If there is none that who asks can see.
        ProblemError: 403 if it may do more than who asks.
    """
    me = get_principal()
    keys = get_services().users.keys
    if me.role is not Role.ADMIN:
        own = [key for key in await keys.list_keys(me.username) if key.id == id]
        if not own:
            raise UnknownKeyError(
                f"{me.username} has no API key with this id. GET /api/keys tells those that there are."
            )
        if own[0].role > me.role:
            raise build_forbidden_error(f"The key has the role {own[0].role}, and you ask with the role {me.role}.")
    return await keys.revoke(id, actor=me.username, expected_version=expected_version)


def _check_key_creation(caller: Principal, owner: str, role: Role) -> None:
    """Refuse a key that would let somebody who is no admin do more than now, or for longer."""
    if caller.key_id is not None:
        raise build_forbidden_error(
            "An API key makes further ones only with the role admin. Use the command flowlet key add."
        )
    if owner != caller.username:
        raise build_forbidden_error(
            f"Only an admin makes keys of others, and {caller.username} has the role {caller.role}."
        )
    if role > caller.role:
        raise build_forbidden_error(f"A key of {caller.username} can have the role {caller.role} at most, not {role}.")
