"""The path below which an application is mounted: removed from requests, added to what responses lead to.

Views and templates know no prefix: their paths begin with ``/``. An application is below a prefix if a framework has
mounted it (``root_path`` of ASGI), or if a trusted proxy has removed one from the path (``X-Forwarded-Prefix``).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from quart import Quart, Response, request

from flowlet.web.services import EXTENSION_NAME

__all__ = ["get_base_url", "get_prefix", "install_prefix"]

_FORWARDED = re.compile(r"(?:/[A-Za-z0-9._~%-]+)+/?")
_LINK = re.compile(r"""(\s(?:href|action|formaction|src|data-live|data-stream)="|\scontent="0; url=)/(?!/)""")
"""Links of our own pages to our own paths. Jinja escapes quotation marks of texts, so no text of a user matches."""

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def install_prefix(app: Quart) -> None:
    """Let an application work below a prefix.

    Args:
        app: The application. Its links, redirects and cookies are those of the prefix from now on.
    """
    serve = app.asgi_app

    async def serve_below_prefix(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            settings = app.extensions[EXTENSION_NAME].settings
            scope = _resolve_prefix(scope, is_proxy_trusted=settings.proxies > 0)
        await serve(scope, receive, send)

    app.asgi_app = serve_below_prefix  # type: ignore[method-assign]  # as Quart documents for middleware
    app.after_request(_add_prefix)


def get_prefix() -> str:
    """Return the prefix of the current request, percent-encoded and without a slash at its end; "" for none."""
    return quote(request.root_path)


def get_base_url() -> str:
    """Return the URL of the application, for the client that sent the current request, without a slash at its end."""
    return request.host_url.rstrip("/") + get_prefix()


def _resolve_prefix(scope: Mapping[str, Any], *, is_proxy_trusted: bool) -> Mapping[str, Any]:
    """Return a request's scope whose ``path`` begins with its ``root_path``, which is what the browser sees.

    Servers and frameworks disagree about whether a path that they were given includes the root path.
    """
    root, path = _normalize(scope.get("root_path") or ""), scope["path"]
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    forwarded = _read_forwarded_prefix(scope["headers"]) if is_proxy_trusted else ""
    if forwarded and root != forwarded and not root.startswith(f"{forwarded}/"):
        root = forwarded + root
    if not root and not scope.get("root_path"):
        return scope
    return {**scope, "root_path": root, "path": root + (path or "/")}


def _read_forwarded_prefix(headers: Any) -> str:
    """Return the prefix that the nearest proxy has removed; "" for none, or one that is no plain path."""
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-prefix"]
    nearest = values[-1].rpartition(",")[2].strip() if values else ""
    return _normalize(unquote(nearest)) if _FORWARDED.fullmatch(nearest) else ""


def _normalize(prefix: str) -> str:
    """Return a prefix with one slash at its beginning and none at its end: two would name another host."""
    kept = prefix.strip("/")
    return f"/{kept}" if kept else ""


async def _add_prefix(response: Response) -> Response:
    """Add the prefix to a redirect's target, and to the links of a page."""
    prefix = get_prefix()
    if not prefix:
        return response
    location = response.headers.get("Location", "")
    if location.startswith("/") and not location.startswith("//"):
        response.headers["Location"] = prefix + location
    if response.mimetype == "text/html":
        text = await response.get_data(as_text=True)
        response.set_data(_LINK.sub(lambda found: f"{found[1]}{prefix}/", text))
    return response
