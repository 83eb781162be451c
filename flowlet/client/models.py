"""Instances and their actions, as the API returns them."""

from __future__ import annotations

from datetime import UTC
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.path_changes import PathChange

__all__ = [
    "Action",
    "Answer",
    "AnyActionKind",
    "Child",
    "ChildCounts",
    "Created",
    "Instance",
    "LaneKind",
    "LanePause",
    "Message",
    "PermittedOperations",
    "ResponseModel",
    "SearchResult",
    "Sent",
    "UtcDatetime",
    "WaitedInstance",
]

UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""An aware datetime in UTC."""
AnyActionKind = Annotated[ActionKind | str, Field(union_mode="left_to_right")]
"""The kind of an action; a plain text if a newer server sends a kind that this client does not know."""


class ResponseModel(BaseModel):
    """A frozen model that is read from the API's JSON. Fields that a newer server adds are ignored.

    Fields have the names of ``flowlet``'s own types; an alias gives the API's name where that is another one.
    """

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class Child(ResponseModel):
    """The summary of an instance, as in the list of a parent's children.

    Attributes:
        key: The business key.
        type: The workflow's name.
        reason: The latest error, or what the instance waits for.
    """

    id: int
    external_id: str
    key: str = Field(alias="businessKey")
    type: str = Field(alias="workflowType")
    status: Status
    state: str
    reason: str | None
    created: UtcDatetime
    modified: UtcDatetime
    ended: UtcDatetime | None

    @property
    def has_ended(self) -> bool:
        """Whether it is FINISHED, FAILED or CANCELLED."""
        return self.status in ENDED_STATUSES

    @property
    def succeeded(self) -> bool:
        """Whether it is FINISHED: ended in an end state."""
        return self.status == Status.FINISHED


class ChildCounts(ResponseModel):
    """How many children an instance has.

    Attributes:
        total: How many it has spawned, with those that are still to be made.
        unmade: How many of a large spawn are still to be made; they have no status yet.
        by_status: How many of the others have each status; None if there are more than 5,000.
    """

    total: int
    unmade: int
    by_status: dict[Status, int] | None


class Answer(ResponseModel):
    """The answer that an instance got in its manual state."""

    choice: str
    form: dict[str, Any] = Field(default_factory=dict)
    username: str | None = None


class LaneKind(StrEnum):
    """What a lane is: all instances of one workflow, or of one executor group."""

    WORKFLOW = "workflow"
    GROUP = "group"


class LanePause(ResponseModel):
    """The pause of a lane.

    Attributes:
        kind: Whether the lane is a whole workflow or an executor group.
        name: The name of the workflow or the group.
        paused: Since when no executor claims from it.
        paused_by: The user who has paused it.
        reason: Why.
    """

    kind: LaneKind
    name: str
    paused: UtcDatetime
    paused_by: str
    reason: str


class Instance(Child):
    """One run of a workflow, as it was when the server responded.

    Attributes:
        visit: How many states it has entered after the first; the API's ``executionCount`` minus 1.
        attempt: How many attempts of the current visit have failed.
        next_activation: When it runs again; for WAITING, the deadline of the answer or message; None for never.
        group: The executor group.
        vars: The variables.
        children: How many children it has created.
        open_children: How many of its children have not ended.
        pause_requested: Whether it becomes PAUSED when the running activation ends.
        held_status: For PAUSED, the status that resuming restores.
        answer: The answer while it is in a manual state that has been answered; else None.
        fingerprint: Equal for failures of one kind; None unless it is FAILED or its last attempt failed.
        version: Raised by each transition and each operation; ``expected_version`` is compared with it.
        awaits: The names of the messages that it waits for in a receive state; else empty.
        unread: How many messages that were sent to it have not been consumed.
        summary: It in one line, by its workflow's ``summary``; None if that has none.
        lane_pause: The pause of its workflow, or of its group, as long as it has not ended; None if neither is paused,
            and in lists and the results of operations.
        wait_reason: What keeps it from running although it is due, in one sentence: that pause, or a limit; None if
            neither does, and in lists and the results of operations.
    """

    visit: Annotated[int, AfterValidator(lambda count: count - 1)] = Field(alias="executionCount")
    attempt: int = Field(alias="retryCount")
    next_activation: UtcDatetime | None
    started: UtcDatetime | None
    executor_id: str | None
    group: str = Field(alias="executorGroup")
    definition_version: int
    priority: int
    vars: dict[str, Any] = Field(alias="stateVars")
    parent_id: int | None
    children: int
    open_children: int
    waits_for_children: bool
    pause_requested: bool
    held_status: Status | None
    answer: Answer | None
    fingerprint: str | None = None
    created_by: str | None
    version: int
    awaits: list[str] = Field(default_factory=list)
    unread: int = 0
    summary: str | None = None
    lane_pause: LanePause | None = None
    wait_reason: str | None = None


class WaitedInstance(Instance):
    """An instance that was waited for.

    Attributes:
        reached: Whether it has reached one of the states that were waited for, even if it has left it since; False if
            it has ended without. Without states it is True, because then the wait is for the end.
    """

    reached: bool


class Sent(ResponseModel):
    """The result of a send.

    Attributes:
        id: The id of the message.
        key: Its key: the given one, or a generated one.
        workflow_id: The id of the instance to which it was sent.
        is_new: Whether this call sent it; False if the instance already had a message of this name with this key. If
            you passed the key and the client had to retry, False may also mean that an earlier attempt sent it.
    """

    id: int
    key: str
    workflow_id: int
    is_new: bool = True


class Message(ResponseModel):
    """A message that an instance has not consumed.

    Attributes:
        body: The body.
        sender: The user who sent it; None for code.
        expires: When it is deleted if it is still unread; None for never.
    """

    id: int
    workflow_id: int
    name: str
    key: str
    body: dict[str, Any]
    sender: str | None
    sent: UtcDatetime
    expires: UtcDatetime | None


class Created(ResponseModel):
    """The result of a create.

    Attributes:
        is_new: Whether this call created the instance; False if the external id existed. If you passed the external id
            and the client had to retry, False may also mean that an earlier attempt created the instance.
        is_pruned: Whether the external id is that of an instance that has ended and was deleted: nothing was created.
    """

    id: int
    external_id: str
    is_new: bool = True
    is_pruned: bool = Field(False, alias="pruned")


class SearchResult(ResponseModel):
    """A page of a search.

    Attributes:
        total: How many instances match in all, counted up to 10,000.
        total_is_at_least: Whether more instances match than ``total``.
        next_cursor: The ``cursor`` of the next page; None on the last page.
    """

    instances: tuple[Instance, ...] = Field(alias="workflows")
    offset: int
    total: int
    total_is_at_least: bool
    next_cursor: str | None


class PermittedOperations(ResponseModel):
    """The operations that an instance permits now, and the states to which it may be moved without force."""

    operations: tuple[str, ...]
    states: tuple[str, ...]


class Action(ResponseModel):
    """A line of an instance's history.

    Attributes:
        at: When it was written.
        version: The version of the definition; None where that does not matter.
        name: The state that the action is about: the one that was entered, else the one that the instance was in.
        execution_count: The number of the visit that the action belongs to, counted from 1.
        retry_count: How many attempts of that visit had failed before.
        detail: A traceback.
        changes: The changes of variables by path, in order; of the first action, each variable that was given. None if
            none changed.
        on_behalf_of: The person for whom the user's API key acted; None for the user.
        answer: The choice and the form's values of an answer, without the username; None for every other action.
    """

    id: int
    workflow_id: int
    executor_id: str | None
    execution_count: int
    retry_count: int
    kind: AnyActionKind = Field(alias="type")
    name: str | None
    text: str | None
    at: UtcDatetime = Field(alias="dateTime")
    from_state: str | None
    to_state: str | None
    username: str | None
    on_behalf_of: str | None = None
    duration_ms: int | None
    detail: str | None
    changes: list[PathChange] | None
    answer: Answer | None = None
    version: int | None = Field(alias="definitionVersion")
