"""The errors that the client raises, in one tree.

ClientError                    a FlowletError
├── UnreachableError           nothing answered, or not in time (also a ConnectionError)
├── AnswerError                what answered is no Flowlet, or one that this client does not understand
└── ApiError                   the server answered with a problem
    ├── FaultyError            400, 413, 415: the request has faults; lists them by field
    ├── UnauthenticatedError   401: there is no key, or none that is known
    ├── ForbiddenError         403: the role does not suffice
    ├── NotFoundError          404: there is no such thing (also flowlet.errors.NotFoundError)
    ├── RefusedError           409: it may not be done now; lists what may (also flowlet.errors.RefusedError)
    ├── TooManyRequestsError   429: somebody asks too often
    ├── UnexpectedError        500: a fault of the server; its log tells more under the problem's id
    ├── UnavailableError       503, and a proxy's 502 and 504: the database or the server is away
    └── WaitTimeoutError       504: it has not come so far in time (also flowlet.errors.WaitTimeoutError)

Where ``flowlet.errors`` has an error of the same name and meaning, the client's derives from it: code that catches
``flowlet.errors.RefusedError`` works with the application and with its API alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from flowlet import errors
from flowlet.client.models import Instance

__all__ = [
    "ApiError",
    "BadRequestError",
    "ClientError",
    "ForbiddenError",
    "NotFoundError",
    "Problem",
    "RefusedError",
    "ServerError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedResponseError",
    "UnreachableError",
    "WaitTimeoutError",
    "build_error",
    "build_not_found_error",
]

MAX_SHOWN_BYTES = 200
"""How much is shown of an answer that is no problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the server tells it, in the members of RFC 9457.

    Attributes:
        type: As "/problems/refused"; "about:blank" where the status says it all. Branch on this one.
        errors: What is wrong with each field, by its path as in ``stateVars.items.0.sku``.
        permitted: The states or operations that may be taken instead.
        retry_after_seconds: When to ask again, in seconds; None where the answer says nothing of it.
        more: Further members.
    """

    type: str
    status: int
    title: str
    detail: str
    errors: Mapping[str, str] = field(default_factory=dict)
    permitted: tuple[str, ...] = ()
    retry_after_seconds: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The end of its type, as "refused"; empty for about:blank."""
        return self.type.rpartition("/problems/")[2] if "/problems/" in self.type else ""


class ClientError(errors.FlowletError):
    """The root of what the client raises on purpose."""


class UnreachableError(ClientError, ConnectionError):
    """Nothing answered, or not in time.

    ``was_sent`` is False if the server cannot have seen the request. Otherwise what changes something may have been
    done: look before you do it again.
    """

    def __init__(self, message: str, *, was_sent: bool) -> None:
        self.was_sent = was_sent
        super().__init__(message)


class UnexpectedResponseError(ClientError):
    """What answered is no Flowlet, or one that this client does not understand; the message says what came."""


class ApiError(ClientError):
    """The server answered with a problem, and this is none of the kinds below.

    Attributes:
        problem: All that the server told.
        status: The HTTP status.
    """

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        self.problem = problem
        self.status = problem.status
        listed = "; ".join(f"{path}: {fault}" if path else fault for path, fault in problem.errors.items())
        Exception.__init__(
            self, " ".join(filter(None, (f"{request_line}:" if request_line else "", problem.detail, listed)))
        )


class BadRequestError(ApiError):
    """The request has faults; ``errors`` maps each field's path to what is wrong. Nothing has been changed."""

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.errors = dict(problem.errors)


class UnauthenticatedError(ApiError):
    """There is no key, or none that is known: it has expired, or was revoked."""


class ForbiddenError(ApiError):
    """The key is known, and its role does not suffice."""


class NotFoundError(ApiError, errors.NotFoundError):
    """There is no such workflow, definition, user or key."""


class RefusedError(ApiError, errors.RefusedError):
    """It may not be done now; ``permitted`` lists the states or operations that may be taken instead."""

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.permitted = problem.permitted


