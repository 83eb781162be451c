"""What the endpoints of workflows take."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from flowlet.web.field_types import (
    NOT_BLANK_PATTERN,
    Cursor,
    ExpectedVersion,
    Offset,
    OptionalDuration,
    OptionalId,
    OptionalName,
    OptionalText,
    PageLimit,
    Priority,
    SearchedStatuses,
    SearchedSubstring,
    SearchedVariables,
    SearchText,
    StateName,
)
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.schemas import RequestModel, Timestamp

__all__ = [
    "CancelRequest",
    "CreateWorkflowRequest",
    "OperationRequest",
    "PauseRequest",
    "SearchRequest",
    "StateRequest",
    "StateVarsRequest",
    "WorkflowFilter",
]

_NONEMPTY_TEXT_SCHEMA: Any = {"type": "string", "minLength": 1}
_EMPTY_TEXT_SCHEMA: Any = {"type": ["string", "null"], "maxLength": 0}


class CreateWorkflowRequest(RequestModel):
    """A new instance. An empty text counts as left out.

    Attributes:
        workflow_type: The workflow's name.
        external_id: Unique over all instances; a random one if left out.
        business_key: Need not be unique; the external id if left out.
        executor_group: The workflow's if left out.
        priority: The workflow's if left out; 0 to 9, and 9 goes first.
        state_vars: The variables to begin with, as the workflow's model takes them.
        next_activation: When it runs first; at once if left out or past.
        next_activation_offset: The same as a length of time from now, such as "10 minutes".
    """

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {"nextActivation": {"type": "string"}, "nextActivationOffset": _NONEMPTY_TEXT_SCHEMA},
                "required": ["nextActivation", "nextActivationOffset"],
            }
        }
    )

    workflow_type: str
    external_id: OptionalName = None
    business_key: OptionalName = None
    executor_group: OptionalName = None
    priority: Priority = None
    state_vars: dict[str, Any] | None = None
    next_activation: Timestamp | None = None
    next_activation_offset: OptionalDuration = None


class WorkflowFilter(RequestModel):
    """Which instances: id, externalId, businessKey and prefix are joined by OR, everything else by AND.

    Times are from the first one inclusive to the second one exclusive. What is left out, null, empty or 0 sets no
    condition.

    Attributes:
        id: The instance's id.
        external_id: The whole of it.
        business_key: The whole of it.
        prefix: What the externalId or the businessKey begins with; capital and small letters differ.
        workflow_type: The workflow's name.
        state: In which state it stands.
        status: One status or several.
        executor_group: Which executors run it.
        parent_id: Whose child it is.
        created_from: Created then or later.
        created_to: Created before.
        modified_from: Last changed then or later.
        modified_to: Last changed before.
        next_activation_from: Runs next then or later.
        next_activation_to: Runs next before.
        is_retrying: Whether an attempt has failed and another one is to come.
        fingerprint: Whose last attempt failed so, as an instance that is FAILED or tries again shows it.
        reason_contains: A part of the reason, in capital or small letters.
        state_vars: Which values variables have to have; a text finds also the number, true, false or null it spells.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"workflowType": "OrderWorkflow", "status": ["FAILED", "PAUSED"]}]}
    )

    id: OptionalId = None
    external_id: SearchText = None
    business_key: SearchText = None
    prefix: SearchText = None
    workflow_type: SearchText = None
    state: SearchText = None
    status: SearchedStatuses = ()
    executor_group: SearchText = None
    parent_id: OptionalId = None
    created_from: Timestamp | None = None
    created_to: Timestamp | None = None
    modified_from: Timestamp | None = None
    modified_to: Timestamp | None = None
    next_activation_from: Timestamp | None = None
    next_activation_to: Timestamp | None = None
    is_retrying: bool | None = None
    fingerprint: SearchText = None
    reason_contains: SearchedSubstring = None
    state_vars: SearchedVariables = None


