"""What load balancers and monitors ask: is the process alive, is it of use, and how does it do.

``/healthz`` and ``/readyz`` are open and say nothing that is worth hiding. ``/metrics`` names workflows and tells how
much of each there is: it takes a viewer's key.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from quart import Blueprint, Response

from flowlet.errors import SchemaError, StoreUnavailableError
from flowlet.roles import Role
from flowlet.store import migrations
from flowlet.web.answers import json_answer
from flowlet.web.guards import needs, public
from flowlet.web.openapi import described
from flowlet.web.schemas import ApiModel
from flowlet.web.services import Services, services

__all__ = ["blueprint"]

PATIENCE_SECONDS = 5.0
"""How long the database may take for its answer."""

blueprint = Blueprint("health", __name__)


class AliveAnswer(ApiModel):
    """That the process answers.

    Attributes:
        status: Always the same.
    """

    status: Literal["alive"]


class ReadyAnswer(ApiModel):
    """Whether the process is of use.

    Attributes:
        status: Whether all checks are "ok".
        checks: What was looked at, and what was found.
    """

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


@blueprint.get("/healthz")
@public
@described(answers={200: AliveAnswer})
async def alive() -> Response:
    """Say that the process answers; whether it is of use is another question."""
    return json_answer({"status": "alive"})


@blueprint.get("/readyz")
@public
@described(answers={200: ReadyAnswer, 503: ReadyAnswer})
async def ready() -> Response:
    """Say 200 if the database answers, its tables fit, and this process's executor has claimed lately; else 503."""
    here = services()
    checks = {"database": await _database(here)}
    if here.executor is not None:
        checks["executor"] = "ok" if here.executor.claims else "has not claimed lately"
    is_ready = all(found == "ok" for found in checks.values())
    status = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return json_answer(status, status=200 if is_ready else 503, headers=None if is_ready else {"Retry-After": "2"})


@blueprint.get("/metrics")
@needs(Role.VIEWER)
@described(answers={200: "text/plain"})
async def metrics() -> Response:
    """Return the metrics of this process and of its database, for Prometheus."""
    text = await services().metrics.text(services())
    return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


async def _database(here: Services) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await migrations.check(here.store.connections)
    except (StoreUnavailableError, TimeoutError):
        return "away"
    except SchemaError:
        return "its tables do not fit"
    return "ok"
