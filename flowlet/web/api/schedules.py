"""Schedules: when workflows are created by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from quart import Blueprint, Response
from quart.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from flowlet.accounts.roles import Role
from flowlet.clock import to_datetime
from flowlet.operations.schedule_times import ScheduledTime
from flowlet.operations.schedules import ScheduleOperations
from flowlet.web.api.requests import OperationRequest, PauseRequest, VersionQuery
from flowlet.web.api.schedule_models import (
    BackfillRequest,
    BackfillResponse,
    CreateScheduleRequest,
    EditScheduleRequest,
    FiredWorkflowResponse,
    ScheduleQuery,
    ScheduleResponse,
    ScheduleTimeResponse,
    ScheduleTimesQuery,
)
from flowlet.web.api.translation import rename_faults
from flowlet.web.auth import get_principal, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_optional_body, read_query
from flowlet.web.services import get_services
from flowlet.workflow.schedule import RESERVED_NAME

__all__ = ["blueprint"]

blueprint = Blueprint("schedules", __name__)


class ScheduleNameConverter(BaseConverter):
    """A schedule's name as the last segment of a path, but not the name of another endpoint.

    ``GET /api/schedules/preview`` is 405. No schedule can have this name.
    """

    regex = rf"(?!{RESERVED_NAME}$)[^/]+"


@blueprint.record_once
def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["schedule"] = ScheduleNameConverter


@blueprint.get("/api/schedules")
@require_role(Role.VIEWER)
@describe_route(query=ScheduleQuery, answers={200: list[ScheduleResponse]})
async def list_schedules() -> Response:
    """Return schedules by name."""
    query = read_query(ScheduleQuery)
    found = await _get_schedules().list_all(type=query.workflow_type, after=query.after or "", limit=query.limit)
    return build_json_response([ScheduleResponse.of(record) for record in found])


@blueprint.post("/api/schedules")
@require_role(Role.OPERATOR)
@describe_route(body=CreateScheduleRequest, answers={201: ScheduleResponse}, problems=(409,), is_located=True)
async def create_schedule() -> Response:
    """Create a schedule of a workflow. A name that exists is refused."""
    new = await read_body(CreateScheduleRequest)
    with rename_faults(workflow="workflowType"):
        made = await _get_schedules().create(new.workflow_type, new.build_schedule(), username=get_principal().username)
    location = f"/api/schedules/{quote(made.name, safe='')}"
    return build_json_response(ScheduleResponse.of(made), status=201, headers={"Location": location})


@blueprint.post("/api/schedules/preview")
@require_role(Role.VIEWER)
@describe_route(body=CreateScheduleRequest, answers={200: list[ScheduleTimeResponse]})
async def preview_schedule() -> Response:
    """Return the next ten times that a schedule would have. All of it is checked, and nothing is stored."""
    new = await read_body(CreateScheduleRequest)
    with rename_faults(workflow="workflowType"):
        return _build_times_response(_get_schedules().preview(new.workflow_type, new.build_schedule()))


@blueprint.get("/api/schedules/<schedule:name>")
@require_role(Role.VIEWER)
@describe_route(answers={200: ScheduleResponse})
async def show_schedule(name: str) -> Response:
    """Return a schedule."""
    return build_json_response(ScheduleResponse.of(await _get_schedules().get(name)))


@blueprint.put("/api/schedules/<schedule:name>")
@require_role(Role.OPERATOR)
@describe_route(body=EditScheduleRequest, answers={200: ScheduleResponse}, problems=(409,))
async def edit_schedule(name: str) -> Response:
    """Edit a schedule: what is left out gets its default. One that a workflow's module declares is refused."""
    edit = await read_body(EditScheduleRequest)
    with rename_faults():
        changed = await _get_schedules().update(
            name,
            edit.build_schedule(name),
            username=get_principal().username,
            expected_version=edit.expected_version,
        )
    return build_json_response(ScheduleResponse.of(changed))


