"""Which paths are the API's, for programs, and which are pages, for people in a browser."""

from __future__ import annotations

import re
from urllib.parse import quote

from quart import request
from werkzeug.routing import IntegerConverter

__all__ = ["HOME", "Id", "address", "is_api", "is_asked_by_browser", "local"]

HOME = "/"
"""Where a login leads that says nothing else."""
ADDRESS_LIMIT = 2_000
_API = frozenset({"/metrics", "/openapi.json", "/healthz", "/readyz"})
_UNSAFE = re.compile(r"[^\x21-\x7e]|\\")


class Id(IntegerConverter):
    """A number in a path, in the digits of ASCII: the framework's own takes those of every script."""

    regex = "[0-9]+"


def is_api(path: str) -> bool:
    """Return whether a path belongs to the API: it is in ``/openapi.json``, and all its errors are problems."""
    return path in _API or path == "/api" or path.startswith("/api/")


def is_asked_by_browser() -> bool:
    """Return whether the request at hand is for a page, by somebody who would rather read HTML than JSON.

    ``Accept: */*``, as programs send it, asks for no page.
    """
    kinds = ["application/problem+json", "application/json", "text/html"]
    return not is_api(request.path) and request.accept_mimetypes.best_match(kinds) == "text/html"


def address() -> str:
    """Return the path and query of the request at hand, as a browser asked for it."""
    query = request.query_string.decode("ascii", "replace")
    return quote(request.path) + (f"?{query}" if query else "")


def local(address: str) -> str:
    """Return an address if it stays on this host, and ``HOME`` otherwise: a login must not lead elsewhere.

    Browsers take a backslash for a slash, and read over tabs and line ends: behind "/", each may lead to another host.
    What has to be percent-encoded, and is not, is none of our own addresses.
    """
    is_local = address.startswith("/") and not address.startswith("//") and not _UNSAFE.search(address)
    is_login = address.partition("?")[0] in ("/login", "/logout")
    return address if is_local and not is_login and len(address) <= ADDRESS_LIMIT else HOME
