"""Cookies that scripts cannot read, and that browsers do not send from other sites."""

from __future__ import annotations

from quart import request
from werkzeug.sansio.response import Response

from flowlet.web.embedding.prefix import get_prefix

__all__ = ["set_cookie"]


def set_cookie(response: Response, name: str, value: str, *, max_age: int) -> None:
    """Set a cookie on a response, or delete it if ``max_age`` is zero. The browser sends it below our prefix only.

    Args:
        response: The response.
        name: The cookie's name.
        value: The cookie's value.
        max_age: How long the browser keeps it, in seconds.
    """
    # The browser's Origin also tells the scheme: behind a proxy that terminates TLS we see plain HTTP, and this way we
    # need not trust a proxy's header.
    is_secure = request.is_secure or request.headers.get("Origin", "").startswith("https://")
    path = get_prefix() or "/"
    response.set_cookie(name, value, max_age=max_age, path=path, secure=is_secure, httponly=True, samesite="Strict")
