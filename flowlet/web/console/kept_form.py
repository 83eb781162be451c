"""A form that arrived after its session had ended: kept in the login page, and shown again to the same user.

It is never stored here: the login page carries it, signed with the token of the ended session, which the browser still
sends. Only a form of our own page for this very session is kept: it has to come from the same origin, and to carry the
session's CSRF token. It is sent only when its user presses a button, with the token of the new session.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl

from itsdangerous import BadData, URLSafeSerializer
from quart import request
from werkzeug.exceptions import HTTPException

from flowlet.accounts.models import make_username_key
from flowlet.web.auth import SESSION_COOKIE, require_same_origin
from flowlet.web.deadline import receive_body
from flowlet.web.forms import CSRF_FIELD, FORM_CONTENT_TYPE, MAX_FIELDS, compute_csrf_token, parse_form
from flowlet.web.paths import get_request_target
from flowlet.web.problems import ProblemError
from flowlet.web.services import get_services

__all__ = ["KEPT_FIELD", "KeptForm", "keep_request_form", "restore_form"]

KEPT_FIELD = "kept_form"
"""The hidden field of the login page with the form."""
MAX_KEPT_BYTES = 16_384
_SECRET_FIELDS = frozenset({"password", "current", "repeated"})
_UNSHOWN_FIELDS = frozenset({"version", "filters", "ids", "created_before", "scope", "operation"})
_SALT = "flowlet: a form of an ended session"


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form that was not processed.

    Attributes:
        action: The path that it is sent to.
        fields: Its names and values, without the CSRF token.
    """

    action: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown_fields(self) -> list[tuple[str, str]]:
        """What its user has typed or chosen: the names, in words, and the values."""
        shown = [(name, value) for name, value in self.fields if value.strip() and name not in _UNSHOWN_FIELDS]
        return [(name.replace("_", " ").replace(".", " ").capitalize(), value) for name, value in shown]


async def keep_request_form() -> str:
    """Return the form of the current request for the login page; "" if there is none that may be kept.

    A form with a password is not, nor one that is larger than 16 kB, or that no page of the ended session has sent.
    """
    session = request.cookies.get(SESSION_COOKIE, "")
    length = request.content_length
    if not session or request.method != "POST" or request.mimetype != FORM_CONTENT_TYPE or request.url_rule is None:
        return ""
    if length is None or length > MAX_KEPT_BYTES:
        return ""
    try:
        require_same_origin()
        body = await receive_body()
        form = parse_form(body)
        token = form.get_text(CSRF_FIELD)
    except (ProblemError, HTTPException):  # it would have been refused with a session, too
        return ""
    if not hmac.compare_digest(token.encode(), compute_csrf_token(session).encode()):
        return ""
    pairs = [pair for pair in parse_qsl(body.decode(), keep_blank_values=True) if pair[0] != CSRF_FIELD]
    if _SECRET_FIELDS.intersection(name for name, _ in pairs):
        return ""
    value = _build_serializer(session).dumps([get_request_target(), pairs])
    return value.decode() if isinstance(value, bytes) else value


async def restore_form(text: str, session: str, username: str) -> KeptForm | None:
    """Return the form of a login page, if the user who logs in is the one whose session had ended; otherwise None.

    Args:
        text: The field of the login page.
        session: The token of the ended session, which the browser has sent.
        username: The user who has logged in.

    Raises:
        StoreUnavailableError: If the database cannot be reached.
    """
    if not text or not session:
        return None
    try:
        action, pairs = _build_serializer(session).loads(text.encode("utf-8", "replace"))
    except BadData:
        return None
    owner = await get_services().users.sessions.find_owner(session)
    if owner is None or make_username_key(owner) != make_username_key(username):
        return None
    return KeptForm(action, tuple((name, value) for name, value in pairs[:MAX_FIELDS]))


def _build_serializer(session: str) -> URLSafeSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(session.encode("utf-8", "replace"), salt=_SALT, signer_kwargs=options)
