"""Users, for admins. No response contains a password or its hash."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import ConfigDict
from quart import Blueprint, Response, request

from flowlet.accounts.models import User
from flowlet.accounts.roles import Role
from flowlet.web.api.requests import OperationRequest, VersionQuery
from flowlet.web.auth import SESSION_COOKIE, get_principal, require_role
from flowlet.web.field_types import ExpectedVersion, Password, RoleName, Username
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_optional_body, read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["UserResponse", "blueprint"]

blueprint = Blueprint("users", __name__)


class UserResponse(ApiModel):
    """A user, without any secret.

    Attributes:
        id: Never reused.
        username: Unique regardless of case.
        role: The user's role.
        is_disabled: Whether the user's password, sessions and API keys are refused.
        version: Raised when the password, the role, or isDisabled changes; ``expectedVersion`` is compared with it.
        created: When the user was created.
        created_by: The user who created this one.
        modified: When the version was last raised.
        modified_by: The user who changed it.
        last_login: When the user last logged in; null for never.
    """

    id: int
    username: str
    role: Role
    is_disabled: bool
    version: int
    created: Timestamp
    created_by: str
    modified: Timestamp
    modified_by: str
    last_login: Timestamp | None


class CurrentUserResponse(ApiModel):
    """The user of the request.

    Attributes:
        id: The user's id.
        username: The user's name.
        role: The role in effect: the API key's, limited by its owner's current role, and by that of the person for
            whom it acts.
        key_id: The API key's id; null for a session.
        may_act_on_behalf: Whether the API key may act on behalf of other persons, by the header On-Behalf-Of.
        on_behalf_of: The person for whom the API key acts in this request, by that header; null for the user.
    """

    id: int
    username: str
    role: Role
    key_id: str | None
    may_act_on_behalf: bool
    on_behalf_of: str | None


class CreateUserRequest(RequestModel):
    """A user to create.

    Attributes:
        username: Unique regardless of case; printable characters, with no space at either end.
        password: 8 to 1,000 characters, none of them a control character.
        role: The user's role.
        enabled: False creates the user disabled; for GopherFlow's clients.
        id: Ignored, as the following two: GopherFlow's clients send a user as they have read it.
        session_id: Ignored; see ``id``.
        api_key: Ignored; see ``id``.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"username": "warehouse", "password": "four words make one", "role": "operator"}]
        }
    )

    username: Username
    password: Password
    role: RoleName = Role.VIEWER
    enabled: bool | None = None
    id: Any = None
    session_id: Any = None
    api_key: Any = None


class SetPasswordRequest(RequestModel):
    """A new password.

    Attributes:
        password: 8 to 1,000 characters, none of them a control character.
        expected_version: The user's version that you read; 409 if it is another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "four other words instead"}]})

    password: Password
    expected_version: ExpectedVersion = None


class SetRoleRequest(RequestModel):
    """A new role.

    Attributes:
        role: The user's role.
        expected_version: The user's version that you read; 409 if it is another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "operator"}]})

    role: RoleName
    expected_version: ExpectedVersion = None


@blueprint.get("/api/me")
@require_role(Role.VIEWER)
@describe_route(answers={200: CurrentUserResponse})
async def show_current_user() -> Response:
    """Return the user of the request, and the role in effect."""
    me = get_principal()
    return build_json_response(
        CurrentUserResponse(
            id=me.user_id,
            username=me.username,
            role=me.role,
            key_id=me.key_id,
            may_act_on_behalf=me.may_act_on_behalf,
            on_behalf_of=me.on_behalf_of,
        )
    )


@blueprint.get("/api/users")
@require_role(Role.ADMIN)
@describe_route(answers={200: list[UserResponse]})
async def list_users() -> Response:
    """Return every user, by name."""
    return build_json_response([_build_user_response(user) for user in await get_services().users.list_users()])


