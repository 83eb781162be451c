"""API keys: a user's own, and for admins those of all users. Only the response to a create contains the key itself."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import ConfigDict
from quart import Blueprint, Response

from flowlet.accounts.models import ApiKey
from flowlet.accounts.roles import Role
from flowlet.web.api.requests import VersionQuery
from flowlet.web.api_keys import add_key, list_visible_keys, revoke_visible_key
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import Expiry, KeyName, RoleName
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp

__all__ = ["ApiKeyResponse", "blueprint"]

blueprint = Blueprint("keys", __name__)


class ApiKeyResponse(ApiModel):
    """An API key, without its secret.

    Attributes:
        id: The public part of the key.
        name: Its name for people.
        role: The key's role, which its owner's current role limits.
        user_id: Its owner's id.
        username: Its owner's name.
        may_act_on_behalf: Whether it may act on behalf of other persons, by the header On-Behalf-Of.
        version: Raised when it is revoked; ``expectedVersion`` is compared with it.
        created: When it was created.
        created_by: The user who created it.
        expires: When it expires; null for never.
        last_used: When it was last used, to the minute; null for never.
        revoked: When it was revoked; null if it was not.
    """

    id: str
    name: str
    role: Role
    user_id: int
    username: str
    may_act_on_behalf: bool
    version: int
    created: Timestamp
    created_by: str
    expires: Timestamp | None
    last_used: Timestamp | None
    revoked: Timestamp | None


class IssuedApiKeyResponse(ApiKeyResponse):
    """A new API key and its text.

    Attributes:
        key: The text to send as X-API-Key. The server never shows it again.
    """

    key: str


class CreateApiKeyRequest(RequestModel):
    """An API key to create.

    Attributes:
        name: Its name for people; need not be unique.
        role: The key's role, at most its owner's.
        username: Its owner; the caller by default. Only admins create keys for other users.
        expires_in: How long it is valid, at most ten years, such as "90 days"; forever if left out or empty.
        may_act_on_behalf: Whether it may act on behalf of other persons, by the header On-Behalf-Of. Only admins may
            create such keys.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "nightly build", "role": "operator", "expiresIn": "90 days"}]}
    )

    name: KeyName
    role: RoleName = Role.VIEWER
    username: str | None = None
    expires_in: Expiry = None
    may_act_on_behalf: bool = False


@blueprint.get("/api/keys")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[ApiKeyResponse]})
async def list_keys() -> Response:
    """Return the caller's API keys, or all keys for an admin, the newest first; with revoked and expired ones."""
    return build_json_response([_build_key_response(key) for key in await list_visible_keys()])


@blueprint.post("/api/keys")
@require_role(Role.VIEWER)
@describe_route(body=CreateApiKeyRequest, answers={201: IssuedApiKeyResponse}, problems=(404, 409))
async def create_key() -> Response:
    """Create an API key.

    A user who is logged in creates keys of their own, with at most their own role; an admin creates keys for any user.
    An API key creates further keys only with the role admin: otherwise a leaked key could create another one before it
    is revoked.
    """
    new = await read_body(CreateApiKeyRequest)
    owner = get_principal().person if new.username is None else new.username
    issued = await add_key(
        new.name, owner=owner, role=new.role, expires_in=new.expires_in, may_act_on_behalf=new.may_act_on_behalf
    )
    return build_json_response(
        IssuedApiKeyResponse.model_validate({**asdict(issued.key), "key": issued.text}), status=201
    )


@blueprint.delete("/api/keys/<id>")
@require_role(Role.VIEWER)
@describe_route(query=VersionQuery, answers={204: None}, problems=(409,))
async def revoke_key(id: str) -> Response:
    """Revoke an API key permanently: one of the caller's, with at most the caller's role, or for an admin any."""
    await revoke_visible_key(id, expected_version=read_query(VersionQuery).expected_version)
    return Response(status=204)


def _build_key_response(key: ApiKey) -> ApiKeyResponse:
    return ApiKeyResponse.model_validate(asdict(key))
