"""HTML forms: bounded, each field once, and for a session only with its CSRF token."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from quart import g, request

from flowlet.text import escape_control_characters, find_text_fault
from flowlet.web.auth import SESSION_COOKIE
from flowlet.web.deadline import receive_body
from flowlet.web.problems import Problem, ProblemError, build_faults_problem, build_forbidden_error

__all__ = [
    "CSRF_FIELD",
    "FORM_CONTENT_TYPE",
    "MAX_FIELDS",
    "STALE_PAGE_MESSAGE",
    "Form",
    "compute_csrf_token",
    "parse_form",
    "read_request_form",
]

CSRF_FIELD = "token"
"""The hidden field with the CSRF token."""
MAX_FIELDS = 1_000
FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"
STALE_PAGE_MESSAGE = (
    "Your session has changed since this page was loaded, and nothing was saved. Check the form, and send it again."
)


class Form:
    """The fields of a submitted form.

    Args:
        fields: All values of each field, by name.
    """

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def get_text(self, name: str) -> str:
        """Return a field's value; "" if the form does not have it.

        Raises:
            ProblemError: 400 if the form has it more than once.
        """
        values = self._fields.get(name, [""])
        if len(values) > 1:
            raise ProblemError(build_faults_problem({name: "is given twice"}))
        return values[0]

    def get_texts(self, name: str) -> list[str]:
        """Return all values of a field, such as those of several ticked boxes."""
        return list(self._fields.get(name, ()))


def compute_csrf_token(session_token: str) -> str:
    """Return the CSRF token of a session's forms.

    It is an HMAC of the session token: only the session's owner can compute it, it does not reveal the session token,
    and it need not be stored.
    """
    digest = hmac.digest(session_token.encode("utf-8", "replace"), b"flowlet: the forms of a session", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def read_request_form(*, max_bytes: int | None = None) -> Form:
    """Return the form of the current request. With a session, the form must carry the session's CSRF token.

    Args:
        max_bytes: The largest size of the form, in bytes; None for the limit of any body.

    Raises:
        ProblemError: 415 if the content type is not that of a form, 413 if the form is too long, 400 if it cannot be
            read, and 403 if the CSRF token is missing or that of another session.
        RequestEntityTooLarge: If the body is longer than FLOWLET_MAX_BODY.
    """
    if request.mimetype != FORM_CONTENT_TYPE:
        detail = f"The Content-Type is {request.mimetype or 'missing'!r}. Send a form as {FORM_CONTENT_TYPE}."
        raise ProblemError(Problem(415, "unsupported-media-type", detail, headers={"Accept-Post": FORM_CONTENT_TYPE}))
    body = await receive_body()
    if max_bytes is not None and len(body) > max_bytes:
        raise ProblemError(Problem(413, "too-large", f"The form is larger than {max_bytes:,} bytes."))
    found = parse_form(body)
    _check_csrf_token(found)
    return found


def parse_form(body: bytes) -> Form:
    """Return the fields of a form body.

    Raises:
        ProblemError: 400 if it is not UTF-8, has too many fields, or a text that no database can store.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # UnicodeDecodeError is one too
        detail = f"The form is not UTF-8 text, or has more than {MAX_FIELDS:,} fields."
        raise ProblemError(Problem(400, "unreadable", detail)) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if fault := find_text_fault(name) or find_text_fault(value):
            raise ProblemError(build_faults_problem({escape_control_characters(name[:80]): fault}))
        fields.setdefault(name, []).append(value)
    return Form(fields)


def _check_csrf_token(form: Form) -> None:
    principal = g.get("principal")
    if principal is None or principal.key_id is not None:
        return  # no session, or a program, whose API key another site cannot send
    expected = compute_csrf_token(request.cookies.get(SESSION_COOKIE, ""))
    if not hmac.compare_digest(form.get_text(CSRF_FIELD).encode(), expected.encode()):
        raise build_forbidden_error(STALE_PAGE_MESSAGE)
