"""Which paths are the API's, for programs, and which are pages, for people in a browser."""

from __future__ import annotations

import re
from urllib.parse import quote

from quart import request
from werkzeug.routing import IntegerConverter

__all__ = ["HOME_PATH", "IdConverter", "get_request_target", "is_api", "is_browser_request", "sanitize_redirect_target"]

HOME_PATH = "/"
"""Where a login leads that says nothing else."""
MAX_REDIRECT_LENGTH = 2_000
_API_PATHS = frozenset({"/metrics", "/openapi.json", "/healthz", "/readyz"})
_UNSAFE_CHARACTER = re.compile(r"[^\x21-\x7e]|\\")


class IdConverter(IntegerConverter):
    """A number in a path, in the digits of ASCII: the framework's own takes those of every script."""

    regex = "[0-9]+"


def is_api(path: str) -> bool:
    """Return whether a path belongs to the API: it is in ``/openapi.json``, and all its errors are problems."""
    return path in _API_PATHS or path == "/api" or path.startswith("/api/")


def is_browser_request() -> bool:
    """Return whether the request at hand is for a page, by somebody who would rather read HTML than JSON.

    ``Accept: */*``, as programs send it, asks for no page.
    """
    kinds = ["application/problem+json", "application/json", "text/html"]
    return not is_api(request.path) and request.accept_mimetypes.best_match(kinds) == "text/html"


def get_request_target() -> str:
    """Return the path and query of the request at hand, as a browser asked for it."""
    query = request.query_string.decode("ascii", "replace")
    return quote(request.path) + (f"?{query}" if query else "")


def sanitize_redirect_target(target: str) -> str:
    """Return an address if it stays on this host, and ``HOME`` otherwise: a login must not lead elsewhere.

    Browsers take a backslash for a slash, and read over tabs and line ends: behind "/", each may lead to another host.
    What has to be percent-encoded, and is not, is none of our own addresses.
    """
    is_local = target.startswith("/") and not target.startswith("//") and not _UNSAFE_CHARACTER.search(target)
    is_login = target.partition("?")[0] in ("/login", "/logout")
    return target if is_local and not is_login and len(target) <= MAX_REDIRECT_LENGTH else HOME_PATH
