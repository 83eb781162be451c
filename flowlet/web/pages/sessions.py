"""Logging in and out."""

from __future__ import annotations

import logging
import math

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.roles import Role
from flowlet.web.cookies import set_cookie
from flowlet.web.forms import form
from flowlet.web.guards import SESSION_COOKIE, needs, public, refuse_other_sites
from flowlet.web.pages.frame import page
from flowlet.web.paths import HOME, local
from flowlet.web.services import services

__all__ = ["blueprint", "client_address", "patience"]

FORM_LIMIT = 32_768
"""Bytes of a login: a name, a password and an address of their greatest length, each character written as twelve."""

_WRONG = "The username or the password is not right."

logger = logging.getLogger(__name__)
blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
@public
async def ask() -> Response:
    """Show the form."""
    was_sent_here = "next" in request.args
    has_ended = was_sent_here and _cookie() != ""
    wanted = local(request.args.get("next", HOME))
    return await page("sessions/login.html", username="", next=wanted, has_ended=has_ended)


@blueprint.post("/login")
@public
async def log_in() -> Response | Redirection:
    """Open a session and go where ``next`` leads; one that the browser has already ends."""
    # There is no session that another site could misuse; but it could log somebody in as another one, unnoticed.
    refuse_other_sites()
    given = await form(limit=FORM_LIMIT)
    username, password, wanted = given.text("username"), given.text("password"), local(given.text("next"))
    here, address = services(), client_address()
    if (wait := here.logins.check(username, address)) is not None:
        logger.warning("logins from %s, or for one user, come too often: refused for %.0f seconds", address, wait)
        return await _asked_again(username, wanted, 429, patience(wait), {"Retry-After": str(math.ceil(wait))})
    opened = await here.users.log_in(username, password, user_agent=request.headers.get("User-Agent", ""))
    if opened is None:
        logger.info("a login from %s was refused", address)
        return await _asked_again(username, wanted, 401, _WRONG)
    here.logins.succeeded(username, address)
    if before := _cookie():
        await here.users.sessions.close_session(before)
    answer = redirect(wanted, 303)
    set_cookie(answer, SESSION_COOKIE, opened[0], max_age=round(here.settings.session_lifetime.total_seconds()))
    return answer


@blueprint.post("/logout")
@needs(Role.VIEWER)
async def log_out() -> Redirection:
    """End the session."""
    await form(limit=FORM_LIMIT)
    if token := _cookie():
        await services().users.sessions.close_session(token)
    answer = redirect("/login", 303)
    set_cookie(answer, SESSION_COOKIE, "", max_age=0)
    return answer


async def _asked_again(
    username: str, wanted: str, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return the form with what was given, but for the password, and with what was wrong."""
    values = {"username": username, "next": wanted, "message": message}
    return await page("sessions/login.html", status=status, headers=headers, has_ended=False, **values)


def _cookie() -> str:
    return request.cookies.get(SESSION_COOKIE, "")


def patience(wait: float) -> str:
    """Return what is said to somebody who has to wait for so many seconds."""
    seconds = math.ceil(wait)
    return f"There were too many attempts. Wait {seconds} second{'' if seconds == 1 else 's'}, and try again."


def client_address() -> str:
    """Return who asks: the peer, or behind proxies what the first of ours says that its own peer was."""
    proxies = services().settings.proxies
    said = [part.strip() for part in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if part.strip()]
    return said[-min(proxies, len(said))] if proxies and said else request.remote_addr or ""
