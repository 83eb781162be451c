"""Workflows, their history and their events as the API tells them."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from flowlet.instance.instance import ENDED_STATUSES, ActionKind, Status

__all__ = [
    "Action",
    "Answer",
    "AnyActionKind",
    "BulkPreview",
    "BulkResult",
    "Child",
    "CreateResult",
    "Event",
    "Instance",
    "PermittedOperations",
    "Refusal",
    "ResponseModel",
    "SearchResult",
    "UtcDatetime",
]

UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""An aware datetime in UTC."""
AnyActionKind = Annotated[ActionKind | str, Field(union_mode="left_to_right")]
"""What a line of history tells; a plain text where a newer server tells what this client does not know."""


class ResponseModel(BaseModel):
    """What the API gives: frozen, fields in snake_case. A field that a newer server adds is passed over."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Child(ResponseModel):
    """A workflow in short, as in the list of a parent's children."""

    id: int
    external_id: str
    business_key: str
    workflow_type: str
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
        """Whether it ended in an end state."""
        return self.status == Status.FINISHED


class Answer(ResponseModel):
    """What somebody answered in a manual state."""

    choice: str
    form: dict[str, Any] = Field(default_factory=dict)
    username: str | None = None


class Instance(Child):
    """One run of a workflow as it was when the server answered.

    Attributes:
        execution_count: How many states it has entered, the start state included.
        retry_count: How many attempts of this visit of its state have failed.
        next_activation: When it runs again; for WAITING, the deadline of the answer; None for never.
        open_children: How many of its ``children`` have not ended.
        pause_requested: Whether it is PAUSED as soon as the activation in flight has ended.
        held_status: For PAUSED, the status that resuming gives back.
        answer: None unless it stands in a manual state that has been answered.
        reason: Why it is where it is: the latest error, or what it waits for.
        fingerprint: Equal for failures of one kind; None unless it is FAILED or its last attempt failed.
        version: Raised by each transition and each operation; what ``expected_version`` is compared with.
    """

    execution_count: int
    retry_count: int
    next_activation: UtcDatetime | None
    started: UtcDatetime | None
    executor_id: str | None
    executor_group: str
    definition_version: int
    priority: int
    state_vars: dict[str, Any]
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


class CreateResult(ResponseModel):
    """What a create gives.

    Attributes:
        is_new: Whether this call made it; False where the external id was known. A create that had to be sent again
            cannot tell the two apart, unless the client made the external id up.
    """

    id: int
    external_id: str
    is_new: bool = True


class SearchResult(ResponseModel):
    """A page of a search.

    Attributes:
        total: How many fit on all pages together, counted up to 10,000.
        total_is_at_least: Whether there are more than that.
        next_cursor: What gives the next page; None on the last one.
    """

    workflows: tuple[Instance, ...]
    offset: int
    total: int
    total_is_at_least: bool
    next_cursor: str | None


class PermittedOperations(ResponseModel):
    """What may be done with a workflow now, and where it may be moved without force."""

    operations: tuple[str, ...]
    states: tuple[str, ...]


class Action(ResponseModel):
    """A line of a workflow's history.

    Attributes:
        name: The state that it is about: the one that was entered, else the one that it was in.
        execution_count: Which state's visit it belongs to, counted from 1.
        retry_count: How many attempts of that visit had failed before.
        detail: A traceback.
        changes: Which variables it changed, as ``{"set": {name: value}, "unset": [name]}``.
    """

    id: int
    workflow_id: int
    executor_id: str | None
    execution_count: int
    retry_count: int
    type: AnyActionKind
    name: str | None
    text: str | None
    date_time: UtcDatetime
    from_state: str | None
    to_state: str | None
    username: str | None
    duration_ms: int | None
    detail: str | None
    changes: dict[str, Any] | None
    definition_version: int | None


class Event(ResponseModel):
    """A line of some workflow's history, told as it is committed.

    Attributes:
        id: The line's; what ``after`` takes.
        attempt: Which attempt of this visit of the state, counted from 1.
        status: The workflow's when the event was sent, and no longer that of the line's own moment.
        state: The same of its state.
    """

    id: int
    workflow_id: int
    workflow_type: str
    external_id: str
    business_key: str
    executor_group: str
    type: AnyActionKind
    from_state: str | None = None
    to_state: str | None = None
    text: str | None = None
    attempt: int | None = None
    duration_ms: int | None = None
    executor_id: str | None = None
    username: str | None = None
    date_time: UtcDatetime
    status: Status
    state: str


class Refusal(ResponseModel):
    """Why nothing was done with one workflow, as the problem that it alone would have been answered with."""

    id: int
    problem: dict[str, Any]


class BulkPreview(ResponseModel):
    """How many workflows fit, counted up to 10,000, and the ids of the first ones."""

    matched: int
    matched_is_at_least: bool
    ids: tuple[int, ...]


class BulkResult(ResponseModel):
    """What has been done.

    Attributes:
        matched: How many workflows it has come to.
        refused: The first 100 of those that refused.
        refused_total: How many refused in all.
        limit_reached: Whether there may be more that fit.
    """

    matched: int
    done: int
    refused: tuple[Refusal, ...]
    refused_total: int
    limit_reached: bool
