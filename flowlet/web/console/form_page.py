"""The page that a form was on: where its user goes back to if the form cannot be processed."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

from quart import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

from flowlet.web.embedding.prefix import get_prefix
from flowlet.web.paths import HOME_PATH, MAX_REDIRECT_LENGTH, is_api, sanitize_redirect_target

__all__ = ["find_form_page", "find_page_above"]


def find_form_page() -> str:
    """Return the page that the current request's form was on: the browser's referrer, or the nearest page above."""
    prefix = get_prefix()
    try:
        referrer = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # its host has unpaired brackets
        return find_page_above()
    if referrer.netloc != request.host or not referrer.path.startswith(f"{prefix}/"):
        return find_page_above()
    return _find_nearest(unquote(referrer.path[len(prefix) :]), referrer.query)


def find_page_above() -> str:
    """Return the nearest path at or above the current request's that can be read: that of a form is only posted to."""
    return _find_nearest(request.path, request.query_string.decode("ascii", "replace"))


def _find_nearest(path: str, query: str) -> str:
    if len(path) > MAX_REDIRECT_LENGTH:  # each of its parts would be matched: seconds for a referrer of 16 kB
        return HOME_PATH
    routes = current_app.url_map.bind("")
    while path.strip("/") and not _is_page(routes, path):
        path = path.rpartition("/")[0]
    return sanitize_redirect_target(f"{quote(path)}?{query}" if query and path else quote(path) or HOME_PATH)


def _is_page(routes: MapAdapter, path: str) -> bool:
    try:
        routes.match(path, method="GET")
    except (RequestRedirect, HTTPException):
        return False
    return not is_api(path)
