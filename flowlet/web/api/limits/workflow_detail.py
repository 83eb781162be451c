"""The response for one workflow that was asked for: the workflow itself, and what keeps its whole lane from running."""

from __future__ import annotations

from pydantic import ConfigDict

from flowlet.instance.instance import Instance
from flowlet.store.limits.table import LanePause
from flowlet.web.api.examples import EXAMPLE_WORKFLOW
from flowlet.web.api.limits.lanes import LanePauseResponse
from flowlet.web.api.responses import WorkflowResponse
from flowlet.web.services import get_services

__all__ = ["WorkflowDetailResponse", "read_workflow_detail"]


class WorkflowDetailResponse(WorkflowResponse):
    """A workflow, and the pause of its lane.

    Attributes:
        lane_pause: The pause of the whole workflow type, or of the executor group, as long as the workflow has not
            ended; null if neither is paused. While there is one, no executor claims the workflow.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE_WORKFLOW, "lanePause": None}]})

    lane_pause: LanePauseResponse | None = None

    @classmethod
    def of_paused(cls, instance: Instance, pause: LanePause | None) -> WorkflowDetailResponse:
        """Return the response for an instance and the pause of its lane."""
        found = None if pause is None else LanePauseResponse.of(pause)
        return cls(**dict(WorkflowResponse.of(instance)), lane_pause=found)


async def read_workflow_detail(instance: Instance) -> WorkflowDetailResponse:
    """Return the response for an instance, after a look at the lanes that are paused."""
    return WorkflowDetailResponse.of_paused(instance, await get_services().operations.lanes.find_pause(instance))
