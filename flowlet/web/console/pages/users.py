"""The pages of users, for admins: who may log in, and as what. A password that is made here is shown once."""

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
from flowlet.web.console.form_actions import read_version
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
    """A user that is to be made, as it was typed; the password is not shown again.

    Attributes:
        faults: What is wrong, by the field's name.
        duplicate: Who was made so before, perhaps by the same form, with a password that its answer showed; None for nobody.
    """

    username: str = ""
    role: str = Role.VIEWER
    faults: Mapping[str, str] = field(default_factory=dict)
    duplicate: User | None = None


@dataclass(frozen=True, slots=True)
class GeneratedPassword:
    """A password that was just made: in this answer, and nowhere else."""

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
    """Make a user; where no password is given, with a random one, which the answer shows."""
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
        return redirect_with_success(f"{made.username} can log in now, as {made.role}.", "/users")
    return await _render_users(UserForm(), generated_password=GeneratedPassword(made.username, password), status=201)


@blueprint.get("/users/<int:id>")
@require_role(Role.ADMIN)
async def show_user(id: int) -> Response:
    """Show a user, with sessions and API keys."""
    return await _render_user(await get_services().users.get_by_id(id))


@blueprint.post("/users/<int:id>/role")
@require_role(Role.ADMIN)
async def set_role(id: int) -> Redirection:
    """Change what a user may do."""
    given = await read_request_form()
    role = parse_role(given.get_text("role"))

    async def set_role_if_unchanged(user: User, version: int) -> str:
        changed = await get_services().users.set_role(
            user.username, role, actor=get_principal().username, expected_version=version
        )
        return f"{changed.username} is {changed.role} now."

    # Who was an admin, and is none any more, may not see the users.
    return await _apply_to_user(
        id, given, set_role_if_unchanged, own_next_url="/workflows" if role is not Role.ADMIN else ""
    )


@blueprint.post("/users/<int:id>/disable")
@require_role(Role.ADMIN)
async def disable_user(id: int) -> Redirection:
    """Let a user in no longer."""

    async def disable_if_unchanged(user: User, version: int) -> str:
        await get_services().users.disable(user.username, actor=get_principal().username, expected_version=version)
        return f"{user.username} is disabled, and logged out everywhere."

    return await _apply_to_user(id, await read_request_form(), disable_if_unchanged, own_next_url="/login")


@blueprint.post("/users/<int:id>/enable")
@require_role(Role.ADMIN)
async def enable_user(id: int) -> Redirection:
    """Let a user in again."""

    async def enable_if_unchanged(user: User, version: int) -> str:
        await get_services().users.enable(user.username, actor=get_principal().username, expected_version=version)
        return f"{user.username} can log in again."

    return await _apply_to_user(id, await read_request_form(), enable_if_unchanged)


@blueprint.post("/users/<int:id>/logout")
@require_role(Role.ADMIN)
async def end_user_sessions(id: int) -> Redirection:
    """End a user's sessions, but for the one that asks."""

    async def end_sessions_if_unchanged(user: User, version: int) -> str:
        await get_services().users.end_sessions(
            user.username, except_token=request.cookies.get(SESSION_COOKIE), expected_version=version
        )
        return f"The sessions of {user.username} have ended."

    return await _apply_to_user(id, await read_request_form(), end_sessions_if_unchanged)


@blueprint.post("/users/<int:id>/delete")
@require_role(Role.ADMIN)
async def delete_user(id: int) -> Redirection:
    """Delete a user, with sessions and API keys."""

    async def delete_if_unchanged(user: User, version: int) -> str:
        await get_services().users.delete(user.username, actor=get_principal().username, expected_version=version)
        return f"{user.username} is deleted."

    return await _apply_to_user(
        id, await read_request_form(), delete_if_unchanged, next_url="/users", own_next_url="/login"
    )


@blueprint.post("/users/<int:id>/password")
@require_role(Role.ADMIN)
async def set_password(id: int) -> Response | Redirection:
    """Give another user another password; where none is typed, a random one, which the answer shows."""
    given = await read_request_form()
    user, version, typed = (
        await get_services().users.get_by_id(id),
        read_version(given, "user"),
        given.get_text("password"),
    )
    if id == get_principal().user_id:
        return redirect_with_error("Your own password is changed here, and the present one is asked for.", "/account")
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
            f"{changed.username} has another password, and is logged out everywhere.", f"/users/{id}"
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
    """Return the answer to a form that does something with a user as it was looked at.

    Args:
        id: Whose.
        submitted: What was sent.
        operation: What is done with the user as of a version; returns what is said of it.
        next_url: Where the answer leads; the user's page if it is empty.
        own_next_url: Where it leads instead for oneself; "/login" for who has no session any more.
    """
    user, version = await get_services().users.get_by_id(id), read_version(submitted, "user")
    try:
        told = await operation(user, version)
    except (LastAdminError, StaleError) as error:
        return redirect_with_error(str(error), f"/users/{id}")
    is_own = id == get_principal().user_id
    if is_own and own_next_url == "/login":
        gone: Redirection = redirect(own_next_url, 303)
        set_cookie(gone, SESSION_COOKIE, "", max_age=0)
        return gone
    return redirect_with_success(told, (own_next_url if is_own else "") or next_url or f"/users/{id}")


async def _find_duplicate(username: str) -> User | None:
    """Return the user of a name if who asks has made it, and nobody has logged in as that one since."""
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
        draft=user_form,
        shown=generated_password,
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
        current=await here.sessions.get_session_id(token),
        keys=[key for key in keys if not has_ended(key)],
        roles=ROLE_CHOICES,
        shown=generated_password,
        faults=faults or {},
    )
