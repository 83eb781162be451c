"""The response for one workflow that was asked for: the workflow itself, and what keeps it from running."""

from __future__ import annotations

from pydantic import ConfigDict

from flowlet.instance.instance import Instance
from flowlet.web.api.examples import EXAMPLE_WORKFLOW
from flowlet.web.api.limits.lanes import LanePauseResponse
from flowlet.web.api.responses import WorkflowResponse
from flowlet.web.services import get_services

__all__ = ["WorkflowDetailResponse", "read_workflow_detail"]


class WorkflowDetailResponse(WorkflowResponse):
    """A workflow, the pause of its lane, and what it waits for although it is due.

    Attributes:
        lane_pause: The pause of the whole workflow type, or of the executor group, as long as the workflow has not
            ended; null if neither is paused. While there is one, no executor claims the workflow.
        wait_reason: What keeps the workflow from running although it is due, in one sentence: that pause, or a limit;
            null if neither does.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE_WORKFLOW, "lanePause": None, "waitReason": None}]}
    )

    lane_pause: LanePauseResponse | None = None
    wait_reason: str | None = None


async def read_workflow_detail(instance: Instance) -> WorkflowDetailResponse:
    """Return the response for an instance, after a look at the lanes that are paused, and at the limit of its state."""
    operations = get_services().operations
    pause = await operations.lanes.find_pause(instance)
    reason = operations.lanes.explain_pause(instance, pause) or await operations.limits.explain_wait(instance)
    return WorkflowDetailResponse(
        **dict(WorkflowResponse.of(instance)),
        lane_pause=None if pause is None else LanePauseResponse.of(pause),
        wait_reason=reason,
    )
