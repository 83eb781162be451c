"""Setting cookies, which no script reads, and which no other site's request carries."""

from __future__ import annotations

from quart import request
from werkzeug.sansio.response import Response

__all__ = ["set_cookie"]


def set_cookie(response: Response, name: str, value: str, *, max_age: int) -> None:
    """Let the browser keep a cookie; or forget it, if its age is zero.

    Args:
        response: What carries it.
        name: Its name.
        value: What scripts and other sites do not see.
        max_age: For how many seconds.
    """
    # The browser's own word for its scheme goes before ours: behind a proxy that ends TLS we see plain HTTP, and no
    # header of a proxy has to be believed.
    is_secure = request.is_secure or request.headers.get("Origin", "").startswith("https://")
    response.set_cookie(name, value, max_age=max_age, path="/", secure=is_secure, httponly=True, samesite="Strict")
