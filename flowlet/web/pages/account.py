"""One's own account: who is logged in, the password, and the sessions."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.errors import UserError
from flowlet.roles import Role
from flowlet.web.forms import form
from flowlet.web.guards import SESSION_COOKIE, needs, principal
from flowlet.web.pages.frame import page
from flowlet.web.pages.notices import done, refused
from flowlet.web.pages.sessions import client_address, patience
from flowlet.web.problems import forbidden
from flowlet.web.services import services

__all__ = ["blueprint"]

_NOT_ALIKE = "is not the same as the new password"
_WRONG = "is not your present password"

logger = logging.getLogger(__name__)
blueprint = Blueprint("account", __name__)


@blueprint.before_request
async def refuse_keys() -> None:
    """Refuse who asks with an API key, which may do less than its owner.

    Raises:
        ProblemError: 403 then.
    """
    if principal().key_id is not None:
        raise forbidden("An API key has no account.")


@blueprint.get("/account")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show who is logged in."""
    return await _page()


@blueprint.post("/account/password")
@needs(Role.VIEWER)
async def change_password() -> Response | Redirection:
    """Change one's own password, for who knows the present one; one's other sessions end."""
    given = await form()
    current, password = given.text("current"), given.text("password")
    if given.text("repeated") != password:
        return await _page({"repeated": _NOT_ALIKE}, status=422)
    here, me, address = services(), principal(), client_address()
    if (wait := here.logins.check(me.username, address)) is not None:
        logger.warning("passwords of one user, or from %s, are tried too often: refused", address)
        return await _page({"current": patience(wait)}, status=429, headers={"Retry-After": str(math.ceil(wait))})
    try:
        changed = await here.users.change_own_password(me.username, current, password, but=_token())
    except UserError as error:
        return await _page({"password": str(error)}, status=422)
    if changed is None:
        return await _page({"current": _WRONG}, status=422)
    here.logins.succeeded(me.username, address)
    return done("Your password is changed. You are logged out everywhere else.", "/account")


@blueprint.post("/account/logout")
@needs(Role.VIEWER)
async def log_out_elsewhere() -> Redirection:
    """End one's sessions, but for this one."""
    await form()
    await services().users.sessions.close_all(principal().username, but=_token())
    return done("You are logged out everywhere else.", "/account")


@blueprint.post("/account/sessions/<int:id>/logout")
@needs(Role.VIEWER)
async def log_out_one(id: int) -> Redirection:
    """End one of one's sessions."""
    await form()
    if not await services().users.sessions.close_one(id, username=principal().username):
        return refused("There is no such session of yours.", "/account")
    return done("That session has ended.", "/account")


def _token() -> str:
    """Return the token of the session that asks."""
    return request.cookies.get(SESSION_COOKIE, "")


async def _page(
    faults: Mapping[str, str] | None = None, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    here, me = services().users, principal()
    return await page(
        "account/account.html",
        status=status,
        headers=headers,
        user=await here.by_id(me.user_id),
        sessions=await here.sessions.list(me.username),
        current=await here.sessions.id_of(_token()),
        faults=faults or {},
    )
