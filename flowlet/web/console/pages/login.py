"""Logging in and out."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.access import CONSOLE, set_access
from flowlet.accounts.roles import Role
from flowlet.auth.known_devices import DEVICE_LIFETIME, KnownDevices
from flowlet.web.auth import SESSION_COOKIE, allow_anonymous, refuse_cross_site, require_role
from flowlet.web.console.kept_form import KEPT_FIELD, KeptForm, restore_form
from flowlet.web.console.layout import render_page
from flowlet.web.cookies import set_cookie
from flowlet.web.forms import compute_csrf_token, read_request_form
from flowlet.web.paths import HOME_PATH, sanitize_redirect_target
from flowlet.web.services import get_services

__all__ = ["blueprint", "describe_wait", "read_client_address"]

MAX_FORM_BYTES = 65_536
"""The size limit of a login form: a username, a password and a URL of maximum length, with 12 bytes per character, and
a form of the session that has ended."""

DEVICE_COOKIE = "flowlet_device"
"""Names a browser with which a user has logged in before."""


@dataclass(frozen=True, slots=True)
class LoginTarget:
    """Where a login leads: to a page, or to a form that arrived after the session had ended; "" without one."""

    url: str
    kept_form: str


_WRONG_CREDENTIALS = "Wrong username or password."

logger = logging.getLogger(__name__)
blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
@allow_anonymous
async def show_login() -> Response:
    """Show the login form."""
    was_redirected = "next" in request.args
    has_ended = was_redirected and _read_session_cookie() != ""
    wanted = sanitize_redirect_target(request.args.get("next", HOME_PATH))
    return await render_page("login/login.html", username="", next_url=wanted, has_ended=has_ended, kept_form="")


@blueprint.post("/login")
@allow_anonymous
async def log_in() -> Response | Redirection:
    """Open a session and redirect to ``next``; end the session that the browser already has."""
    # There is no session yet that another site could misuse, but it could log the user in to a different account.
    refuse_cross_site()
    set_access(CONSOLE)
    given = await read_request_form(max_bytes=MAX_FORM_BYTES)
    username, password, wanted = (
        given.get_text("username"),
        given.get_text("password"),
        LoginTarget(sanitize_redirect_target(given.get_text("next")), given.get_text(KEPT_FIELD)),
    )
    here, address = get_services(), read_client_address()
    devices = KnownDevices(here.store)
    device = await devices.find_device(request.cookies.get(DEVICE_COOKIE, ""), username)
    if (wait := here.login_limiter.record_attempt(username, address, device=device)) is not None:
        await here.users.refused_logins.record(username, "too many attempts")
        logger.warning("too many login attempts from %s or for one user: refused for %.0f seconds", address, wait)
        return await _render_login(username, wanted, 429, describe_wait(wait), {"Retry-After": str(math.ceil(wait))})
    opened = await here.users.log_in(username, password, user_agent=request.headers.get("User-Agent", ""))
    if opened is None:
        logger.info("login from %s refused: wrong username or password", address)
        return await _render_login(username, wanted, 401, _WRONG_CREDENTIALS)
    here.login_limiter.record_success(username, address, device=device)
    before = _read_session_cookie()
    kept = await restore_form(wanted.kept_form, before, username)
    if before:
        await here.users.sessions.close_session(before)
    answer = redirect(wanted.url, 303) if kept is None else await _render_kept_form(kept, wanted.url, opened[0])
    set_cookie(answer, SESSION_COOKIE, opened[0], max_age=round(here.settings.session_lifetime.total_seconds()))
    if signed := await devices.sign(username):
        set_cookie(answer, DEVICE_COOKIE, signed, max_age=round(DEVICE_LIFETIME.total_seconds()))
    return answer


@blueprint.post("/logout")
@require_role(Role.VIEWER)
async def log_out() -> Redirection:
    """End the current session."""
    await read_request_form(max_bytes=MAX_FORM_BYTES)
    if token := _read_session_cookie():
        await get_services().users.sessions.close_session(token)
    answer = redirect("/login", 303)
    set_cookie(answer, SESSION_COOKIE, "", max_age=0)
    return answer


async def _render_login(
    username: str, wanted: LoginTarget, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return the form with the entered username and the fault."""
    return await render_page(
        "login/login.html",
        status=status,
        headers=headers,
        has_ended=False,
        username=username,
        next_url=wanted.url,
        kept_form=wanted.kept_form,
        message=message,
    )


async def _render_kept_form(kept: KeptForm, next_url: str, session: str) -> Response:
    """Return the page that sends a form again, with the CSRF token of the new session."""
    token = compute_csrf_token(session)
    return await render_page("login/resend.html", is_form_kept=True, kept=kept, next_url=next_url, token=token)


def _read_session_cookie() -> str:
    return request.cookies.get(SESSION_COOKIE, "")


def describe_wait(wait_seconds: float) -> str:
    """Return the message for a user who has to wait before the next attempt."""
    seconds = math.ceil(wait_seconds)
    return f"Too many attempts. Wait {seconds} second{'' if seconds == 1 else 's'} and try again."


def read_client_address() -> str:
    """Return the client's address: the peer's, or behind proxies the one that our first proxy reports."""
    proxies = get_services().settings.proxies
    addresses = [
        part.strip() for part in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if part.strip()
    ]
    return addresses[-min(proxies, len(addresses))] if proxies and addresses else request.remote_addr or ""
