"""The account page of the logged-in user: password and sessions."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.errors import UserError
from flowlet.web.auth import SESSION_COOKIE, get_principal, require_role
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.login import describe_wait, read_client_address
from flowlet.web.forms import read_request_form
from flowlet.web.problems import build_forbidden_error
from flowlet.web.services import get_services

__all__ = ["blueprint"]

_PASSWORDS_DIFFER = "Does not match the new password"
_NOT_CURRENT = "Wrong current password"

logger = logging.getLogger(__name__)
blueprint = Blueprint("account", __name__)


@blueprint.before_request
async def refuse_keys() -> None:
    """Refuse requests with an API key, which may have fewer permissions than its owner.

    Raises:
        ProblemError: 403 for a request with an API key.
    """
    if get_principal().key_id is not None:
        raise build_forbidden_error("An API key has no account.")


@blueprint.get("/account")
@require_role(Role.VIEWER)
async def show_account() -> Response:
    """Show the account."""
    return await _render_account()


@blueprint.post("/account/password")
@require_role(Role.VIEWER)
async def change_password() -> Response | Redirection:
    """Change the user's own password, which needs the current one; end the user's other sessions."""
    given = await read_request_form()
    current, password = given.get_text("current"), given.get_text("password")
    if given.get_text("repeated") != password:
        return await _render_account({"repeated": _PASSWORDS_DIFFER}, status=422)
    here, me, address = get_services(), get_principal(), read_client_address()
    if (wait := here.login_limiter.record_attempt(me.username, address)) is not None:
        await here.users.refused_logins.record(me.username, "too many attempts at the current password")
        logger.warning("too many password attempts for one user or from %s: refused", address)
        return await _render_account(
            {"current": describe_wait(wait)}, status=429, headers={"Retry-After": str(math.ceil(wait))}
        )
    try:
        changed = await here.users.change_own_password(
            me.username, current, password, except_token=_read_session_token()
        )
    except UserError as error:
        return await _render_account({"password": str(error)}, status=422)
    if changed is None:
        return await _render_account({"current": _NOT_CURRENT}, status=422)
    here.login_limiter.record_success(me.username, address)
    return redirect_with_success("Password changed. Your other sessions are logged out.", "/account")


@blueprint.post("/account/logout")
@require_role(Role.VIEWER)
async def log_out_elsewhere() -> Redirection:
    """End the user's sessions except the current one."""
    await read_request_form()
    me = get_principal().username
    await get_services().users.end_sessions(me, actor=me, except_token=_read_session_token())
    return redirect_with_success("Your other sessions are logged out.", "/account")


@blueprint.post("/account/sessions/<int:id>/logout")
@require_role(Role.VIEWER)
async def end_session(id: int) -> Redirection:
    """End one of the user's sessions."""
    await read_request_form()
    if not await get_services().users.sessions.close_session_by_id(id, username=get_principal().username):
        return redirect_with_error("You have no such session.", "/account")
    return redirect_with_success("Session ended.", "/account")


def _read_session_token() -> str:
    """Return the token of the current session."""
    return request.cookies.get(SESSION_COOKIE, "")


async def _render_account(
    faults: Mapping[str, str] | None = None, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    here, me = get_services().users, get_principal()
    return await render_page(
        "account/account.html",
        status=status,
        headers=headers,
        user=await here.get_by_id(me.user_id),
        sessions=await here.sessions.list_sessions(me.username),
        current_session_id=await here.sessions.get_session_id(_read_session_token()),
        faults=faults or {},
    )
