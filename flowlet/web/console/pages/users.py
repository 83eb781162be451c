"""The user pages for admins: who can log in, and their roles. A generated password is shown once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.models import User, normalize_name
from flowlet.accounts.passwords import generate_password, normalize_password
from flowlet.accounts.roles import Role
from flowlet.errors import LastAdminError, StaleError, UserError, UserExistsError
from flowlet.web.auth import SESSION_COOKIE, get_principal, require_role
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import read_version
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.api_keys import has_ended, parse_role
from flowlet.web.cookies import set_cookie
from flowlet.web.forms import Form, read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

ROLE_CHOICES = tuple((role.value, role.value.capitalize()) for role in Role)

blueprint = Blueprint("user_list", __name__)


@dataclass(frozen=True, slots=True)
class UserForm:
    """The entered values of the form that adds a user, without the password.

    Attributes:
        faults: The faults, by the field's name.
        duplicate: The existing user that the same form possibly created, with a generated password; None if there is
            none.
    """

    username: str = ""
    role: str = Role.VIEWER
    faults: Mapping[str, str] = field(default_factory=dict)
    duplicate: User | None = None


@dataclass(frozen=True, slots=True)
class GeneratedPassword:
    """A password that was just generated. Only this response contains it."""

    username: str
    password: str = field(repr=False)


@blueprint.get("/users")
@require_role(Role.ADMIN)
async def show_users() -> Response:
    """Show every user, by name."""
    return await _render_users(UserForm())


@blueprint.post("/users")
@require_role(Role.ADMIN)
async def add_user() -> Response | Redirection:
    """Add a user; without a password, generate one, which the response shows."""
    given = await read_request_form()
    username, typed, role = given.get_text("username"), given.get_text("password"), parse_role(given.get_text("role"))
    password = typed or generate_password()
    if faults := _find_faults(username, password):
        return await _render_users(UserForm(username, role, faults), status=422)
    try:
        made = await get_services().users.create(username, password, role, actor=get_principal().username)
    except UserExistsError as error:
        twin = None if typed else await _find_duplicate(username)
        return await _render_users(UserForm(username, role, {"username": str(error)}, twin), status=422)
    if typed:
        return redirect_with_success(f"{made.username} can now log in as {made.role}.", "/users")
    return await _render_users(UserForm(), generated_password=GeneratedPassword(made.username, password), status=201)


@blueprint.get("/users/<int:id>")
@require_role(Role.ADMIN)
async def show_user(id: int) -> Response:
    """Show a user, with sessions and API keys."""
    return await _render_user(await get_services().users.get_by_id(id))


@blueprint.post("/users/<int:id>/role")
@require_role(Role.ADMIN)
async def set_role(id: int) -> Redirection:
    """Change a user's role."""
    given = await read_request_form()
    role = parse_role(given.get_text("role"))

    async def set_role_if_unchanged(user: User, version: int) -> str:
        changed = await get_services().users.set_role(
            user.username, role, actor=get_principal().username, expected_version=version
        )
        return f"{changed.username} is now {changed.role}."

    # A former admin may no longer see the users.
    return await _apply_to_user(
        id, given, set_role_if_unchanged, own_next_url="/workflows" if role is not Role.ADMIN else ""
    )


@blueprint.post("/users/<int:id>/disable")
@require_role(Role.ADMIN)
async def disable_user(id: int) -> Redirection:
    """Disable a user."""

    async def disable_if_unchanged(user: User, version: int) -> str:
        await get_services().users.disable(user.username, actor=get_principal().username, expected_version=version)
        return f"{user.username} is disabled and logged out everywhere."

    return await _apply_to_user(id, await read_request_form(), disable_if_unchanged, own_next_url="/login")


@blueprint.post("/users/<int:id>/enable")
@require_role(Role.ADMIN)
async def enable_user(id: int) -> Redirection:
    """Enable a user."""

    async def enable_if_unchanged(user: User, version: int) -> str:
        await get_services().users.enable(user.username, actor=get_principal().username, expected_version=version)
        return f"{user.username} can log in again."

    return await _apply_to_user(id, await read_request_form(), enable_if_unchanged)


@blueprint.post("/users/<int:id>/logout")
@require_role(Role.ADMIN)
async def end_user_sessions(id: int) -> Redirection:
    """End a user's sessions, except the current one."""

    async def end_sessions_if_unchanged(user: User, version: int) -> str:
        await get_services().users.end_sessions(
            user.username,
            actor=get_principal().username,
            except_token=request.cookies.get(SESSION_COOKIE),
            expected_version=version,
        )
        return f"All sessions of {user.username} have ended."

    return await _apply_to_user(id, await read_request_form(), end_sessions_if_unchanged)


