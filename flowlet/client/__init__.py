"""The client of Flowlet's REST API: ``AsyncClient`` for asyncio, ``Client`` for all other programs."""

from flowlet.client.asynchronous.client import AsyncClient
from flowlet.client.asynchronous.events import AsyncEvents
from flowlet.client.audit import AuditEntry
from flowlet.client.bulk import BulkPreview, BulkResult, Refusal, RefusalCount
from flowlet.client.endpoints import Id, Variables, When
from flowlet.client.errors import (
    ApiError,
    BadRequestError,
    ClientError,
    ForbiddenError,
    NotFoundError,
    Problem,
    PrunedError,
    RefusedError,
    ServerError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedResponseError,
    UnreachableError,
    WaitTimeoutError,
)
from flowlet.client.events import Event, EventGap
from flowlet.client.filters import EventFilter, Filter
from flowlet.client.inbox import InboxEntry, InboxPage, InboxVote
from flowlet.client.limits import LimitUse
from flowlet.client.models import (
    Action,
    Answer,
    Child,
    ChildCounts,
    Created,
    Instance,
    LaneKind,
    LanePause,
    Message,
    PermittedOperations,
    SearchResult,
    Sent,
    WaitedInstance,
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
from flowlet.client.retention import Deletion, KeptWorkflow
from flowlet.client.schedules import Backfill, Schedule, ScheduleTime
from flowlet.client.synchronous.client import Client
from flowlet.client.synchronous.events import Events
from flowlet.client.teams import Team
from flowlet.client.views import View
from flowlet.instance.path_changes import PathChange

__all__ = [
    "Action",
    "Answer",
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "AsyncEvents",
    "AuditEntry",
    "Backfill",
    "BadRequestError",
    "BulkPreview",
    "BulkResult",
    "Child",
    "ChildCounts",
    "Client",
    "ClientError",
    "Created",
    "CurrentUser",
    "Definition",
    "DefinitionState",
    "DefinitionTransition",
    "Deletion",
    "Event",
    "EventFilter",
    "EventGap",
    "Events",
    "Executor",
    "Filter",
    "ForbiddenError",
    "Id",
    "InboxEntry",
    "InboxPage",
    "InboxVote",
    "Instance",
    "IssuedApiKey",
    "KeptWorkflow",
    "LaneKind",
    "LanePause",
    "LimitUse",
    "Message",
    "NotFoundError",
    "PathChange",
    "PermittedOperations",
    "Problem",
    "PrunedError",
    "Refusal",
    "RefusalCount",
    "RefusedError",
    "Schedule",
    "ScheduleTime",
    "SearchResult",
    "Sent",
    "ServerError",
    "Team",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedResponseError",
    "UnreachableError",
    "User",
    "Variables",
    "View",
    "WaitTimeoutError",
    "WaitedInstance",
    "When",
]
