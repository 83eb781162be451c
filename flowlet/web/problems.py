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
    StaleError,
    StoreUnavailableError,
    UserError,
    UserExistsError,
    VariablesError,
    WaitTimeoutError,
)
from flowlet.texts import cleaned

__all__ = [
    "KINDS",
    "Kind",
    "Problem",
    "ProblemError",
    "UnauthenticatedError",
    "answer",
    "faulty",
    "forbidden",
    "install",
    "problem_of",
    "too_many",
    "unsupported",
]

RETRY_SECONDS = 2
"""When to ask again while the database is away."""

_NAMES = {
    HTTPStatus.BAD_REQUEST: "unreadable",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_TIMEOUT: "body-timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
}
"""What becomes of the errors of the web framework; any other is about:blank, as the RFC says."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """What may be wrong.

    Attributes:
        status: With which status it is answered.
        when: When it is.
        members: What the answer always has beside the members of every problem.
        headers: What each header of it says.
    """

    status: int
    when: str
    members: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


_RETRY = {"Retry-After": "After how many seconds to ask again."}
KINDS: Mapping[str, Kind] = {
    "faulty": Kind(400, "Values cannot be used; `errors` lists each fault by its field.", ("errors",)),
    "unreadable": Kind(400, "The body is not JSON, or the address has a NUL."),
    "unauthenticated": Kind(
        401, "There is no key and no session, or none that is known.", headers={"WWW-Authenticate": "How to get in."}
    ),
    "forbidden": Kind(403, "The role does not suffice, or another site's page asks."),
    "not-found": Kind(404, "There is no such path, workflow, definition, user or key."),
    "method-not-allowed": Kind(405, "The path takes other methods.", headers={"Allow": "Which ones."}),
    "body-timeout": Kind(408, "The body did not come within a minute."),
    "refused": Kind(409, "It may not be done now; `permitted` lists what may."),
    "too-large": Kind(413, "The body is too long."),
    "unsupported-media-type": Kind(
        415, "The body is said to be something else than JSON.", headers={"Accept-Post": "What it may be."}
    ),
    "too-many-requests": Kind(429, "Somebody asks too often.", headers=_RETRY),
    "unexpected": Kind(500, "A fault of the server; the log tells more of it under `id`.", ("id",)),
    "unavailable": Kind(503, "The database is away, or its tables do not fit.", headers=_RETRY),
    "wait-timeout": Kind(
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
        more: Further members, such as ``errors`` or ``permitted``.
        headers: Such as ``Retry-After``.
    """

    status: int
    name: str | None
    detail: str
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def members(self) -> dict[str, Any]:
        """Return the JSON object that tells it."""
        return {
            "type": f"/problems/{self.name}" if self.name else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": cleaned(self.detail),
            **self.more,
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


def faulty(faults: Mapping[str, str], detail: str = "The request has faults; each is listed by its field.") -> Problem:
    """Return the problem of values that cannot be used: 400.

    Args:
        faults: What is wrong with each field, by its path as in ``stateVars.items.0.sku``; "" is the whole.
        detail: What they are the faults of.
    """
    errors = [{"field": path, "message": fault} for path, fault in faults.items()]
    return Problem(400, "faulty", detail, {"errors": errors})


def forbidden(detail: str) -> ProblemError:
    """Return the error of somebody who is known, and may not do that: 403."""
    return ProblemError(Problem(403, "forbidden", detail))


def unsupported(detail: str) -> ProblemError:
    """Return the error of a body of another kind than JSON: 415."""
    return ProblemError(Problem(415, "unsupported-media-type", detail, headers={"Accept-Post": "application/json"}))


def too_many(detail: str, *, seconds: int) -> ProblemError:
    """Return the error of somebody who asks too often: 429, to come back after so many seconds."""
    return ProblemError(Problem(429, "too-many-requests", detail, headers={"Retry-After": str(seconds)}))


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that an error is answered with, or None if it is a bug of ours."""
    match error:
        case ProblemError():
            return error.problem
        case VariablesError():
            return faulty(error.faults, f"There are faults in {error.subject}; each is listed by its field.")
        case SearchError():
            return faulty(error.faults)
        case RefusedError():
            return Problem(409, "refused", str(error), {"permitted": list(error.permitted)})
        case HTTPException():
            return _of_framework(error)
    for kinds, problem in _ANSWERS:
        if isinstance(error, kinds):
            return problem(error)
    return None


def answer(problem: Problem) -> Response:
    """Return a problem as the response that tells it."""
    body = orjson.dumps(problem.members())
    return Response(body, problem.status, dict(problem.headers), content_type="application/problem+json")


def install(app: Quart, tell: Callable[[Problem], Awaitable[Any]]) -> None:
    """Let an application answer every error as a problem.

    Args:
        app: The application.
        tell: What makes a problem the response to the request at hand: ``answer`` for a program, a page for a browser.
    """

    async def answer_error(error: Exception) -> Any:
        if isinstance(error, HTTPException) and (error.response is not None or (error.code or 500) < 400):
            return error  # such as a redirection
        if not has_request_context():
            return answer(Problem(404, "not-found", "There is no WebSocket here."))
        return await tell(problem_of(error) or _unexpected(error))

    app.register_error_handler(Exception, answer_error)


def _unexpected(error: Exception) -> Problem:
    id = uuid.uuid4().hex
    logger.error("a request broke off: %s %s, problem %s", request.method, request.path, id, exc_info=error)
    detail = f"This is a fault of the server. Its log tells more about the problem {id}."
    return Problem(500, "unexpected", detail, {"id": id})


def _unavailable(detail: str) -> Problem:
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(RETRY_SECONDS)})


_AWAY = "The database is away. Nothing that was answered is lost; ask again."
_UNFIT = "The database's tables are not those of this Flowlet. Its operator runs: flowlet db upgrade"
_ANSWERS: Sequence[tuple[tuple[type[Exception], ...], Callable[[Exception], Problem]]] = (
    ((NotFoundError,), lambda error: Problem(404, "not-found", str(error))),
    ((UserExistsError, OwnerError, LastAdminError, StaleError), lambda error: Problem(409, "refused", str(error))),
    ((UserError, DurationError), lambda error: faulty({"": str(error)})),
    ((WaitTimeoutError,), lambda error: Problem(504, "wait-timeout", str(error))),
    ((StoreUnavailableError,), lambda _: _unavailable(_AWAY)),
    ((SchemaError,), lambda _: _unavailable(_UNFIT)),
)
"""How errors are answered that carry nothing but their message; the first that fits."""


def _of_framework(error: HTTPException) -> Problem | None:
    status = error.code or 500
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    headers = {"Allow": ", ".join(sorted(_allowed(error)))} if isinstance(error, MethodNotAllowed) else {}
    return Problem(status, _NAMES.get(HTTPStatus(status)), _detail(error), headers=headers)


def _detail(error: HTTPException) -> str:
    if isinstance(error, MethodNotAllowed):
        return f"{request.path!r} does not take {request.method}, but {', '.join(sorted(_allowed(error)))}."
    match error.code:
        case HTTPStatus.NOT_FOUND:
            return f"There is nothing at {request.path!r}."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return f"The body has more than the {current_app.config['MAX_CONTENT_LENGTH']:,} bytes that it may have."
        case _:
            return error.description or HTTPStatus(error.code or 500).phrase


def _allowed(error: MethodNotAllowed) -> Sequence[str]:
    return sorted(error.valid_methods or ())
