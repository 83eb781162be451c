"""Endpoints for load balancers and monitors: liveness, readiness, and metrics.

``/healthz`` and ``/readyz`` are open and reveal nothing confidential. ``/metrics`` reveals the names and the numbers of
workflows, and requires the role viewer.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.errors import SchemaError, StoreUnavailableError
from flowlet.store.migrations.upgrade import check_schema
from flowlet.web.auth import allow_anonymous, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.schemas import ApiModel
from flowlet.web.services import Services, get_services

__all__ = ["blueprint"]

DATABASE_TIMEOUT_SECONDS = 5.0
"""How long the readiness check waits for the database."""

blueprint = Blueprint("health", __name__)


class LivenessResponse(ApiModel):
    """The process responds.

    Attributes:
        status: Always "alive".
    """

    status: Literal["alive"]


class ReadinessResponse(ApiModel):
    """Whether the process is ready to serve.

    Attributes:
        status: "ready" if all checks are "ok".
        checks: The result of each check, by name.
    """

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


@blueprint.get("/healthz")
@allow_anonymous
@describe_route(answers={200: LivenessResponse})
async def show_liveness() -> Response:
    """Return 200 while the process responds, whether or not it is ready."""
    return build_json_response({"status": "alive"})


@blueprint.get("/readyz")
@allow_anonymous
@describe_route(answers={200: ReadinessResponse, 503: ReadinessResponse})
async def show_readiness() -> Response:
    """Return 200 if the database responds, its tables fit, and this process's executor claims and commits; else 503.

    A process that is to stop answers 503 while it still serves, so that load balancers send it no more.
    """
    here = get_services()
    checks = {"database": await _check_database(here)}
    if here.executor is not None:
        checks["executor"] = "ok" if here.executor.is_claiming else "has not claimed recently"
        checks["commits"] = "ok" if here.executor.is_committing else "a transition has waited for over a minute"
        threads = here.executor.threads
        is_stuck = threads is not None and threads.overdue_count >= threads.max_threads
        checks["threads"] = "all are taken by handlers whose attempts have ended" if is_stuck else "ok"
    if here.stop_requested.is_set():
        checks["process"] = "is to stop"
    is_ready = all(found == "ok" for found in checks.values())
    status = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return build_json_response(
        status, status=200 if is_ready else 503, headers=None if is_ready else {"Retry-After": "2"}
    )


@blueprint.get("/metrics")
@require_role(Role.VIEWER)
@describe_route(answers={200: "text/plain"})
async def show_metrics() -> Response:
    """Return the metrics of this process and of its database, for Prometheus."""
    text = await get_services().metrics.render_metrics(get_services())
    return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


async def _check_database(app_services: Services) -> str:
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS):
            await check_schema(app_services.store.connections)
    except (StoreUnavailableError, TimeoutError):
        return "unavailable"
    except SchemaError:
        return "its tables do not fit"
    return "ok"
