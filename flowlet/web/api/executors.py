"""The executors: the processes that run workflows, and their last heartbeats."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.store.executors import ExecutorRecord
from flowlet.web.auth import require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["ExecutorResponse", "blueprint"]

blueprint = Blueprint("executors", __name__)


class ExecutorQuery(RequestModel):
    """The bound of the list.

    Attributes:
        limit: The largest number of executors.
    """

    limit: int = Field(100, ge=1, le=1000)


class ExecutorResponse(ApiModel):
    """An executor.

    Attributes:
        id: A new one at each start.
        name: The name that its operator gave it.
        host: The machine that it runs on.
        pid: Its process id.
        status: STOPPED if it shut down in order, LOST if its lease ran out.
        executor_groups: The executor groups that it serves.
        workflow_types: The definitions that it has loaded.
        workflow_versions: The version of each of them.
        slots: How many activations it runs at once.
        started: When it started.
        last_active: When it last extended its lease.
        lease_until: When its lease ends unless it extends it.
    """

    id: str
    name: str
    host: str
    pid: int
    status: Literal["RUNNING", "DRAINING", "STOPPED", "LOST"]
    executor_groups: tuple[str, ...]
    workflow_types: tuple[str, ...]
    workflow_versions: dict[str, int]
    slots: int
    started: Timestamp
    last_active: Timestamp
    lease_until: Timestamp


@blueprint.get("/api/executors")
@require_role(Role.VIEWER)
@describe_route(query=ExecutorQuery, answers={200: list[ExecutorResponse]})
async def list_executors() -> Response:
    """Return the executors, the live ones first, then by their last heartbeat."""
    found = await get_services().store.executors.list_all(limit=read_query(ExecutorQuery).limit)
    return build_json_response([_build_executor_response(record) for record in found])


def _build_executor_response(record: ExecutorRecord) -> ExecutorResponse:
    return ExecutorResponse.model_validate(
        {
            "id": record.id,
            "name": record.name,
            "host": record.host,
            "pid": record.pid,
            "status": record.status,
            "executor_groups": record.groups,
            "workflow_types": record.types,
            "workflow_versions": record.versions,
            "slots": record.slots,
            "started": record.started,
            "last_active": record.beat,
            "lease_until": record.lease_until,
        }
    )
