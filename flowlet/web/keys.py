"""What somebody may do with API keys, over the API and in the console alike: one's own, and everybody's for admins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowlet.accounts import ApiKey
from flowlet.errors import UnknownKeyError
from flowlet.keys import MadeKey
from flowlet.roles import Principal, Role
from flowlet.web.guards import principal
from flowlet.web.problems import forbidden
from flowlet.web.services import services

__all__ = ["add_key", "revoke_one", "visible_keys"]


async def visible_keys() -> Sequence[ApiKey]:
    """Return one's own keys, to an admin all of them, the newest first; revoked and expired ones too."""
    me = principal()
    return await services().users.keys.list(None if me.role is Role.ADMIN else me.username)


async def add_key(
    name: str, *, owner: str, role: Role, expires: timedelta | None, newest: str | None = None
) -> MadeKey:
    """Make a key; where ``newest`` is given, only if that is the one that who asks has made last.

    Whoever is logged in makes keys of their own, with at most their own role; an admin makes anybody's. An API key
    makes further ones only with the role admin: else one that leaked could outlive its being revoked.

    Raises:
        ProblemError: 403 if who asks may not.
        FlowletError: As ``ApiKeys.add``.
    """
    me = principal()
    if me.role is not Role.ADMIN:
        _check_making(me, owner, role)
    keys = services().users.keys
    return await keys.add(name, username=owner, role=role, by=me.username, expires=expires, newest=newest)


async def revoke_one(id: str) -> ApiKey:
    """Revoke a key for good: one's own with at most one's own role, as an admin any.

    Raises:
        UnknownKeyError: If there is none that who asks can see.
        ProblemError: 403 if it may do more than who asks.
    """
    me = principal()
    keys = services().users.keys
    if me.role is not Role.ADMIN:
        own = [key for key in await keys.list(me.username) if key.id == id]
        if not own:
            raise UnknownKeyError(
                f"{me.username} has no API key with this id. GET /api/keys tells those that there are."
            )
        if own[0].role > me.role:
            raise forbidden(f"The key has the role {own[0].role}, and you ask with the role {me.role}.")
    return await keys.revoke(id, by=me.username)


def _check_making(me: Principal, owner: str, role: Role) -> None:
    """Refuse a key that would let somebody who is no admin do more than now, or for longer."""
    if me.key_id is not None:
        raise forbidden("An API key makes further ones only with the role admin. Use the command flowlet key add.")
    if owner != me.username:
        raise forbidden(f"Only an admin makes keys of others, and {me.username} has the role {me.role}.")
    if role > me.role:
        raise forbidden(f"A key of {me.username} can have the role {me.role} at most, not {role}.")
