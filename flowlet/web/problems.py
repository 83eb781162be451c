"""Errors as answers: the one place that turns what is raised into a status and ``application/problem+json`` (RFC 9457).

Each ``type`` is a relative URI that stays the same over releases: programs may branch on it, and on nothing in
``title`` or ``detail``. ``KINDS`` are all that there are; the how-to page on the API lists them too.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from quart import Quart, Response, current_app, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from flowlet.errors import (
    DurationError,
    FlowletError,
    LastAdminError,
    NotFoundError,
    OwnerError,
    RefusedError,
    SchemaError,
    SearchError,
    StoreUnavailableError,
    UserError,
    UserExistsError,
    VariablesError,
    WaitTimeoutError,
)
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
"""What becomes of the errors of the web framework; any other is about:blank, as the RFC says."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What may be wrong.

    Attributes:
        status: With which status it is answered.
        description: When it is.
        members: What the answer always has beside the members of every problem.
        headers: What each header of it says.
    """

    status: int
    description: str
    members: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


_RETRY_AFTER_HEADER = {"Retry-After": "After how many seconds to ask again."}
PROBLEM_TYPES: Mapping[str, ProblemType] = {
    "faulty": ProblemType(400, "Values cannot be used; `errors` lists each fault by its field.", ("errors",)),
    "unreadable": ProblemType(400, "The body is not JSON, or the address has a NUL."),
    "unauthenticated": ProblemType(
        401, "There is no key and no session, or none that is known.", headers={"WWW-Authenticate": "How to get in."}
    ),
    "forbidden": ProblemType(403, "The role does not suffice, or another site's page asks."),
    "not-found": ProblemType(404, "There is no such path, workflow, definition, user or key."),
    "method-not-allowed": ProblemType(405, "The path takes other methods.", headers={"Allow": "Which ones."}),
    "body-timeout": ProblemType(408, "The body did not come within a minute."),
    "refused": ProblemType(409, "It may not be done now; `permitted` lists what may."),
    "too-large": ProblemType(413, "The body is too long."),
    "unsupported-media-type": ProblemType(
        415, "The body is said to be something else than JSON.", headers={"Accept-Post": "What it may be."}
    ),
    "too-many-requests": ProblemType(429, "Somebody asks too often.", headers=_RETRY_AFTER_HEADER),
    "unexpected": ProblemType(500, "A fault of the server; the log tells more of it under `id`.", ("id",)),
    "unavailable": ProblemType(503, "The database is away, or its tables do not fit.", headers=_RETRY_AFTER_HEADER),
    "wait-timeout": ProblemType(
        504, "What was waited for did not come in time; `workflow` is how it stands.", ("workflowId",)
    ),
}
"""Every kind of problem by its name, which is the end of its ``type``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is answered.

    Attributes:
        name: The end of its ``type``, as in "refused"; None for about:blank.
        detail: What a stranger can act on.
        extensions: Further members, such as ``errors`` or ``permitted``.
        headers: Such as ``Retry-After``.
    """

    status: int
    name: str | None
    detail: str
    extensions: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json_object(self) -> dict[str, Any]:
        """Return the JSON object that tells it."""
        return {
            "type": f"/problems/{self.name}" if self.name else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": clean_text(self.detail),
            **self.extensions,
        }


class ProblemError(FlowletError):
    """Raised by a view, or on its way there: the problem is the answer."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


class UnauthenticatedError(ProblemError):
    """Nobody knows who asks. A page may catch it, and ask for a login instead."""

    def __init__(self, detail: str) -> None:
        headers = {"WWW-Authenticate": 'Bearer realm="flowlet"'}
        super().__init__(Problem(401, "unauthenticated", detail, headers=headers))


def build_faults_problem(
    faults: Mapping[str, str], detail: str = "The request has faults; each is listed by its field."
) -> Problem:
    """Return the problem of values that cannot be used: 400.

    Args:
        faults: What is wrong with each field, by its path as in ``stateVars.items.0.sku``; "" is the whole.
        detail: What they are the faults of.
    """
    errors = [{"field": path, "message": fault} for path, fault in faults.items()]
    return Problem(400, "faulty", detail, {"errors": errors})


def build_forbidden_error(detail: str) -> ProblemError:
    """Return the error of somebody who is known, and may not do that: 403."""
    return ProblemError(Problem(403, "forbidden", detail))


