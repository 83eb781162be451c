"""The rules for API keys that the API and the console share: users manage their own keys, admins all keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowlet.accounts.models import ApiKey
from flowlet.accounts.roles import Principal, Role
from flowlet.auth.api_keys import IssuedApiKey
from flowlet.errors import UnknownKeyError, UnknownUserError
from flowlet.web.auth import get_principal
from flowlet.web.problems import build_forbidden_error
from flowlet.web.services import get_services

__all__ = ["add_key", "list_visible_keys", "revoke_visible_key"]


async def list_visible_keys() -> Sequence[ApiKey]:
    """Return the caller's keys, or all keys for an admin, the newest first; with revoked and expired ones.

    A key that acts on behalf of a person lists and revokes that person's keys, and not those of its owner.
    """
    me = get_principal()
    try:
        return await get_services().users.keys.list_keys(None if me.role is Role.ADMIN else me.person)
    except UnknownUserError:  # the person is no user
        return []


async def add_key(
    name: str,
    *,
    owner: str,
    role: Role,
    expires_in: timedelta | None,
    may_act_on_behalf: bool = False,
    expected_version: int | None = None,
) -> IssuedApiKey:
    """Create a key. ``expected_version`` is the version of the list of keys that the caller has created.

    A user who is logged in creates keys of their own, with at most their own role; an admin creates keys for any user.
    An API key creates further keys only with the role admin: otherwise a leaked key could create another one before it
    is revoked.

    Raises:
        ProblemError: 403 if the caller may not create this key.
        FlowletError: As ``ApiKeys.add``.
    """
    me = get_principal()
    if me.role is not Role.ADMIN:
        _check_key_creation(me, owner, role)
        if may_act_on_behalf:
            raise build_forbidden_error("Only an admin creates API keys that act on behalf of others.")
    keys = get_services().users.keys
    return await keys.create(
        name,
        username=owner,
        role=role,
        actor=me.username,
        lifetime=expires_in,
        may_act_on_behalf=may_act_on_behalf,
        expected_version=expected_version,
    )


async def revoke_visible_key(id: str, *, expected_version: int | None = None) -> ApiKey:
    """Revoke a key permanently: one of the caller's, with at most the caller's role, or for an admin any key.

    Raises:
        UnknownKeyError: If the caller can see no such key.
        ProblemError: 403 if the key's role is above the caller's.
    """
    me = get_principal()
    keys = get_services().users.keys
    if me.role is not Role.ADMIN:
        own = [key for key in await list_visible_keys() if key.id == id]
        if not own:
            raise UnknownKeyError(f"{me.person} has no API key with this id. GET /api/keys lists them.")
        if own[0].role > me.role:
            raise build_forbidden_error(f"The API key has the role {own[0].role}, which is above your role {me.role}.")
    return await keys.revoke(id, actor=me.username, expected_version=expected_version)


def _check_key_creation(caller: Principal, owner: str, role: Role) -> None:
    """Refuse a key that would give a caller who is not an admin a higher role, or access for longer."""
    if caller.key_id is not None:
        raise build_forbidden_error(
            "An API key creates further keys only with the role admin. Use the command flowlet key add."
        )
    if owner != caller.username:
        raise build_forbidden_error(
            f"Only an admin creates keys for other users; {caller.username} has the role {caller.role}."
        )
    if role > caller.role:
        raise build_forbidden_error(f"A key of {caller.username} can have the role {caller.role} at most, not {role}.")
