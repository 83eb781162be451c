"""What browsers send from a form: bounded, each field once, and for a session only with the token of its pages."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from quart import g, request

from flowlet.text import escape_control_characters, find_text_fault
from flowlet.web.auth import SESSION_COOKIE
from flowlet.web.problems import Problem, ProblemError, build_faults_problem, build_forbidden_error

__all__ = [
    "CSRF_FIELD",
    "MAX_FIELDS",
    "Form",
    "compute_csrf_token",
    "parse_form",
    "read_request_form",
]

CSRF_FIELD = "token"
"""The hidden field of every form that a session sends."""
MAX_FIELDS = 1_000
_FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"
_STALE_PAGE_MESSAGE = "The page that sent this is of another login. Open it again, and repeat what you did."


class Form:
    """The fields of a form that was sent.

    Args:
        fields: Every value of each field, by its name.
    """

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def get_text(self, name: str) -> str:
        """Return a field's value; "" if it was not sent.

        Raises:
            ProblemError: 400 if it was sent more than once.
        """
        values = self._fields.get(name, [""])
        if len(values) > 1:
            raise ProblemError(build_faults_problem({name: "is given twice"}))
        return values[0]


def compute_csrf_token(session_token: str) -> str:
    """Return the token of the forms of a session.

    Only who knows the session's own token can make it, and nobody can make that one of it: nothing has to be stored.
    """
    digest = hmac.digest(session_token.encode("utf-8", "replace"), b"flowlet: the forms of a session", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def read_request_form(*, max_bytes: int | None = None) -> Form:
    """Return the form that the request at hand sends. Where a session asks, the form has to carry its token.

    Args:
        max_bytes: How many bytes it may have; None for as many as any body.

    Raises:
        ProblemError: 415 if the body is said to be something else than a form, 413 if it is too long, 400 if it cannot
            be read, and 403 if a session asks and its token is missing or another one's.
        RequestEntityTooLarge: If it is longer than FLOWLET_MAX_BODY.
    """
    if request.mimetype != _FORM_CONTENT_TYPE:
        detail = f"The body is said to be {request.mimetype or 'nothing'!r}. A form is sent as {_FORM_CONTENT_TYPE}."
        raise ProblemError(Problem(415, "unsupported-media-type", detail, headers={"Accept-Post": _FORM_CONTENT_TYPE}))
    body = await request.get_data(False, False, False)  # the bytes, not kept, not read by the framework
    if max_bytes is not None and len(body) > max_bytes:
        raise ProblemError(
            Problem(413, "too-large", f"The form has more than the {max_bytes:,} bytes that it may have.")
        )
    found = parse_form(body)
    _check_csrf_token(found)
    return found


def parse_form(body: bytes) -> Form:
    """Return the fields of a form as a browser writes them.

    Raises:
        ProblemError: 400 if they are no UTF-8, too many, or hold what cannot be stored.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # of which the errors of decoding are a kind
        detail = f"The form is no UTF-8 text, or has more than {MAX_FIELDS:,} fields."
        raise ProblemError(Problem(400, "unreadable", detail)) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if fault := find_text_fault(name) or find_text_fault(value):
            raise ProblemError(build_faults_problem({escape_control_characters(name[:80]): fault}))
        fields.setdefault(name, []).append(value)
    return Form(fields)


def _check_csrf_token(form: Form) -> None:
    asking = g.get("principal")
    if asking is None or asking.key_id is not None:
        return  # nobody is logged in here, or a program asks, whose key no other site can send
    expected = compute_csrf_token(request.cookies.get(SESSION_COOKIE, ""))
    if not hmac.compare_digest(form.get_text(CSRF_FIELD).encode(), expected.encode()):
        raise build_forbidden_error(_STALE_PAGE_MESSAGE)
