"""Errors in a browser: a page that says what happened, or the login page if the user is not logged in."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from quart import Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.text import clean_text
from flowlet.web import problems
from flowlet.web.auth import SAFE_METHODS, SESSION_COOKIE, read_api_key
from flowlet.web.console.layout import render_page
from flowlet.web.console.markup import capitalize_first
from flowlet.web.paths import HOME_PATH, get_request_target, is_browser_request, sanitize_redirect_target
from flowlet.web.problems import Problem

__all__ = ["build_error_response"]


async def build_error_response(problem: Problem) -> Response | Redirection:
    """Return a problem as the response to the current request: as a page for a browser, otherwise as JSON."""
    if not is_browser_request():
        return problems.build_problem_response(problem)
    if problem.status == HTTPStatus.UNAUTHORIZED and read_api_key() is None:
        return await _redirect_to_login()
    title = HTTPStatus(problem.status).phrase
    headers = dict(problem.headers)
    template = "error_page/error_page.html"
    values = {
        "title": title,
        "detail": capitalize_first(clean_text(problem.detail)),
        "errors": problem.extensions.get("errors", ()),
    }
    return await render_page(template, status=problem.status, headers=headers, problem=problem, **values)


async def _redirect_to_login() -> Response | Redirection:
    wanted = sanitize_redirect_target(get_request_target()) if request.method in SAFE_METHODS else HOME_PATH
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and SESSION_COOKIE not in request.cookies:
        # After a link on another site a browser withholds a SameSite=Strict cookie; it sends it when our page reloads.
        return await render_page("login/continue.html", next_url=wanted)
    return redirect(f"/login?{urlencode({'next': wanted})}", 303)
