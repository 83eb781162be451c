"""Error responses: the one place that turns errors into a status and ``application/problem+json`` (RFC 9457).

Each ``type`` is a relative URI that stays the same in all releases: programs may branch on it, but not on ``title`` or
``detail``. ``PROBLEM_TYPES`` has all of them; the how-to page on the API lists them too.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from quart import Quart, Response, current_app, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from flowlet.errors import (
    DurationError,
    FlowletError,
    LastAdminError,
    NotFoundError,
    OverloadedError,
    OwnerError,
    PrunedInstanceError,
    RefusedError,
    SchemaError,
    SearchError,
    StoreUnavailableError,
    TimetableError,
    TooLargeError,
    UserError,
    UserExistsError,
    VariablesError,
    WaitStoppedError,
    WaitTimeoutError,
)
from flowlet.instance.json_text import write_json
from flowlet.text import clean_text

__all__ = [
    "PROBLEM_TYPES",
    "Problem",
    "ProblemError",
    "ProblemType",
    "UnauthenticatedError",
    "build_faults_problem",
    "build_forbidden_error",
    "build_problem",
    "build_problem_response",
    "build_rate_limit_error",
    "build_stopping_problem",
    "build_unsupported_media_type_error",
    "install_error_handler",
]

RETRY_AFTER_SECONDS = 2
"""When to ask again while the database is away."""

_NAMES_BY_STATUS = {
    HTTPStatus.BAD_REQUEST: "unreadable",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_TIMEOUT: "body-timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
}
"""The problem types of the web framework's errors; any other is about:blank, as the RFC says."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem.

    Attributes:
        status: Its HTTP status.
        description: When the server responds with it.
        members: The members that it always has in addition to those of every problem.
        headers: The meaning of each of its headers.
    """

    status: int
    description: str
    members: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


_RETRY_AFTER_HEADER = {"Retry-After": "When to retry, in seconds from now."}
PROBLEM_TYPES: Mapping[str, ProblemType] = {
    "faulty": ProblemType(400, "The request has faults; `errors` lists each with its field.", ("errors",)),
    "unreadable": ProblemType(400, "The body is not JSON, or the address has a NUL character."),
    "unauthenticated": ProblemType(
        401,
        "There is no valid API key or session.",
        headers={"WWW-Authenticate": "The authentication scheme."},
    ),
    "forbidden": ProblemType(403, "The role is too low, or a page of another site sent the request."),
    "not-found": ProblemType(404, "There is no such path, workflow, definition, user or API key."),
    "method-not-allowed": ProblemType(
        405, "The path does not support the method.", headers={"Allow": "The supported methods."}
    ),
    "body-timeout": ProblemType(408, "The body did not arrive within a minute."),
    "pruned": ProblemType(410, "The workflow has ended and was deleted; its external id is kept."),
    "refused": ProblemType(409, "The operation is not permitted now; `permitted` lists what is."),
    "too-large": ProblemType(413, "The body is too long, or the database does not accept a value of its size."),
    "unsupported-media-type": ProblemType(
        415, "The Content-Type is not JSON.", headers={"Accept-Post": "The supported content type."}
    ),
    "misdirected": ProblemType(421, "The server may not be reached by the request's Host; see FLOWLET_HOSTS."),
    "too-many-requests": ProblemType(429, "Rate limit exceeded.", headers=_RETRY_AFTER_HEADER),
    "unexpected": ProblemType(500, "A bug in the server; its log has the details under `id`.", ("id",)),
    "unavailable": ProblemType(
        503,
        "The database is unavailable or did not respond in time, or its tables do not fit; or the server stops.",
        headers=_RETRY_AFTER_HEADER,
    ),
    "wait-timeout": ProblemType(504, "The wait timed out; `workflow` is the workflow at that moment.", ("workflowId",)),
}
"""Every kind of problem by its name, the last segment of its ``type``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The problem document of an error response.

    Attributes:
        name: The last segment of its ``type``, such as "refused"; None for about:blank.
        detail: What happened and what to do, in words.
        extensions: Further members, such as ``errors`` or ``permitted``.
        headers: Further headers, such as ``Retry-After``.
    """

    status: int
    name: str | None
    detail: str
    extensions: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json_object(self) -> dict[str, Any]:
        """Return the problem as a JSON object."""
        return {
            "type": f"/problems/{self.name}" if self.name else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": clean_text(self.detail),
            **self.extensions,
        }


class ProblemError(FlowletError):
    """An error with its problem, raised by a view or by a check before it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


class UnauthenticatedError(ProblemError):
    """The request is not authenticated. Pages redirect to the login instead."""

    def __init__(self, detail: str) -> None:
        headers = {"WWW-Authenticate": 'Bearer realm="flowlet"'}
        super().__init__(Problem(401, "unauthenticated", detail, headers=headers))


def build_faults_problem(
    faults: Mapping[str, str], detail: str = "The request has faults; each is listed with its field."
) -> Problem:
    """Return the problem of a request with faults: 400.

    Args:
        faults: The fault of each field, by its path such as ``stateVars.items.0.sku``; "" is the whole body.
        detail: The detail of the problem.
    """
    errors = [{"field": path, "message": fault} for path, fault in faults.items()]
    return Problem(400, "faulty", detail, {"errors": errors})


def build_forbidden_error(detail: str) -> ProblemError:
    """Return the error of an authenticated user who lacks the permission: 403."""
    return ProblemError(Problem(403, "forbidden", detail))


def build_unsupported_media_type_error(detail: str) -> ProblemError:
    """Return the error of a body that is not JSON: 415."""
    return ProblemError(Problem(415, "unsupported-media-type", detail, headers={"Accept-Post": "application/json"}))