class SearchRequest(WorkflowFilter):
    """A page of the instances that fit.

    Attributes:
        order_by: What they are sorted by; what has no next activation comes last either way.
        descending: Whether the largest, or the latest, comes first.
        limit: How many at most; 50 if left out or 0.
        offset: How many to leave out first; a cursor goes further, and costs the same on every page.
        cursor: What the page before gave as nextCursor; the filters and the order have to be the same.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {"cursor": _NONEMPTY_TEXT_SCHEMA, "offset": {"type": "integer", "minimum": 1}},
                "required": ["cursor", "offset"],
            },
            "examples": [
                {"workflowType": "OrderWorkflow", "status": ["FAILED"], "stateVars": {"sku": "A-1001"}, "limit": 20},
                {"createdFrom": "2026-11-01T00:00:00Z", "orderBy": "created", "descending": False},
            ],
        }
    )

    order_by: Literal["id", "created", "modified", "nextActivation", "next_activation"] = "id"
    descending: bool = True
    limit: PageLimit = None
    offset: Offset = None
    cursor: Cursor = None


class StateRequest(RequestModel):
    """Where an instance is to go.

    Attributes:
        state: The state's name. Where a person is asked, it is the choice.
        next_activation: When the state is run; at once if left out or past.
        force: Whether it may leave the graph, or take the instance from its activation or its end. Admins only.
        reason: Why; needed with force.
        form: The values of a manual state's form: the state is then the answer's choice.
        expected_version: The version that the client has read; 409 if the instance has another one.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"force": {"const": True}}, "required": ["force"]},
            "then": {
                "properties": {"reason": {"type": "string", "pattern": NOT_BLANK_PATTERN}, "form": {"type": "null"}},
                "required": ["reason"],
            },
            "examples": [
                {"state": "charge", "form": {"comment": "Within the limit."}},
                {"state": "delivered", "force": True, "reason": "The carrier has confirmed by telephone."},
            ],
        }
    )

    state: StateName
    next_activation: Timestamp | None = None
    force: bool = False
    reason: OptionalText = None
    form: dict[str, Any] | None = None
    expected_version: ExpectedVersion = None


class StateVarsRequest(RequestModel):
    """Variables to set: one by ``key`` and ``value``, or several by ``values`` and ``unset``.

    Attributes:
        key: The variable's name.
        value: Its new value; an empty text if left out.
        values: New values by name; what is not named stays.
        unset: Names of variables to remove; a model's default takes the place of its field.
        expected_version: The version that the client has read; 409 if the instance has another one.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {
                    "properties": {
                        "key": {"type": "string", "pattern": NOT_BLANK_PATTERN},
                        "values": {"type": ["object", "null"], "maxProperties": 0},
                        "unset": {"maxItems": 0},
                    },
                    "required": ["key"],
                },
                {
                    "properties": {"key": _EMPTY_TEXT_SCHEMA, "values": {"type": "object", "minProperties": 1}},
                    "required": ["values"],
                },
                {"properties": {"key": _EMPTY_TEXT_SCHEMA, "unset": {"minItems": 1}}, "required": ["unset"]},
            ],
            "examples": [
                {"key": "address", "value": "12 Quay Street"},
                {"values": {"amount": 2, "paid": True}, "unset": ["voucher"], "expectedVersion": 7},
            ],
        }
    )

    key: OptionalText = None
    value: Any = ""
    values: dict[str, Any] | None = None
    unset: list[str] = Field(default_factory=list, max_length=1_000)
    expected_version: ExpectedVersion = None

    @property
    def is_empty(self) -> bool:
        """Whether it names no variable."""
        return not ((self.key or "").strip() or self.values or self.unset)

    @property
    def new_values(self) -> dict[str, Any]:
        """The new values by name.

        Raises:
            ProblemError: 400 if it names no variable, or names them in both ways.
        """
        if self.is_empty:
            raise ProblemError(build_faults_problem({"key": "is missing: name a variable, or send values or unset"}))
        if self.key is None:
            return self.values or {}
        if self.values or self.unset:
            raise ProblemError(build_faults_problem({"key": "cannot be combined with values or unset"}))
        return {self.key.strip(): self.value}


class OperationRequest(RequestModel):
    """An operation that needs no more than the version it applies to. The body may be left out.

    Attributes:
        expected_version: The version that the client has read; 409 if there is another one now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"expectedVersion": 7}]})

    expected_version: ExpectedVersion = None


class VersionQuery(RequestModel):
    """The version that a deletion applies to.

    Attributes:
        expected_version: The version that the client has read; 409 if there is another one now.
    """

    expected_version: ExpectedVersion = None


class PauseRequest(OperationRequest):
    """Why an instance is paused.

    Attributes:
        reason: Recorded in the history.
        expected_version: The version that the client has read; 409 if the instance has another one.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The warehouse is being counted."}]})

    reason: OptionalText = None


class CancelRequest(PauseRequest):
    """Why an instance is ended, and whether all that descends from it ends too.

    Attributes:
        with_children: Whether its open children end too, and theirs.
        reason: Recorded in the history.
        expected_version: The version that the client has read; 409 if the instance has another one.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "The customer has withdrawn.", "withChildren": True}]}
    )

    with_children: bool = False