@blueprint.post("/users/<int:id>/delete")
@require_role(Role.ADMIN)
async def delete_user(id: int) -> Redirection:
    """Delete a user, with sessions and API keys."""

    async def delete_if_unchanged(user: User, version: int) -> str:
        await get_services().users.delete(user.username, actor=get_principal().username, expected_version=version)
        return f"{user.username} deleted."

    return await _apply_to_user(
        id, await read_request_form(), delete_if_unchanged, next_url="/users", own_next_url="/login"
    )


@blueprint.post("/users/<int:id>/password")
@require_role(Role.ADMIN)
async def set_password(id: int) -> Response | Redirection:
    """Set the password of another user; without one, generate it, and show it in the response."""
    given = await read_request_form()
    user, version, typed = (
        await get_services().users.get_by_id(id),
        read_version(given, "user"),
        given.get_text("password"),
    )
    if id == get_principal().user_id:
        return redirect_with_error("Change your own password here. You need your current one.", "/account")
    password = typed or generate_password()
    try:
        changed = await get_services().users.set_password(
            user.username, password, actor=get_principal().username, expected_version=version
        )
    except StaleError as error:
        return redirect_with_error(str(error), f"/users/{id}")
    except UserError as error:
        return await _render_user(user, faults={"password": str(error)}, status=422)
    if typed:
        return redirect_with_success(
            f"Password of {changed.username} changed. The user is logged out everywhere.", f"/users/{id}"
        )
    return await _render_user(changed, generated_password=GeneratedPassword(changed.username, password))


async def _apply_to_user(
    id: int,
    submitted: Form,
    operation: Callable[[User, int], Awaitable[str]],
    *,
    next_url: str = "",
    own_next_url: str = "",
) -> Redirection:
    """Run an operation on a user who still has the version that the form's page showed; return the response.

    Args:
        id: The user's id.
        submitted: The form.
        operation: The operation on a user with a version; returns the message.
        next_url: The page that the response redirects to; the user's page if it is empty.
        own_next_url: The same if users change their own account; "/login" if that ends their session.
    """
    user, version = await get_services().users.get_by_id(id), read_version(submitted, "user")
    try:
        message = await operation(user, version)
    except (LastAdminError, StaleError) as error:
        return redirect_with_error(str(error), f"/users/{id}")
    is_own = id == get_principal().user_id
    if is_own and own_next_url == "/login":
        gone: Redirection = redirect(own_next_url, 303)
        set_cookie(gone, SESSION_COOKIE, "", max_age=0)
        return gone
    return redirect_with_success(message, (own_next_url if is_own else "") or next_url or f"/users/{id}")


async def _find_duplicate(username: str) -> User | None:
    """Return the user with a name, if the current admin created it and it has never logged in; otherwise None."""
    found = await get_services().users.get(username)
    return found if found.created_by == get_principal().username and found.last_login is None else None


def _find_faults(username: str, password: str) -> dict[str, str]:
    faults = {}
    for name, check, value in (("username", normalize_name, username), ("password", normalize_password, password)):
        try:
            check(value)
        except UserError as error:
            faults[name] = str(error)
    return faults


async def _render_users(
    user_form: UserForm, *, generated_password: GeneratedPassword | None = None, status: int = 200
) -> Response:
    here = get_services().users
    keys = Counter(key.user_id for key in await here.keys.list_keys() if not (has_ended(key) or key.is_owner_disabled))
    return await render_page(
        "users/users.html",
        status=status,
        users=await here.list_users(),
        sessions=await here.sessions.count_open_sessions(),
        keys=keys,
        roles=ROLE_CHOICES,
        user_form=user_form,
        generated_password=generated_password,
    )


async def _render_user(
    user: User,
    *,
    generated_password: GeneratedPassword | None = None,
    faults: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    here, token = get_services().users, request.cookies.get(SESSION_COOKIE, "")
    keys = await here.keys.list_keys(user.username)
    return await render_page(
        "users/user.html",
        status=status,
        user=user,
        is_own=user.id == get_principal().user_id,
        sessions=await here.sessions.list_sessions(user.username),
        current_session_id=await here.sessions.get_session_id(token),
        keys=[key for key in keys if not has_ended(key)],
        roles=ROLE_CHOICES,
        generated_password=generated_password,
        faults=faults or {},
    )