def build_rate_limit_error(detail: str, *, retry_after_seconds: int) -> ProblemError:
    """Return the error of an exceeded rate limit: 429, with ``Retry-After``."""
    return ProblemError(Problem(429, "too-many-requests", detail, headers={"Retry-After": str(retry_after_seconds)}))


def build_stopping_problem(detail: str, **more: Any) -> Problem:
    """Return the problem of a request that the stop of the server ends: 503.

    Args:
        detail: What has happened, and what to do.
        more: Further members of the problem.
    """
    return Problem(503, "unavailable", detail, more, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def build_problem(error: Exception) -> Problem | None:
    """Return the problem of an error; None if the error is a bug."""
    match error:
        case ProblemError():
            return error.problem
        case VariablesError():
            return build_faults_problem(
                error.faults, f"There are faults in {error.subject}; each is listed with its field."
            )
        case WaitStoppedError():
            more = {} if error.instance_id is None else {"workflowId": error.instance_id}
            return build_stopping_problem(_SERVER_STOPS, **more)
        case SearchError():
            return build_faults_problem(error.faults)
        case TimetableError():
            return build_faults_problem({error.field: error.fault})
        case RefusedError():
            return Problem(409, "refused", str(error), {"permitted": list(error.permitted)})
        case HTTPException():
            return _convert_http_exception(error)
    for kinds, problem in _PROBLEM_BUILDERS:
        if isinstance(error, kinds):
            return problem(error)
    return None


def build_problem_response(problem: Problem) -> Response:
    """Return the response of a problem."""
    body = write_json(problem.to_json_object())
    return Response(body, problem.status, dict(problem.headers), content_type="application/problem+json")


def install_error_handler(app: Quart, render_problem: Callable[[Problem], Awaitable[Any]]) -> None:
    """Make an application respond to every error with a problem.

    Args:
        app: The application.
        render_problem: Renders a problem as the response to the current request: JSON for a program, a page for a
            browser.
    """

    async def render_error(error: Exception) -> Any:
        if isinstance(error, HTTPException) and (error.response is not None or (error.code or 500) < 400):
            return error  # such as a redirect
        if not has_request_context():
            return build_problem_response(Problem(404, "not-found", "This server has no WebSockets."))
        return await render_problem(build_problem(error) or _report_unexpected_error(error))

    app.register_error_handler(Exception, render_error)


def _report_unexpected_error(error: Exception) -> Problem:
    id = uuid.uuid4().hex
    logger.error("a request failed: %s %s, problem %s", request.method, request.path, id, exc_info=error)
    detail = f"This is a bug in the server. Its log has the details under the id {id}."
    return Problem(500, "unexpected", detail, {"id": id})


def _build_unavailable_problem(detail: str) -> Problem:
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _describe_unavailability() -> str:
    is_read = not has_request_context() or request.method in ("GET", "HEAD", "OPTIONS")
    return _DATABASE_UNAVAILABLE if is_read else _CHANGE_UNKNOWN


_DATABASE_UNAVAILABLE = "The database is unavailable. Everything that was confirmed is stored; try again."
_CHANGE_UNKNOWN = (
    "The database is unavailable, or did not respond in time. Everything that was confirmed is stored. This change may "
    "have been made too: look before you repeat it. A create with an external ID can be repeated safely."
)
_SERVER_STOPS = (
    "The server stops, and waits no longer. Everything that was confirmed is stored: repeat the request at another "
    "process or later, or wait for the workflow by its id."
)
_SCHEMA_MISMATCH = "The database's tables are not those of this version of Flowlet. Run: flowlet db upgrade"
_PROBLEM_BUILDERS: Sequence[tuple[tuple[type[Exception], ...], Callable[[Exception], Problem]]] = (
    ((PrunedInstanceError,), lambda error: Problem(410, "pruned", str(error))),
    ((NotFoundError,), lambda error: Problem(404, "not-found", str(error))),
    ((UserExistsError, OwnerError, LastAdminError), lambda error: Problem(409, "refused", str(error))),
    ((UserError, DurationError), lambda error: build_faults_problem({"": str(error)})),
    ((WaitTimeoutError,), lambda error: Problem(504, "wait-timeout", str(error))),
    ((TooLargeError,), lambda error: Problem(413, "too-large", f"{error}. Nothing was changed.")),
    ((OverloadedError,), lambda error: _build_unavailable_problem(f"{error}. Nothing was changed; try again.")),
    ((StoreUnavailableError,), lambda _: _build_unavailable_problem(_describe_unavailability())),
    ((SchemaError,), lambda _: _build_unavailable_problem(_SCHEMA_MISMATCH)),
)
"""The problems of errors that carry only a message; the first match applies."""


def _convert_http_exception(error: HTTPException) -> Problem | None:
    status = error.code or 500
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    headers = {"Allow": ", ".join(sorted(_list_allowed_methods(error)))} if isinstance(error, MethodNotAllowed) else {}
    return Problem(status, _NAMES_BY_STATUS.get(HTTPStatus(status)), _describe_http_exception(error), headers=headers)


def _describe_http_exception(error: HTTPException) -> str:
    if isinstance(error, MethodNotAllowed):
        return f"{request.path!r} does not support {request.method}, only {', '.join(_list_allowed_methods(error))}."
    match error.code:
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {request.path!r}."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH']:,} bytes."
        case _:
            return error.description or HTTPStatus(error.code or 500).phrase


def _list_allowed_methods(error: MethodNotAllowed) -> Sequence[str]:
    return sorted(error.valid_methods or ())
