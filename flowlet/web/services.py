"""The services of a web application, which its views use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from quart import current_app

from flowlet.auth.login_limiter import LoginLimiter
from flowlet.auth.users import Users
from flowlet.definition.registry import Registry
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.executor import Executor
from flowlet.engine.waiters import Waiters
from flowlet.operations.service import Operations
from flowlet.operations.stuck_runs import DurationCache
from flowlet.settings import Settings
from flowlet.store.opening import Store
from flowlet.web.bulk_runs import BulkRuns
from flowlet.web.metrics import Metrics
from flowlet.web.user_shares import UserShares

__all__ = ["EXTENSION_NAME", "Services", "get_services"]

EXTENSION_NAME = "flowlet"
"""The key of the services in ``app.extensions``."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a view may use.

    Attributes:
        store: For reading; changes of workflows go through ``operations``.
        login_limiter: Counts failed logins.
        executor: This process's executor; None if it runs none.
        started: When the process started to serve, in microseconds since 1970 UTC.
        metrics: The metrics of this process's executor.
        bulk_runs: The bulk operations of this process.
        user_shares: What each user has open in this process.
        duration_cache: How long attempts usually take, for the attempts that run now.
        stop_requested: Set when the process is to stop: it is not ready from then on.
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
    bulk_runs: BulkRuns = field(default_factory=BulkRuns)
    user_shares: UserShares = field(default_factory=UserShares)
    duration_cache: DurationCache = field(default_factory=DurationCache)
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)

    def end_open_requests(self) -> None:
        """End event streams, waits and bulk operations, because the server stops; refuse new ones."""
        self.stop_requested.set()
        self.event_broadcaster.close()
        self.waiters.end_waits()
        self.bulk_runs.stop()


def get_services() -> Services:
    """Return the services of the application that handles the current request."""
    found: Services = current_app.extensions[EXTENSION_NAME]
    return found