def build_unsupported_media_type_error(detail: str) -> ProblemError:
    """Return the error of a body of another kind than JSON: 415."""
    return ProblemError(Problem(415, "unsupported-media-type", detail, headers={"Accept-Post": "application/json"}))


def build_rate_limit_error(detail: str, *, retry_after_seconds: int) -> ProblemError:
    """Return the error of somebody who asks too often: 429, to come back after so many seconds."""
    return ProblemError(Problem(429, "too-many-requests", detail, headers={"Retry-After": str(retry_after_seconds)}))


def build_problem(error: Exception) -> Problem | None:
    """Return the problem that an error is answered with, or None if it is a bug of ours."""
    match error:
        case ProblemError():
            return error.problem
        case VariablesError():
            return build_faults_problem(
                error.faults, f"There are faults in {error.subject}; each is listed by its field."
            )
        case SearchError():
            return build_faults_problem(error.faults)
        case RefusedError():
            return Problem(409, "refused", str(error), {"permitted": list(error.permitted)})
        case HTTPException():
            return _convert_http_exception(error)
    for kinds, problem in _PROBLEM_BUILDERS:
        if isinstance(error, kinds):
            return problem(error)
    return None


def build_problem_response(problem: Problem) -> Response:
    """Return a problem as the response that tells it."""
    body = orjson.dumps(problem.to_json_object())
    return Response(body, problem.status, dict(problem.headers), content_type="application/problem+json")


def install_error_handler(app: Quart, render_problem: Callable[[Problem], Awaitable[Any]]) -> None:
    """Let an application answer every error as a problem.

    Args:
        app: The application.
        render_problem: What makes a problem the response to the request at hand: ``answer`` for a program, a page for a browser.
    """

    async def render_error(error: Exception) -> Any:
        if isinstance(error, HTTPException) and (error.response is not None or (error.code or 500) < 400):
            return error  # such as a redirection
        if not has_request_context():
            return build_problem_response(Problem(404, "not-found", "There is no WebSocket here."))
        return await render_problem(build_problem(error) or _report_unexpected_error(error))

    app.register_error_handler(Exception, render_error)


def _report_unexpected_error(error: Exception) -> Problem:
    id = uuid.uuid4().hex
    logger.error("a request broke off: %s %s, problem %s", request.method, request.path, id, exc_info=error)
    detail = f"This is a fault of the server. Its log tells more about the problem {id}."
    return Problem(500, "unexpected", detail, {"id": id})


def _build_unavailable_problem(detail: str) -> Problem:
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


_DATABASE_UNAVAILABLE = "The database is away. Nothing that was answered is lost; ask again."
_SCHEMA_MISMATCH = "The database's tables are not those of this Flowlet. Its operator runs: flowlet db upgrade"
_PROBLEM_BUILDERS: Sequence[tuple[tuple[type[Exception], ...], Callable[[Exception], Problem]]] = (
    ((NotFoundError,), lambda error: Problem(404, "not-found", str(error))),
    ((UserExistsError, OwnerError, LastAdminError), lambda error: Problem(409, "refused", str(error))),
    ((UserError, DurationError), lambda error: build_faults_problem({"": str(error)})),
    ((WaitTimeoutError,), lambda error: Problem(504, "wait-timeout", str(error))),
    ((StoreUnavailableError,), lambda _: _build_unavailable_problem(_DATABASE_UNAVAILABLE)),
    ((SchemaError,), lambda _: _build_unavailable_problem(_SCHEMA_MISMATCH)),
)
"""How errors are answered that carry nothing but their message; the first that fits."""


def _convert_http_exception(error: HTTPException) -> Problem | None:
    status = error.code or 500
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    headers = {"Allow": ", ".join(sorted(_list_allowed_methods(error)))} if isinstance(error, MethodNotAllowed) else {}
    return Problem(status, _NAMES_BY_STATUS.get(HTTPStatus(status)), _describe_http_exception(error), headers=headers)


def _describe_http_exception(error: HTTPException) -> str:
    if isinstance(error, MethodNotAllowed):
        return (
            f"{request.path!r} does not take {request.method}, but {', '.join(sorted(_list_allowed_methods(error)))}."
        )
    match error.code:
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {request.path!r}."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return f"The body has more than the {current_app.config['MAX_CONTENT_LENGTH']:,} bytes that it may have."
        case _:
            return error.description or HTTPStatus(error.code or 500).phrase


def _list_allowed_methods(error: MethodNotAllowed) -> Sequence[str]:
    return sorted(error.valid_methods or ())
