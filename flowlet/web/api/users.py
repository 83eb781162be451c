"""Users, for admins: who may log in, and as what. No answer holds a password or its hash."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import ConfigDict
from quart import Blueprint, Response, request

from flowlet.accounts import User
from flowlet.roles import Role
from flowlet.web.answers import json_answer
from flowlet.web.fields import Password, RoleName, Username
from flowlet.web.guards import SESSION_COOKIE, needs, principal
from flowlet.web.openapi import described
from flowlet.web.parsing import body
from flowlet.web.schemas import ApiModel, Body, Time
from flowlet.web.services import services

__all__ = ["UserAnswer", "blueprint"]

blueprint = Blueprint("users", __name__)


class UserAnswer(ApiModel):
    """A user, without any secret.

    Attributes:
        id: Never used twice.
        username: Unique whatever its case.
        role: What the user may do.
        is_disabled: Whether neither password, sessions nor API keys let the user in.
        created: When the user was made.
        created_by: By whom.
        modified: When password, role or standing last changed.
        modified_by: By whom.
        last_login: When the user last logged in; null for never.
    """

    id: int
    username: str
    role: Role
    is_disabled: bool
    created: Time
    created_by: str
    modified: Time
    modified_by: str
    last_login: Time | None


class MeAnswer(ApiModel):
    """Who asks.

    Attributes:
        id: The user's id.
        username: The user's name.
        role: What may be done now; of an API key never more than its owner may.
        key_id: The API key's id; null for a session.
    """

    id: int
    username: str
    role: Role
    key_id: str | None


class NewUser(Body):
    """A user that is to be made.

    Attributes:
        username: Unique whatever its case; printable characters, with no space at either end.
        password: 8 to 1,000 characters, none of them a control character.
        role: What the user may do.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"username": "warehouse", "password": "four words make one", "role": "operator"}]
        }
    )

    username: Username
    password: Password
    role: RoleName = Role.VIEWER


class PasswordChange(Body):
    """A password that is to be.

    Attributes:
        password: 8 to 1,000 characters, none of them a control character.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "four other words instead"}]})

    password: Password


class RoleChange(Body):
    """A role that is to be.

    Attributes:
        role: What the user may do.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "operator"}]})

    role: RoleName


@blueprint.get("/api/me")
@needs(Role.VIEWER)
@described(answers={200: MeAnswer})
async def show_me() -> Response:
    """Return who asks, and with which role."""
    me = principal()
    return json_answer(MeAnswer(id=me.user_id, username=me.username, role=me.role, key_id=me.key_id))


@blueprint.get("/api/users")
@needs(Role.ADMIN)
@described(answers={200: list[UserAnswer]})
async def list_users() -> Response:
    """Return every user, by name."""
    return json_answer([_answer(user) for user in await services().users.list()])


@blueprint.post("/api/users")
@needs(Role.ADMIN)
@described(body=NewUser, answers={201: UserAnswer}, problems=(409,), leads_to="/api/users/{id}", is_located=True)
async def create_user() -> Response:
    """Make a user. A name that is taken, in whatever case, is refused."""
    new = await body(NewUser)
    password = new.password.get_secret_value()
    made = await services().users.create(new.username, password, new.role, by=principal().username)
    return json_answer(_answer(made), status=201, headers={"Location": f"/api/users/{made.id}"})


@blueprint.get("/api/users/<int:id>")
@needs(Role.ADMIN)
@described(answers={200: UserAnswer})
async def show_user(id: int) -> Response:
    """Return a user."""
    return json_answer(_answer(await services().users.by_id(id)))


@blueprint.delete("/api/users/<int:id>")
@needs(Role.ADMIN)
@described(answers={204: None}, problems=(409,))
async def delete_user(id: int) -> Response:
    """Delete a user, with sessions and API keys; histories stay. The last admin is not deleted."""
    user = await services().users.by_id(id)
    await services().users.delete(user.username, by=principal().username)
    return Response(status=204)


@blueprint.post("/api/users/<int:id>/password")
@needs(Role.ADMIN)
@described(body=PasswordChange, answers={200: UserAnswer})
async def set_password(id: int) -> Response:
    """Change a password. It ends the user's sessions, but for the one that asks; API keys go on."""
    password = (await body(PasswordChange)).password.get_secret_value()
    user = await services().users.by_id(id)
    asking = request.cookies.get(SESSION_COOKIE) if principal().key_id is None else None
    changed = await services().users.set_password(user.username, password, by=principal().username, but=asking)
    return json_answer(_answer(changed))


@blueprint.post("/api/users/<int:id>/role")
@needs(Role.ADMIN)
@described(body=RoleChange, answers={200: UserAnswer}, problems=(409,))
async def set_role(id: int) -> Response:
    """Change what a user may do, at once for open sessions and API keys too. The last admin keeps the role."""
    role = (await body(RoleChange)).role
    user = await services().users.by_id(id)
    return json_answer(_answer(await services().users.set_role(user.username, role, by=principal().username)))


@blueprint.post("/api/users/<int:id>/disable")
@needs(Role.ADMIN)
@described(answers={200: UserAnswer}, problems=(409,))
async def disable_user(id: int) -> Response:
    """Let a user in no longer: sessions end, API keys are refused. The last admin is not disabled."""
    user = await services().users.by_id(id)
    return json_answer(_answer(await services().users.disable(user.username, by=principal().username)))


@blueprint.post("/api/users/<int:id>/enable")
@needs(Role.ADMIN)
@described(answers={200: UserAnswer})
async def enable_user(id: int) -> Response:
    """Let a user in again, with password and API keys as before."""
    user = await services().users.by_id(id)
    return json_answer(_answer(await services().users.enable(user.username, by=principal().username)))


def _answer(user: User) -> UserAnswer:
    return UserAnswer.model_validate(asdict(user))
