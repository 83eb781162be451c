"""Errors as a browser shows them: a page that says what happened, or the login where nobody is logged in."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from quart import Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.text import clean_text
from flowlet.web import problems
from flowlet.web.auth import SAFE_METHODS, SESSION_COOKIE, read_api_key
from flowlet.web.console.layout import render_page
from flowlet.web.paths import HOME_PATH, get_request_target, is_browser_request, sanitize_redirect_target
from flowlet.web.problems import Problem

__all__ = ["build_error_response"]


async def build_error_response(problem: Problem) -> Response | Redirection:
    """Return a problem as the response to the request at hand: in JSON, unless a browser asks for a page."""
    if not is_browser_request():
        return problems.build_problem_response(problem)
    if problem.status == HTTPStatus.UNAUTHORIZED and read_api_key() is None:
        return await _redirect_to_login()
    title = HTTPStatus(problem.status).phrase
    headers = dict(problem.headers)
    values = {"title": title, "detail": clean_text(problem.detail), "errors": problem.extensions.get("errors", ())}
    return await render_page("problems/problem.html", status=problem.status, headers=headers, problem=problem, **values)


async def _redirect_to_login() -> Response | Redirection:
    wanted = sanitize_redirect_target(get_request_target()) if request.method in SAFE_METHODS else HOME_PATH
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and SESSION_COOKIE not in request.cookies:
        # A link on another site: browsers keep a SameSite=Strict cookie back, and send it when our own page asks again.
        return await render_page("sessions/again.html", address=wanted)
    return redirect(f"/login?{urlencode({'next': wanted})}", 303)
