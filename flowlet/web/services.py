"""What the views of one application work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from quart import current_app

from flowlet.auth.login_limiter import LoginLimiter
from flowlet.auth.users import Users
from flowlet.definition.registry import Registry
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.executor import Executor
from flowlet.engine.waiters import Waiters
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.store.opening import Store
from flowlet.web.metrics import Metrics

__all__ = ["EXTENSION_NAME", "Services", "get_services"]

EXTENSION_NAME = "flowlet"
"""Under which name an application keeps its services, in ``app.extensions``."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a view may ask.

    Attributes:
        store: For reading. What changes a workflow goes through ``operations``.
        login_limiter: Counts who tries to log in.
        executor: The one of this process; None where it runs none.
        started: When the process began to serve, in microseconds since 1970 UTC.
        metrics: What the executor of this process measures into.
    """

    store: Store
    registry: Registry
    operations: Operations
    users: Users
    login_limiter: LoginLimiter
    waiters: Waiters
    event_broadcaster: EventBroadcaster
    executor: Executor | None
    settings: Settings
    started: int
    metrics: Metrics = field(default_factory=Metrics)


def get_services() -> Services:
    """Return the services of the application that answers the request at hand."""
    found: Services = current_app.extensions[EXTENSION_NAME]
    return found
