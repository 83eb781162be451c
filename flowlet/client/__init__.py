"""The client of Flowlet's REST API, for programs that run on asyncio and for all others."""

from flowlet.client.asynchronous.client import AsyncClient
from flowlet.client.asynchronous.events import AsyncEvents
from flowlet.client.endpoints import Id, Variables, When
from flowlet.client.errors import (
    UnexpectedResponseError,
    ApiError,
    ClientError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    Problem,
    RefusedError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
    ServerError,
    UnreachableError,
    WaitTimeoutError,
)
from flowlet.client.filters import EventFilter, Filter
from flowlet.client.models import (
    Action,
    Answer,
    BulkResult,
    BulkPreview,
    Child,
    CreateResult,
    Event,
    SearchResult,
    PermittedOperations,
    Refusal,
    Instance,
)
from flowlet.client.places import Definition, DefinitionState, DefinitionTransition, Executor, ApiKey, IssuedApiKey, CurrentUser, User
from flowlet.client.synchronous.client import Client
from flowlet.client.synchronous.events import Events

__all__ = [
    "Action",
    "Answer",
    "UnexpectedResponseError",
    "ApiError",
    "AsyncClient",
    "AsyncEvents",
    "BulkResult",
    "BulkPreview",
    "Child",
    "Client",
    "ClientError",
    "CreateResult",
    "Definition",
    "DefinitionState",
    "DefinitionTransition",
    "Event",
    "EventFilter",
    "Events",
    "Executor",
    "BadRequestError",
    "Filter",
    "ForbiddenError",
    "Id",
    "ApiKey",
    "IssuedApiKey",
    "CurrentUser",
    "NotFoundError",
    "SearchResult",
    "PermittedOperations",
    "Problem",
    "Refusal",
    "RefusedError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "ServerError",
    "UnreachableError",
    "User",
    "Variables",
    "WaitTimeoutError",
    "When",
    "Instance",
]
