"""The pages of users, for admins: who may log in, and as what. A password that is made here is shown once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts import User, check_unchanged, checked_name
from flowlet.errors import LastAdminError, StaleError, UserError, UserExistsError
from flowlet.passwords import checked_password, random_password
from flowlet.roles import Role
from flowlet.web.cookies import set_cookie
from flowlet.web.forms import Form, form
from flowlet.web.guards import SESSION_COOKIE, needs, principal
from flowlet.web.pages.acting import version_of
from flowlet.web.pages.frame import page
from flowlet.web.pages.keys import has_ended, role_of
from flowlet.web.pages.notices import done, refused
from flowlet.web.services import services

__all__ = ["blueprint"]

ROLES = tuple((role.value, role.value.capitalize()) for role in Role)

blueprint = Blueprint("user_list", __name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """A user that is to be made, as it was typed; the password is not shown again.

    Attributes:
        faults: What is wrong, by the field's name.
        twin: Who was made so before, perhaps by the same form, with a password that its answer showed; None for nobody.
    """

    username: str = ""
    role: str = Role.VIEWER
    faults: Mapping[str, str] = field(default_factory=dict)
    twin: User | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A password that was just made: in this answer, and nowhere else."""

    username: str
    password: str = field(repr=False)


@blueprint.get("/users")
@needs(Role.ADMIN)
async def show_all() -> Response:
    """Show every user, by name."""
    return await _list(Draft())


@blueprint.post("/users")
@needs(Role.ADMIN)
async def add() -> Response | Redirection:
    """Make a user; where no password is given, with a random one, which the answer shows."""
    given = await form()
    username, typed, role = given.text("username"), given.text("password"), role_of(given.text("role"))
    password = typed or random_password()
    faults, twin = _faults(username, password), None
    if not faults:
        try:
            made = await services().users.create(username, password, role, by=principal().username)
        except UserExistsError as error:
            faults = {"username": str(error)}
            twin = None if typed else await _twin(username)
    if faults:
        return await _list(Draft(username, role, faults, twin), status=422)
    if typed:
        return done(f"{made.username} can log in now, as {made.role}.", "/users")
    return await _list(Draft(), shown=Shown(made.username, password), status=201)


@blueprint.get("/users/<int:id>")
@needs(Role.ADMIN)
async def show(id: int) -> Response:
    """Show a user, with sessions and API keys."""
    return await _one(await services().users.by_id(id))


@blueprint.post("/users/<int:id>/role")
@needs(Role.ADMIN)
async def set_role(id: int) -> Redirection:
    """Change what a user may do."""
    given = await form()
    role = role_of(given.text("role"))

    async def act(user: User, version: int) -> str:
        changed = await services().users.set_role(user.username, role, by=principal().username, expected=version)
        return f"{changed.username} is {changed.role} now."

    # Who was an admin, and is none any more, may not see the users.
    return await _acted(id, given, act, own="/workflows" if role is not Role.ADMIN else "")


@blueprint.post("/users/<int:id>/disable")
@needs(Role.ADMIN)
async def disable(id: int) -> Redirection:
    """Let a user in no longer."""

    async def act(user: User, version: int) -> str:
        await services().users.disable(user.username, by=principal().username, expected=version)
        return f"{user.username} is disabled, and logged out everywhere."

    return await _acted(id, await form(), act, own="/login")


@blueprint.post("/users/<int:id>/enable")
@needs(Role.ADMIN)
async def enable(id: int) -> Redirection:
    """Let a user in again."""

    async def act(user: User, version: int) -> str:
        await services().users.enable(user.username, by=principal().username, expected=version)
        return f"{user.username} can log in again."

    return await _acted(id, await form(), act)


@blueprint.post("/users/<int:id>/logout")
@needs(Role.ADMIN)
async def log_out(id: int) -> Redirection:
    """End a user's sessions, but for the one that asks."""

    async def act(user: User, version: int) -> str:
        check_unchanged(user, version)
        await services().users.sessions.close_all(user.username, but=request.cookies.get(SESSION_COOKIE))
        return f"The sessions of {user.username} have ended."

    return await _acted(id, await form(), act)


