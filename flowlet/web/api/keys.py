"""API keys: everybody's own, and everybody's for admins. A key itself is in the answer of its making only."""

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
    """An API key, without what lets a program in.

    Attributes:
        id: The part of the key that may be shown.
        name: What people call it.
        role: What it may do at most: its owner's role bounds it too.
        user_id: Its owner's id.
        username: Its owner's name.
        version: Raised when it is revoked; what ``expectedVersion`` is compared with.
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
    version: int
    created: Timestamp
    created_by: str
    expires: Timestamp | None
    last_used: Timestamp | None
    revoked: Timestamp | None


class IssuedApiKeyResponse(ApiKeyResponse):
    """A new API key, and its text.

    Attributes:
        key: To be sent as X-API-Key. It is shown now, and never again.
    """

    key: str


class CreateApiKeyRequest(RequestModel):
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
@require_role(Role.VIEWER)
@describe_route(answers={200: list[ApiKeyResponse]})
async def list_keys() -> Response:
    """Return one's own API keys, to an admin all of them, the newest first; revoked and expired ones too."""
    return build_json_response([_build_key_response(key) for key in await list_visible_keys()])


@blueprint.post("/api/keys")
@require_role(Role.VIEWER)
@describe_route(body=CreateApiKeyRequest, answers={201: IssuedApiKeyResponse}, problems=(404, 409))
async def create_key() -> Response:
    """Make an API key.

    Whoever is logged in makes keys of their own, with at most their own role; an admin makes anybody's. An API key
    makes further ones only with the role admin: else one that leaked could outlive its being revoked.
    """
    new = await read_body(CreateApiKeyRequest)
    owner = get_principal().username if new.username is None else new.username
    made = await add_key(new.name, owner=owner, role=new.role, expires_in=new.expires_in)
    return build_json_response(IssuedApiKeyResponse.model_validate({**asdict(made.key), "key": made.text}), status=201)


@blueprint.delete("/api/keys/<id>")
@require_role(Role.VIEWER)
@describe_route(query=VersionQuery, answers={204: None}, problems=(409,))
async def revoke_key(id: str) -> Response:
    """Revoke an API key for good: one's own with at most one's own role, as an admin any."""
    await revoke_visible_key(id, expected_version=read_query(VersionQuery).expected_version)
    return Response(status=204)


def _build_key_response(key: ApiKey) -> ApiKeyResponse:
    return ApiKeyResponse.model_validate(asdict(key))
