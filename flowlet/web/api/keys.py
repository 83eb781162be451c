"""API keys: everybody's own, and everybody's for admins. A key itself is in the answer of its making only."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import ConfigDict
from quart import Blueprint, Response

from flowlet.accounts import ApiKey
from flowlet.errors import UnknownKeyError
from flowlet.roles import Principal, Role
from flowlet.web.answers import json_answer
from flowlet.web.fields import Expiry, KeyName, RoleName
from flowlet.web.guards import needs, principal
from flowlet.web.openapi import described
from flowlet.web.parsing import body
from flowlet.web.problems import forbidden
from flowlet.web.schemas import ApiModel, Body, Time
from flowlet.web.services import services

__all__ = ["KeyAnswer", "blueprint"]

blueprint = Blueprint("keys", __name__)


class KeyAnswer(ApiModel):
    """An API key, without what lets a program in.

    Attributes:
        id: The part of the key that may be shown.
        name: What people call it.
        role: What it may do at most: its owner's role bounds it too.
        user_id: Its owner's id.
        username: Its owner's name.
        created: When it was made.
        created_by: By whom.
        expires: When it ends; null for never.
        last_used: When it was last used, to the minute; null for never.
        revoked: When it was revoked; null if it was not.
    """

    id: str
    name: str
    role: Role
    user_id: int
    username: str
    created: Time
    created_by: str
    expires: Time | None
    last_used: Time | None
    revoked: Time | None


class MadeKeyAnswer(KeyAnswer):
    """A new API key, and its text.

    Attributes:
        key: To be sent as X-API-Key. It is shown now, and never again.
    """

    key: str


class NewKey(Body):
    """An API key that is to be made.

    Attributes:
        name: What people call it; need not be unique.
        role: What it may do, at most what its owner may.
        username: Its owner; who asks, if left out. Others' keys are made by admins.
        expires_in: After how long it ends, at most ten years, as in "90 days"; never, if left out or empty.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "nightly build", "role": "operator", "expiresIn": "90 days"}]}
    )

    name: KeyName
    role: RoleName = Role.VIEWER
    username: str | None = None
    expires_in: Expiry = None


@blueprint.get("/api/keys")
@needs(Role.VIEWER)
@described(answers={200: list[KeyAnswer]})
async def list_keys() -> Response:
    """Return one's own API keys, to an admin all of them, the newest first; revoked and expired ones too."""
    me = principal()
    found = await services().users.keys.list(None if me.role is Role.ADMIN else me.username)
    return json_answer([_answer(key) for key in found])


@blueprint.post("/api/keys")
@needs(Role.VIEWER)
@described(body=NewKey, answers={201: MadeKeyAnswer}, problems=(404, 409))
async def create_key() -> Response:
    """Make an API key.

    Whoever is logged in makes keys of their own, with at most their own role; an admin makes anybody's. An API key
    makes further ones only with the role admin: else one that leaked could outlive its being revoked.
    """
    new, me = await body(NewKey), principal()
    owner = me.username if new.username is None else new.username
    if me.role is not Role.ADMIN:
        _check_making(me, owner, new.role)
    keys = services().users.keys
    made = await keys.add(new.name, username=owner, role=new.role, by=me.username, expires=new.expires_in)
    return json_answer(MadeKeyAnswer.model_validate({**asdict(made.key), "key": made.text}), status=201)


@blueprint.delete("/api/keys/<id>")
@needs(Role.VIEWER)
@described(answers={204: None})
async def revoke_key(id: str) -> Response:
    """Revoke an API key for good: one's own with at most one's own role, as an admin any."""
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
    await keys.revoke(id, by=me.username)
    return Response(status=204)


def _check_making(me: Principal, owner: str, role: Role) -> None:
    """Refuse a key that would let somebody who is no admin do more than now, or for longer."""
    if me.key_id is not None:
        raise forbidden("An API key makes further ones only with the role admin. Use the command flowlet key add.")
    if owner != me.username:
        raise forbidden(f"Only an admin makes keys of others, and {me.username} has the role {me.role}.")
    if role > me.role:
        raise forbidden(f"A key of {me.username} can have the role {me.role} at most, not {role}.")


def _answer(key: ApiKey) -> KeyAnswer:
    return KeyAnswer.model_validate(asdict(key))
