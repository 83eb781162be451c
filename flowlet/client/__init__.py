"""The client of Flowlet's REST API: ``AsyncClient`` for asyncio, ``Client`` for all other programs."""

from flowlet.client.asynchronous.client import AsyncClient
from flowlet.client.asynchronous.events import AsyncEvents
from flowlet.client.endpoints import Id, Variables, When
from flowlet.client.errors import (
    ApiError,
    BadRequestError,
    ClientError,
    ForbiddenError,
    NotFoundError,
    Problem,
    RefusedError,
    ServerError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedResponseError,
    UnreachableError,
    WaitTimeoutError,
)
from flowlet.client.filters import EventFilter, Filter
from flowlet.client.models import (
    Action,
    Answer,
    BulkPreview,
    BulkResult,
    Child,
    Created,
    Event,
    Instance,
    PermittedOperations,
    Refusal,
    SearchResult,
)
from flowlet.client.resources import (
    ApiKey,
    CurrentUser,
    Definition,
    DefinitionState,
    DefinitionTransition,
    Executor,
    IssuedApiKey,
    User,
)
from flowlet.client.synchronous.client import Client
from flowlet.client.synchronous.events import Events
from flowlet.instance.path_changes import PathChange

__all__ = [
    "Action",
    "Answer",
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "AsyncEvents",
    "BadRequestError",
    "BulkPreview",
    "BulkResult",
    "Child",
    "Client",
    "ClientError",
    "Created",
    "CurrentUser",
    "Definition",
    "DefinitionState",
    "DefinitionTransition",
    "Event",
    "EventFilter",
    "Events",
    "Executor",
    "Filter",
    "ForbiddenError",
    "Id",
    "Instance",
    "IssuedApiKey",
    "NotFoundError",
    "PathChange",
    "PermittedOperations",
    "Problem",
    "Refusal",
    "RefusedError",
    "SearchResult",
    "ServerError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedResponseError",
    "UnreachableError",
    "User",
    "Variables",
    "WaitTimeoutError",
    "When",
]
