"""The errors that the client raises, in one tree.

ClientError                       a FlowletError
├── UnreachableError              there was no response, or none in time (also a ConnectionError)
├── UnexpectedResponseError       the response is not one of this API, or of another version of it
└── ApiError                      the server responded with a problem
    ├── BadRequestError           400, 413, 415: the request has faults; lists them by field
    ├── UnauthenticatedError      401: no valid API key
    ├── ForbiddenError            403: the role is too low
    ├── NotFoundError             404: there is no such object (also flowlet.errors.NotFoundError)
    │   └── PrunedError           410: it has ended and was deleted
    ├── RefusedError              409: not permitted now; lists what is (also flowlet.errors.RefusedError)
    ├── TooManyRequestsError      429: rate limit exceeded
    ├── ServerError               500: a bug in the server; its log has the details under the problem's id
    ├── UnavailableError          503, and a proxy's 502 and 504: the database or the server is unavailable
    └── WaitTimeoutError          504: the wait timed out (also flowlet.errors.WaitTimeoutError)

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
    "PrunedError",
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
"""How much an error message quotes of a response that is not a problem document."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document of the server, in the members of RFC 9457.

    Attributes:
        type: The kind of problem, such as "/problems/refused"; "about:blank" if the status says it all. Branch on it.
        errors: The fault of each field, by its path such as ``stateVars.items.0.sku``.
        permitted: The states or operations that are permitted instead.
        retry_after_seconds: When to retry, in seconds from now; None if the server does not say.
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
        """The last segment of its type, such as "refused"; empty for about:blank."""
        return self.type.rpartition("/problems/")[2] if "/problems/" in self.type else ""


class ClientError(errors.FlowletError):
    """The base of all errors that the client raises deliberately."""


class UnreachableError(ClientError, ConnectionError):
    """There was no response, or none in time.

    ``was_sent`` is False if the server cannot have received the request. Otherwise the server may have carried out a
    request that changes something: check before you repeat it.
    """

    def __init__(self, message: str, *, was_sent: bool) -> None:
        self.was_sent = was_sent
        super().__init__(message)


class UnexpectedResponseError(ClientError):
    """The response is not one of this API, or of another version of it; the message describes it."""


class ApiError(ClientError):
    """The server responded with a problem; raised itself only if none of the classes below fits.

    Attributes:
        problem: The problem document.
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
    """The request has faults; ``errors`` maps each field's path to its fault. Nothing has been changed."""

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.errors = dict(problem.errors)


class UnauthenticatedError(ApiError):
    """There is no API key, or it is unknown, has expired, or was revoked."""


class ForbiddenError(ApiError):
    """The API key is valid, but its role is too low."""


class NotFoundError(ApiError, errors.NotFoundError):
    """There is no such instance, definition, user, or API key."""


class PrunedError(NotFoundError):
    """The instance has ended and was deleted; its external id is kept."""


class RefusedError(ApiError, errors.RefusedError):
    """The operation is not permitted now; ``permitted`` lists the states or operations that are."""

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.permitted = problem.permitted


class TooManyRequestsError(ApiError):
    """The rate limit is exceeded; ``retry_after_seconds`` is when to retry, in seconds from now, or None."""

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.retry_after_seconds = problem.retry_after_seconds


class ServerError(ApiError):
    """A bug in the server. Its log has the details under ``problem.more["id"]``."""


class UnavailableError(ApiError):
    """The database or the server is unavailable; ``retry_after_seconds`` is when to retry, in seconds, or None.

    The server may have carried out a request that changes something: check before you repeat it.
    """

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.retry_after_seconds = problem.retry_after_seconds


class WaitTimeoutError(ApiError, errors.WaitTimeoutError):
    """An instance did not reach any of the states in time. It keeps running.

    ``instance`` is the instance when the time was over, or None if the server could not read it; ``workflow_id`` is its
    id in any case.
    """

    def __init__(self, problem: Problem, *, request_line: str = "") -> None:
        super().__init__(problem, request_line=request_line)
        self.workflow_id: int | None = problem.more.get("workflowId")
        self.instance: Instance | None = _parse_instance(problem.more.get("workflow"))


_ERRORS_BY_NAME: Mapping[str, type[ApiError]] = {
    "faulty": BadRequestError,
    "unreadable": BadRequestError,
    "too-large": BadRequestError,
    "unsupported-media-type": BadRequestError,
    "unauthenticated": UnauthenticatedError,
    "forbidden": ForbiddenError,
    "not-found": NotFoundError,
    "pruned": PrunedError,
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
    410: PrunedError,
    413: BadRequestError,
    415: BadRequestError,
    429: TooManyRequestsError,
    500: ServerError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
"""The error of a response without a problem type: that of a proxy, or of another server."""


def build_error(status: int, headers: Mapping[str, str], content: bytes, *, request_line: str) -> ApiError:
    """Return the error of a response, whatever its body.

    Args:
        status: 400 or above.
        headers: The headers, by names of any case.
        content: The body.
        request_line: The request, such as "GET /api/me".
    """
    problem = _parse_problem(status, headers, content)
    kind = _ERRORS_BY_NAME.get(problem.name) or _ERRORS_BY_STATUS.get(status, ApiError)
    return kind(problem, request_line=request_line)


def build_not_found_error(detail: str) -> NotFoundError:
    """Return the server's error for a missing object, for a search that found nothing."""
    return NotFoundError(Problem("/problems/not-found", 404, HTTPStatus.NOT_FOUND.phrase, detail))


def _parse_problem(status: int, headers: Mapping[str, str], content: bytes) -> Problem:
    members = _parse_members(headers.get("content-type", ""), content)
    known = {"type", "title", "status", "detail", "errors", "permitted"}
    shown = content[:MAX_SHOWN_BYTES].decode(errors="replace")
    return Problem(
        type=str(members.get("type") or "about:blank"),
        status=status,
        title=str(members.get("title") or _get_phrase(status)),
        detail=str(members.get("detail") or f"{status} {_get_phrase(status)}, without a problem document: {shown!r}"),
        errors=_parse_faults(members.get("errors")),
        permitted=tuple(map(str, _get_list(members.get("permitted")))),
        retry_after_seconds=_parse_retry_after(headers.get("retry-after", "")),
        more={name: value for name, value in members.items() if name not in known},
    )


def _parse_members(content_type: str, content: bytes) -> Mapping[str, Any]:
    if content_type.partition(";")[0].strip().lower() != "application/problem+json":
        return {}
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


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
    """Return the seconds of a Retry-After header; None for a date, which Flowlet never sends."""
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
