"""Paths: those of the API, those of pages, and safe redirect targets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from quart import request
from quart.routing import QuartRule
from werkzeug.routing import IntegerConverter, PathConverter

__all__ = [
    "HOME_PATH",
    "MAX_REDIRECT_LENGTH",
    "IdConverter",
    "NameConverter",
    "PathRule",
    "get_request_target",
    "is_api",
    "is_browser_request",
    "sanitize_redirect_target",
]

HOME_PATH = "/"
"""The page after a login without another target."""
MAX_REDIRECT_LENGTH = 2_000
"""How many characters a redirect target has at most."""
_API_PATHS = frozenset({"/metrics", "/openapi.json", "/healthz", "/readyz"})
_UNSAFE_CHARACTER = re.compile(r"[^\x21-\x7e]|\\")


class IdConverter(IntegerConverter):
    """A number in a path, in ASCII digits; the framework's converter accepts the digits of every script."""

    regex = "[0-9]+"


class NameConverter(PathConverter):
    """A name in a path, which may contain slashes; the framework's converter refuses one that begins with a slash."""

    regex = ".+?"
    part_isolating = False


class PathRule(QuartRule):
    """A route, whose functions that build its address are compiled when they are first called.

    No page of Flowlet builds an address from a route; an extension of the application may. For all routes that
    compilation takes most of the time in which the application is made.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled: Callable[..., tuple[str, str]] | None = None

        def build(rule: PathRule, /, **values: Any) -> tuple[str, str]:
            nonlocal compiled
            if compiled is None:
                compiled = super(PathRule, rule)._compile_builder(append_unknown)
            return compiled(rule, **values)

        return build


def is_api(path: str) -> bool:
    """Return whether a path belongs to the API: it is in ``/openapi.json``, and all its errors are problems."""
    return path in _API_PATHS or path == "/api" or path.startswith("/api/")


def is_browser_request() -> bool:
    """Return whether the current request is for a page, from a client that prefers HTML to JSON.

    ``Accept: */*``, which programs send, does not prefer HTML.
    """
    kinds = ["application/problem+json", "application/json", "text/html"]
    return not is_api(request.path) and request.accept_mimetypes.best_match(kinds) == "text/html"


def get_request_target() -> str:
    """Return the path and query of the current request, as the browser sent them."""
    query = request.query_string.decode("ascii", "replace")
    return quote(request.path) + (f"?{query}" if query else "")


def sanitize_redirect_target(target: str) -> str:
    """Return a redirect target if it stays on this host, and ``HOME_PATH`` otherwise.

    Browsers read a backslash as a slash, and skip tabs and line breaks: after "/", each may lead to another host. Our
    own addresses are percent-encoded, so they have none of these characters.
    """
    is_local = target.startswith("/") and not target.startswith("//") and not _UNSAFE_CHARACTER.search(target)
    is_login = target.partition("?")[0] in ("/login", "/logout")
    return target if is_local and not is_login and len(target) <= MAX_REDIRECT_LENGTH else HOME_PATH
