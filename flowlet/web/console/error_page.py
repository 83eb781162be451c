"""Errors in a browser: a page that says what happened, the login page, or the page of a form that was not processed."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from quart import Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.text import clean_text
from flowlet.web import problems
from flowlet.web.auth import SAFE_METHODS, SESSION_COOKIE, read_api_key
from flowlet.web.console.flash import redirect_with_error
from flowlet.web.console.form_page import find_form_page, find_page_above
from flowlet.web.console.kept_form import keep_request_form
from flowlet.web.console.layout import render_page
from flowlet.web.console.markup import capitalize_first
from flowlet.web.forms import STALE_PAGE_MESSAGE
from flowlet.web.paths import get_request_target, is_browser_request, sanitize_redirect_target
from flowlet.web.problems import Problem

__all__ = ["build_error_response"]


async def build_error_response(problem: Problem) -> Response | Redirection:
    """Return a problem as the response to the current request: as a page for a browser, otherwise as JSON."""
    if not is_browser_request():
        return problems.build_problem_response(problem)
    if problem.status == HTTPStatus.UNAUTHORIZED and read_api_key() is None:
        return await _redirect_to_login()
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED and request.method in SAFE_METHODS:
        return redirect(find_page_above(), 303)  # the address of a form's result, reloaded or opened again
    if problem.detail == STALE_PAGE_MESSAGE:
        return redirect_with_error(problem.detail, find_form_page())
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
    wanted = sanitize_redirect_target(get_request_target()) if request.method in SAFE_METHODS else find_form_page()
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and SESSION_COOKIE not in request.cookies:
        # After a link on another site a browser withholds a SameSite=Strict cookie; it sends it when our page reloads.
        return await render_page("login/continue.html", next_url=wanted)
    if kept := await keep_request_form():
        return await render_page(
            "login/login.html", status=401, username="", next_url=wanted, has_ended=True, kept_form=kept
        )
    return redirect(f"/login?{urlencode({'next': wanted})}", 303)
