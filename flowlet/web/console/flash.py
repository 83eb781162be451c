"""What was done, told on the page that a form leads to.

The message travels in a cookie for one minute, signed with the session's token: nobody else can make one, a link can
carry none, and the address stays as it is. It is shown once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

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
"""Characters of a message: with the signature a cookie may have about 4,000 bytes."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to who did something.

    Attributes:
        tone: "ok" or "err".
    """

    text: str
    tone: str


def redirect_with_success(message: str, url: str) -> Response:
    """Return the answer to a form that did its work: off to an address of ours, where the message is shown."""
    return _redirect_with_notice(Notice(message, "ok"), url)


def redirect_with_error(message: str, url: str) -> Response:
    """Return the answer to a form that changed nothing, as ``done`` does."""
    return _redirect_with_notice(Notice(message, "err"), url)


def read_notice() -> Notice | None:
    """Return what the page at hand has to tell; None on what a script fetches, which shows none."""
    value, session = request.cookies.get(COOKIE_NAME, ""), request.cookies.get(SESSION_COOKIE, "")
    if not value or not session or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return None
    payload, _, signature = value.partition(".")
    if not hmac.compare_digest(_sign_payload(payload, session).encode(), signature.encode()):
        return None
    try:
        tone, _, text = base64.urlsafe_b64decode(payload).decode().partition(" ")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Notice(text, tone)


def clear_notice(response: Page) -> None:
    """Let the browser show a notice no second time."""
    set_cookie(response, COOKIE_NAME, "", max_age=0)


def _redirect_with_notice(notice: Notice, url: str) -> Response:
    answer: Response = redirect(sanitize_redirect_target(url), 303)
    if session := request.cookies.get(SESSION_COOKIE):
        short = notice.text if len(notice.text) <= MAX_MESSAGE_LENGTH else f"{notice.text[: MAX_MESSAGE_LENGTH - 1]}…"
        payload = base64.urlsafe_b64encode(f"{notice.tone} {short}".encode("utf-8", "replace")).decode()
        set_cookie(answer, COOKIE_NAME, f"{payload}.{_sign_payload(payload, session)}", max_age=LIFETIME_SECONDS)
    return answer


def _sign_payload(payload: str, session: str) -> str:
    key = session.encode("utf-8", "replace")
    digest = hmac.digest(key, b"flowlet: a notice: " + payload.encode("utf-8", "replace"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