@blueprint.post("/users/<int:id>/delete")
@needs(Role.ADMIN)
async def delete(id: int) -> Redirection:
    """Delete a user, with sessions and API keys."""

    async def act(user: User, version: int) -> str:
        await services().users.delete(user.username, by=principal().username, expected=version)
        return f"{user.username} is deleted."

    return await _acted(id, await form(), act, leads_to="/users", own="/login")


@blueprint.post("/users/<int:id>/password")
@needs(Role.ADMIN)
async def set_password(id: int) -> Response | Redirection:
    """Give another user another password; where none is typed, a random one, which the answer shows."""
    given = await form()
    user, version, typed = await services().users.by_id(id), version_of(given, "user"), given.text("password")
    if id == principal().user_id:
        return refused("Your own password is changed here, and the present one is asked for.", "/account")
    password = typed or random_password()
    try:
        check_unchanged(user, version)  # before a fault: the form that asks for another one is of the user as it is now
        changed = await services().users.set_password(
            user.username, password, by=principal().username, expected=version
        )
    except StaleError as error:
        return refused(str(error), f"/users/{id}")
    except UserError as error:
        return await _one(user, faults={"password": str(error)}, status=422)
    if typed:
        return done(f"{changed.username} has another password, and is logged out everywhere.", f"/users/{id}")
    return await _one(changed, shown=Shown(changed.username, password))


async def _acted(
    id: int, given: Form, act: Callable[[User, int], Awaitable[str]], *, leads_to: str = "", own: str = ""
) -> Redirection:
    """Return the answer to a form that does something with a user as it was looked at.

    Args:
        id: Whose.
        given: What was sent.
        act: What is done with the user as of a version; returns what is said of it.
        leads_to: Where the answer leads; the user's page if it is empty.
        own: Where it leads instead for oneself; "/login" for who has no session any more.
    """
    user, version = await services().users.by_id(id), version_of(given, "user")
    try:
        told = await act(user, version)
    except (LastAdminError, StaleError) as error:
        return refused(str(error), f"/users/{id}")
    is_own = id == principal().user_id
    if is_own and own == "/login":
        gone: Redirection = redirect(own, 303)
        set_cookie(gone, SESSION_COOKIE, "", max_age=0)
        return gone
    return done(told, (own if is_own else "") or leads_to or f"/users/{id}")


async def _twin(username: str) -> User | None:
    """Return the user of a name if who asks has made it, and nobody has logged in as that one since."""
    found = await services().users.get(username)
    return found if found.created_by == principal().username and found.last_login is None else None


def _faults(username: str, password: str) -> dict[str, str]:
    faults = {}
    for name, check, value in (("username", checked_name, username), ("password", checked_password, password)):
        try:
            check(value)
        except UserError as error:
            faults[name] = str(error)
    return faults


async def _list(draft: Draft, *, shown: Shown | None = None, status: int = 200) -> Response:
    here = services().users
    keys = Counter(key.user_id for key in await here.keys.list() if not (has_ended(key) or key.is_owner_disabled))
    return await page(
        "users/users.html",
        status=status,
        users=await here.list(),
        sessions=await here.sessions.counts(),
        keys=keys,
        roles=ROLES,
        draft=draft,
        shown=shown,
    )


async def _one(
    user: User, *, shown: Shown | None = None, faults: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    here, token = services().users, request.cookies.get(SESSION_COOKIE, "")
    keys = await here.keys.list(user.username)
    return await page(
        "users/user.html",
        status=status,
        user=user,
        is_own=user.id == principal().user_id,
        sessions=await here.sessions.list(user.username),
        current=await here.sessions.id_of(token),
        keys=[key for key in keys if not has_ended(key)],
        roles=ROLES,
        shown=shown,
        faults=faults or {},
    )
