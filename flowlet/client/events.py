"""Events, as the API streams them."""

from __future__ import annotations

from pydantic import Field

from flowlet.client.models import AnyActionKind, ResponseModel, UtcDatetime
from flowlet.instance.instance import Status

__all__ = ["Event", "EventGap"]


class Event(ResponseModel):
    """An action and its instance, sent when the action is committed.

    Attributes:
        id: The action's id, which ``after`` takes.
        workflow_id: The instance's id.
        type: The workflow's name.
        attempt: The number of the attempt within the visit, counted from 1.
        on_behalf_of: The person for whom the user's API key acted; None for the user.
        status: The instance's status when the server sent the event, which may be later than the action.
        state: The instance's state at the same moment.
    """

    id: int
    workflow_id: int
    type: str = Field(alias="workflowType")
    external_id: str
    key: str = Field(alias="businessKey")
    group: str = Field(alias="executorGroup")
    kind: AnyActionKind = Field(alias="type")
    from_state: str | None = None
    to_state: str | None = None
    text: str | None = None
    attempt: int | None = None
    duration_ms: int | None = None
    executor_id: str | None = None
    username: str | None = None
    on_behalf_of: str | None = None
    at: UtcDatetime = Field(alias="dateTime")
    status: Status
    state: str


class EventGap(ResponseModel):
    """Lines of history that were deleted before their events could come.

    Attributes:
        after: The event after which the stream was resumed.
        until: The last id of them: what came between the two is not complete.
    """

    after: int
    until: int