class TooManyRequestsError(ApiError):
    """Somebody asks too often; ``retry_after`` is when to ask again, in seconds, or None."""

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.retry_after_seconds = problem.retry_after_seconds


class ServerError(ApiError):
    """A fault of the server. Its log tells more under ``problem.more["id"]``."""


class UnavailableError(ApiError):
    """The database or the server is away; ``retry_after`` is when to ask again, in seconds, or None.

    What changes something may have been done: look before you do it again.
    """

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.retry_after_seconds = problem.retry_after_seconds


class WaitTimeoutError(ApiError, errors.WaitTimeoutError):
    """A workflow has not come as far as it was waited for, in the time given. It goes on.

    ``workflow`` is how it stood then, or None where the server could not tell; ``workflow_id`` names it in any case.
    """

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.workflow_id: int | None = problem.more.get("workflowId")
        self.workflow = self.instance = _parse_instance(problem.more.get("workflow"))


_ERRORS_BY_NAME: Mapping[str, type[ApiError]] = {
    "faulty": BadRequestError,
    "unreadable": BadRequestError,
    "too-large": BadRequestError,
    "unsupported-media-type": BadRequestError,
    "unauthenticated": UnauthenticatedError,
    "forbidden": ForbiddenError,
    "not-found": NotFoundError,
    "refused": RefusedError,
    "too-many-requests": TooManyRequestsError,
    "unexpected": ServerError,
    "unavailable": UnavailableError,
    "wait-timeout": WaitTimeoutError,
}
_ERRORS_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: RefusedError,
    413: BadRequestError,
    415: BadRequestError,
    429: TooManyRequestsError,
    500: ServerError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
"""What an answer means that names no type: a proxy's, or that of another server."""


def build_error(status: int, headers: Mapping[str, str], content: bytes, *, request_line: str) -> ApiError:
    """Return the error that an answer tells, of whatever it is made.

    Args:
        status: 400 or above.
        headers: By their names, in any case.
        content: The body.
        request_line: What was asked, as "GET /api/me".
    """
    problem = _parse_problem(status, headers, content)
    kind = _ERRORS_BY_NAME.get(problem.name) or _ERRORS_BY_STATUS.get(status, ApiError)
    return kind(problem, request_line=request_line)


def build_not_found_error(detail: str) -> NotFoundError:
    """Return the error that the server answers where there is no such thing, for what a search has not found."""
    return NotFoundError(Problem("/problems/not-found", 404, HTTPStatus.NOT_FOUND.phrase, detail))


def _parse_problem(status: int, headers: Mapping[str, str], content: bytes) -> Problem:
    told = _parse_members(headers.get("content-type", ""), content)
    known = {"type", "title", "status", "detail", "errors", "permitted"}
    shown = content[:MAX_SHOWN_BYTES].decode(errors="replace")
    return Problem(
        type=str(told.get("type") or "about:blank"),
        status=status,
        title=str(told.get("title") or _get_phrase(status)),
        detail=str(told.get("detail") or f"{status} {_get_phrase(status)}, with no problem of Flowlet's: {shown!r}"),
        errors=_parse_faults(told.get("errors")),
        permitted=tuple(map(str, _get_list(told.get("permitted")))),
        retry_after_seconds=_parse_retry_after(headers.get("retry-after", "")),
        more={name: value for name, value in told.items() if name not in known},
    )


def _parse_members(content_type: str, content: bytes) -> Mapping[str, Any]:
    if content_type.partition(";")[0].strip().lower() != "application/problem+json":
        return {}
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _get_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parse_faults(value: Any) -> dict[str, str]:
    faults: dict[str, str] = {}
    for each in _get_list(value):
        if isinstance(each, dict):
            path, message = str(each.get("field", "")), str(each.get("message", ""))
            faults[path] = f"{faults[path]}; {message}" if path in faults else message
    return faults


def _parse_retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After; a date, which Flowlet never sends, counts as nothing said."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _get_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _parse_instance(value: Any) -> Instance | None:
    try:
        return Instance.model_validate(value)
    except ValidationError:
        return None