@blueprint.post("/api/users")
@require_role(Role.ADMIN)
@describe_route(
    body=CreateUserRequest, answers={201: UserResponse}, problems=(409,), leads_to="/api/users/{id}", is_located=True
)
async def create_user() -> Response:
    """Create a user. A username that exists, regardless of case, is refused."""
    new = await read_body(CreateUserRequest)
    password = new.password.get_secret_value()
    by, is_disabled = get_principal().username, new.enabled is False
    created = await get_services().users.create(new.username, password, new.role, actor=by, is_disabled=is_disabled)
    return build_json_response(
        _build_user_response(created), status=201, headers={"Location": f"/api/users/{created.id}"}
    )


@blueprint.get("/api/users/<int:id>")
@require_role(Role.ADMIN)
@describe_route(answers={200: UserResponse})
async def show_user(id: int) -> Response:
    """Return a user."""
    return build_json_response(_build_user_response(await get_services().users.get_by_id(id)))


@blueprint.delete("/api/users/<int:id>")
@require_role(Role.ADMIN)
@describe_route(query=VersionQuery, answers={204: None}, problems=(409,))
async def delete_user(id: int) -> Response:
    """Delete a user with all sessions and API keys; histories keep the name. The last admin cannot be deleted."""
    version = read_query(VersionQuery).expected_version
    user = await get_services().users.get_by_id(id)
    await get_services().users.delete(user.username, actor=get_principal().username, expected_version=version)
    return Response(status=204)


@blueprint.post("/api/users/<int:id>/password")
@require_role(Role.ADMIN)
@describe_route(body=SetPasswordRequest, answers={200: UserResponse}, problems=(409,))
async def set_password(id: int) -> Response:
    """Change a password. This ends the user's sessions, except that of the request; API keys keep working."""
    password_request = await read_body(SetPasswordRequest)
    user = await get_services().users.get_by_id(id)
    own_token = request.cookies.get(SESSION_COOKIE) if get_principal().key_id is None else None
    changed = await get_services().users.set_password(
        user.username,
        password_request.password.get_secret_value(),
        actor=get_principal().username,
        except_token=own_token,
        expected_version=password_request.expected_version,
    )
    return build_json_response(_build_user_response(changed))


@blueprint.post("/api/users/<int:id>/role")
@require_role(Role.ADMIN)
@describe_route(body=SetRoleRequest, answers={200: UserResponse}, problems=(409,))
async def set_role(id: int) -> Response:
    """Change a user's role, at once for open sessions and API keys too. The last admin keeps the role."""
    role_request = await read_body(SetRoleRequest)
    user = await get_services().users.get_by_id(id)
    changed = await get_services().users.set_role(
        user.username,
        role_request.role,
        actor=get_principal().username,
        expected_version=role_request.expected_version,
    )
    return build_json_response(_build_user_response(changed))


@blueprint.post("/api/users/<int:id>/disable")
@require_role(Role.ADMIN)
@describe_route(body=OperationRequest, is_optional=True, answers={200: UserResponse}, problems=(409,))
async def disable_user(id: int) -> Response:
    """Disable a user: sessions end, and API keys are refused. The last admin cannot be disabled."""
    version = (await read_optional_body(OperationRequest)).expected_version
    user = await get_services().users.get_by_id(id)
    changed = await get_services().users.disable(
        user.username, actor=get_principal().username, expected_version=version
    )
    return build_json_response(_build_user_response(changed))


@blueprint.post("/api/users/<int:id>/enable")
@require_role(Role.ADMIN)
@describe_route(body=OperationRequest, is_optional=True, answers={200: UserResponse}, problems=(409,))
async def enable_user(id: int) -> Response:
    """Enable a user again, with the same password and API keys."""
    version = (await read_optional_body(OperationRequest)).expected_version
    user = await get_services().users.get_by_id(id)
    changed = await get_services().users.enable(user.username, actor=get_principal().username, expected_version=version)
    return build_json_response(_build_user_response(changed))


def _build_user_response(user: User) -> UserResponse:
    return UserResponse.model_validate(asdict(user))
