"""Lanes: the list of those that are paused, and the pause of a whole workflow or of an executor group."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.text import MAX_NAME_LENGTH, MAX_REASON_LENGTH
from flowlet.web.auth import get_principal, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("lanes", __name__)

_EXAMPLE: dict[str, Any] = {"kind": "workflow", "name": "OrderWorkflow"}


class LanePauseResponse(ApiModel):
    """The pause of a lane.

    Attributes:
        kind: Whether the lane is a whole workflow or an executor group.
        name: The name of the workflow or the group.
        paused: Since when no executor claims from it.
        paused_by: The user who has paused it.
        reason: Why it was paused, in the words of that user.
    """

    kind: LaneKind
    name: str
    paused: Timestamp
    paused_by: str
    reason: str

    @classmethod
    def of(cls, pause: LanePause) -> LanePauseResponse:
        """Return the response for a pause."""
        return cls(
            kind=pause.kind,
            name=pause.name,
            paused=pause.paused_at,
            paused_by=pause.paused_by,
            reason=pause.reason,
        )


class ResumeLaneRequest(RequestModel):
    """Which lane is resumed.

    Attributes:
        kind: Whether the lane is a whole workflow or an executor group.
        name: The name of the workflow or the group.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    kind: Literal["workflow", "group"]
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]


class PauseLaneRequest(ResumeLaneRequest):
    """Which lane is paused, and why.

    Attributes:
        reason: Why; it is shown where workflows wait.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "reason": "the bank moves"}]})

    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON_LENGTH)]


@blueprint.get("/api/lanes")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[LanePauseResponse]})
async def list_paused_lanes() -> Response:
    """Return the workflows and executor groups that are paused: the groups first, by name."""
    paused = await get_services().operations.lanes.list_paused()
    return build_json_response([LanePauseResponse.of(one) for one in paused])


@blueprint.post("/api/lanes/pause")
@require_role(Role.OPERATOR)
@describe_route(body=PauseLaneRequest, answers={200: LanePauseResponse}, problems=(404, 409))
async def pause_lane() -> Response:
    """Pause a workflow or an executor group: no executor claims from it until it is resumed. What runs goes on."""
    given = await read_body(PauseLaneRequest)
    pause = await get_services().operations.lanes.pause(
        given.kind, given.name, username=get_principal().username, reason=given.reason
    )
    return build_json_response(LanePauseResponse.of(pause))


@blueprint.post("/api/lanes/resume")
@require_role(Role.OPERATOR)
@describe_route(body=ResumeLaneRequest, answers={200: LanePauseResponse}, problems=(409,))
async def resume_lane() -> Response:
    """Resume a workflow or an executor group, and return what was its pause: what is due is claimed at once."""
    given = await read_body(ResumeLaneRequest)
    ended = await get_services().operations.lanes.resume(given.kind, given.name, username=get_principal().username)
    return build_json_response(LanePauseResponse.of(ended))
