"""Flash messages: the result of a form, shown once on the page that follows.

The message travels in a cookie for one minute, signed by itsdangerous with the session's token. Other users cannot
forge one, a link cannot carry one, and the page's URL stays the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer
from quart import Response as Page
from quart import redirect, request
from werkzeug.wrappers import Response

from flowlet.web.auth import SESSION_COOKIE
from flowlet.web.cookies import set_cookie
from flowlet.web.paths import sanitize_redirect_target

__all__ = ["Notice", "clear_notice", "read_notice", "redirect_with_error", "redirect_with_success"]

COOKIE_NAME = "flowlet_notice"
LIFETIME_SECONDS = 60
MAX_MESSAGE_LENGTH = 600
"""Characters of a message: at four bytes each, with the signature, they stay below a cookie's limit of 4,096 bytes."""
_SALT = "flowlet: a notice"


@dataclass(frozen=True, slots=True)
class Notice:
    """The result of a form.

    Attributes:
        text: What happened.
        tone: "ok" or "err".
    """

    text: str
    tone: str


def redirect_with_success(message: str, url: str) -> Response:
    """Return the response to a form that succeeded: a redirect to one of our pages, which shows the message."""
    return _redirect_with_notice(Notice(message, "ok"), url)


def redirect_with_error(message: str, url: str) -> Response:
    """Return the response to a form that changed nothing, likewise."""
    return _redirect_with_notice(Notice(message, "err"), url)


def read_notice() -> Notice | None:
    """Return the notice that the current request carries; None for a script's request, which does not show it."""
    value, session = request.cookies.get(COOKIE_NAME, ""), request.cookies.get(SESSION_COOKIE, "")
    if not value or not session or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return None
    try:
        tone, text = _build_serializer(session).loads(value.encode("utf-8", "replace"))
    except BadData:
        return None
    return Notice(text, tone)


def clear_notice(response: Page) -> None:
    """Delete the cookie, so that the browser shows a notice only once."""
    set_cookie(response, COOKIE_NAME, "", max_age=0)


def _redirect_with_notice(notice: Notice, url: str) -> Response:
    answer: Response = redirect(sanitize_redirect_target(url), 303)
    if session := request.cookies.get(SESSION_COOKIE):
        short = notice.text if len(notice.text) <= MAX_MESSAGE_LENGTH else f"{notice.text[: MAX_MESSAGE_LENGTH - 1]}…"
        text = short.encode("utf-8", "replace").decode()  # a lone surrogate cannot be encoded
        value = _build_serializer(session).dumps([notice.tone, text])
        set_cookie(answer, COOKIE_NAME, value.decode() if isinstance(value, bytes) else value, max_age=LIFETIME_SECONDS)
    return answer


def _build_serializer(session: str) -> URLSafeSerializer:
    """Return the serializer of a session's notices; its HMAC uses SHA-256 instead of the library's default SHA-1."""
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(session.encode("utf-8", "replace"), salt=_SALT, signer_kwargs=options)
