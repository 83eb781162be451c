"""Errors as a browser shows them: a page that says what happened, or the login where nobody is logged in."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from quart import Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.texts import cleaned
from flowlet.web import problems
from flowlet.web.guards import SAFE_METHODS, SESSION_COOKIE, sent_key
from flowlet.web.pages.frame import page
from flowlet.web.paths import HOME, address, is_asked_by_browser, local
from flowlet.web.problems import Problem

__all__ = ["tell"]


async def tell(problem: Problem) -> Response | Redirection:
    """Return a problem as the response to the request at hand: in JSON, unless a browser asks for a page."""
    if not is_asked_by_browser():
        return problems.answer(problem)
    if problem.status == HTTPStatus.UNAUTHORIZED and sent_key() is None:
        return await _ask_for_login()
    title = HTTPStatus(problem.status).phrase
    headers = dict(problem.headers)
    values = {"title": title, "detail": cleaned(problem.detail), "errors": problem.more.get("errors", ())}
    return await page("problems/problem.html", status=problem.status, headers=headers, problem=problem, **values)


async def _ask_for_login() -> Response | Redirection:
    wanted = local(address()) if request.method in SAFE_METHODS else HOME
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and SESSION_COOKIE not in request.cookies:
        # A link on another site: browsers keep a SameSite=Strict cookie back, and send it when our own page asks again.
        return await page("sessions/again.html", address=wanted)
    return redirect(f"/login?{urlencode({'next': wanted})}", 303)
