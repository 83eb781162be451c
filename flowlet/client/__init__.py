"""The client of Flowlet's REST API, for programs that run on asyncio and for all others."""

from flowlet.client.asynchronous.client import AsyncClient
from flowlet.client.asynchronous.events import AsyncEvents
from flowlet.client.endpoints import Id, Variables, When
from flowlet.client.errors import (
    AnswerError,
    ApiError,
    ClientError,
    FaultyError,
    ForbiddenError,
    NotFoundError,
    Problem,
    RefusedError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedError,
    UnreachableError,
    WaitTimeoutError,
)
from flowlet.client.filters import EventFilter, Filter
from flowlet.client.models import (
    Action,
    Answer,
    BulkOutcome,
    BulkPreview,
    Child,
    Created,
    Event,
    Page,
    Permitted,
    Refusal,
    Workflow,
)
from flowlet.client.places import Definition, DefinitionState, DefinitionTransition, Executor, Key, MadeKey, Me, User
from flowlet.client.synchronous.client import Client
from flowlet.client.synchronous.events import Events

__all__ = [
    "Action",
    "Answer",
    "AnswerError",
    "ApiError",
    "AsyncClient",
    "AsyncEvents",
    "BulkOutcome",
    "BulkPreview",
    "Child",
    "Client",
    "ClientError",
    "Created",
    "Definition",
    "DefinitionState",
    "DefinitionTransition",
    "Event",
    "EventFilter",
    "Events",
    "Executor",
    "FaultyError",
    "Filter",
    "ForbiddenError",
    "Id",
    "Key",
    "MadeKey",
    "Me",
    "NotFoundError",
    "Page",
    "Permitted",
    "Problem",
    "Refusal",
    "RefusedError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedError",
    "UnreachableError",
    "User",
    "Variables",
    "WaitTimeoutError",
    "When",
    "Workflow",
]