@blueprint.delete("/api/schedules/<schedule:name>")
@require_role(Role.OPERATOR)
@describe_route(query=VersionQuery, answers={204: None}, problems=(409,))
async def delete_schedule(name: str) -> Response:
    """Delete a schedule; its workflows stay. One that a workflow's module declares is refused."""
    version = read_query(VersionQuery).expected_version
    await _get_schedules().delete(name, username=get_principal().username, expected_version=version)
    return Response(status=204)


@blueprint.get("/api/schedules/<name>/times")
@require_role(Role.VIEWER)
@describe_route(query=ScheduleTimesQuery, answers={200: list[ScheduleTimeResponse]})
async def list_schedule_times(name: str) -> Response:
    """Return the next times of a schedule, as if it were not paused."""
    record = await _get_schedules().get(name)
    return _build_times_response(_get_schedules().list_next_times(record, count=read_query(ScheduleTimesQuery).count))


@blueprint.post("/api/schedules/<name>/pause")
@require_role(Role.OPERATOR)
@describe_route(body=PauseRequest, is_optional=True, answers={200: ScheduleResponse}, problems=(409,))
async def pause_schedule(name: str) -> Response:
    """Pause a schedule until it is resumed, also over deploys."""
    given = await read_optional_body(PauseRequest)
    changed = await _get_schedules().pause(
        name, username=get_principal().username, reason=given.reason, expected_version=given.expected_version
    )
    return build_json_response(ScheduleResponse.of(changed))


@blueprint.post("/api/schedules/<name>/resume")
@require_role(Role.OPERATOR)
@describe_route(body=OperationRequest, is_optional=True, answers={200: ScheduleResponse}, problems=(409,))
async def resume_schedule(name: str) -> Response:
    """Resume a paused schedule. Of the times of the pause, those are fired that ``catchUp`` says."""
    version = (await read_optional_body(OperationRequest)).expected_version
    changed = await _get_schedules().resume(name, username=get_principal().username, expected_version=version)
    return build_json_response(ScheduleResponse.of(changed))


@blueprint.post("/api/schedules/<name>/fire")
@require_role(Role.OPERATOR)
@describe_route(body=OperationRequest, is_optional=True, answers={201: FiredWorkflowResponse}, problems=(409,))
async def fire_schedule(name: str) -> Response:
    """Create a workflow of a schedule now, also if it is paused; its next time stays.

    While its last workflow has not ended this is refused, unless ``overlap`` is "allow".
    """
    version = (await read_optional_body(OperationRequest)).expected_version
    with rename_faults():
        created = await _get_schedules().fire_now(name, username=get_principal().username, expected_version=version)
    return build_json_response(FiredWorkflowResponse.of(created), status=201)


@blueprint.post("/api/schedules/<name>/backfill")
@require_role(Role.OPERATOR)
@describe_route(body=BackfillRequest, answers={200: BackfillResponse}, problems=(409,))
async def backfill_schedule(name: str) -> Response:
    """Create the workflows of past times, at most 1,000; those that exist stay as they are.

    All of them are created at once, whatever ``overlap`` says. The request can be repeated after an error.
    """
    given = await read_body(BackfillRequest)
    with rename_faults():
        result = await _get_schedules().backfill(
            name,
            to_datetime(given.first),
            to_datetime(given.last),
            username=get_principal().username,
            expected_version=given.expected_version,
        )
    workflows = tuple(FiredWorkflowResponse.of(created) for created in result.instances)
    return build_json_response(BackfillResponse(created_count=result.created_count, workflows=workflows))


def _get_schedules() -> ScheduleOperations:
    return get_services().operations.schedules


def _build_times_response(times: Iterable[ScheduledTime]) -> Response:
    return build_json_response([ScheduleTimeResponse(time=one.time, fire=one.fire, local=one.text) for one in times])
