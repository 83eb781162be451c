"""The request bodies of the workflow endpoints."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from flowlet.definition.outside_values import SpelledVariables
from flowlet.web.field_types import (
    NOT_BLANK_PATTERN,
    Cursor,
    ExpectedVersion,
    ExternalIdName,
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
_EMPTY_OBJECT_SCHEMA: Any = {"type": ["object", "null"], "maxProperties": 0}
_EMPTY_TEXT_SCHEMA: Any = {"type": ["string", "null"], "maxLength": 0}


def _build_several_schema(name: str, *, other: str) -> Any:
    """Return the schema of an edit of several variables under one of two names."""
    given = {"key": _EMPTY_TEXT_SCHEMA, other: _EMPTY_OBJECT_SCHEMA, name: {"type": "object", "minProperties": 1}}
    return {"properties": given, "required": [name]}


class CreateWorkflowRequest(RequestModel):
    """A workflow to create. An empty text counts as left out.

    Attributes:
        workflow_type: The name of its definition.
        external_id: Unique over all workflows; generated if left out.
        business_key: A key to find it by, which need not be unique; the external id if left out.
        executor_group: The definition's if left out.
        priority: 0 to 9, and 9 runs first; the definition's if left out.
        vars: The initial variables, which have to fit the definition's model.
        state_vars: The same for clients that can only send texts: a text may also spell the JSON value of a field that
            is no text, such as "7" or "true".
        next_activation: When it runs first; at once if left out or past.
        next_activation_offset: The same as a duration from now, such as "10 minutes".
    """

    max_bytes: ClassVar[int | None] = None
    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {"nextActivation": {"type": "string"}, "nextActivationOffset": _NONEMPTY_TEXT_SCHEMA},
                "required": ["nextActivation", "nextActivationOffset"],
            }
        }
    )

    workflow_type: str
    external_id: ExternalIdName = None
    business_key: OptionalName = None
    executor_group: OptionalName = None
    priority: Priority = None
    vars: dict[str, Any] | None = None
    state_vars: dict[str, Any] | None = None
    next_activation: Timestamp | None = None
    next_activation_offset: OptionalDuration = None


class WorkflowFilter(RequestModel):
    """Which workflows: id, externalId, businessKey and prefix are joined by OR, everything else by AND.

    A field that is left out, null, empty or 0 sets no condition.

    Attributes:
        id: The workflow's id.
        external_id: The whole external id.
        business_key: The whole business key.
        prefix: The beginning of the external id or the business key; case-sensitive.
        workflow_type: The name of its definition.
        state: The current state, by its present name or a former one.
        status: One status or several.
        executor_group: The executor group.
        parent_id: The id of its parent.
        created_from: Created at this time or later.
        created_to: Created before this time.
        modified_from: Last changed at this time or later.
        modified_to: Last changed before this time.
        next_activation_from: Runs next at this time or later.
        next_activation_to: Runs next before this time.
        is_retrying: Whether an attempt has failed and another one follows.
        waits_for_version: Whether it waits for another version of its definition, because a live one could not run it.
        fingerprint: The fingerprint of the last failure; a workflow has one while it is FAILED or retries.
        reason_contains: A part of the reason, regardless of case.
        state_vars: The values of variables; a text also matches the number, true, false or null that it spells. A name
            that ends in <, <=, > or >= is a range; one that ends in ~ is for a text that contains the value in any
            case.
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
    waits_for_version: bool | None = None
    fingerprint: SearchText = None
    reason_contains: SearchedSubstring = None
    state_vars: SearchedVariables = None


class SearchRequest(WorkflowFilter):
    """A filter, and the page of the result.

    Attributes:
        order_by: The sort key; workflows without a next activation come last in either direction.
        descending: Whether the largest, or the latest, comes first.
        limit: The page size; 50 if left out or 0.
        offset: How many workflows to skip. A cursor has no bound, and costs the same on every page.
        cursor: The nextCursor of the previous page, with the same filter and order.
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
    """A move or an answer.

    Attributes:
        state: The name of the target state; for an answer, the choice.
        next_activation: When the state runs; at once if left out or past.
        force: Whether the move may leave the graph, interrupt an activation, or reopen a workflow that has ended. For
            admins only.
        reason: Why; required with force.
        form: The values of a manual state's form. With a form, the request is an answer.
        expected_version: The version that you read; 409 if the workflow has another one by now.
    """

    max_bytes: ClassVar[int | None] = None
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
    """Variables to set: one by ``key`` and ``value``, or several by ``vars`` or ``values``, and ``unset``.

    Attributes:
        key: The variable's name.
        value: Its new value; an empty text if left out. A text may also spell the JSON value of a field that is no
            text, such as "7" or "true".
        vars: New values by name; other variables stay.
        values: The same for clients that can only send texts, as for ``value``.
        unset: Names of variables to remove; a field of the model gets its default.
        expected_version: The version that you read; 409 if the workflow has another one by now.
    """

    max_bytes: ClassVar[int | None] = None
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {
                    "properties": {
                        "key": {"type": "string", "pattern": NOT_BLANK_PATTERN},
                        "values": _EMPTY_OBJECT_SCHEMA,
                        "vars": _EMPTY_OBJECT_SCHEMA,
                        "unset": {"maxItems": 0},
                    },
                    "required": ["key"],
                },
                _build_several_schema("values", other="vars"),
                _build_several_schema("vars", other="values"),
                {
                    "properties": {
                        "key": _EMPTY_TEXT_SCHEMA,
                        "unset": {"minItems": 1},
                        "values": _EMPTY_OBJECT_SCHEMA,
                        "vars": _EMPTY_OBJECT_SCHEMA,
                    },
                    "required": ["unset"],
                },
            ],
            "examples": [
                {"key": "address", "value": "12 Quay Street"},
                {"vars": {"amount": 2, "paid": True}, "unset": ["voucher"], "expectedVersion": 7},
            ],
        }
    )

    key: OptionalText = None
    value: Any = ""
    vars: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    unset: list[str] = Field(default_factory=list, max_length=1_000)
    expected_version: ExpectedVersion = None

    @property
    def is_empty(self) -> bool:
        """Whether it names no variable."""
        return not ((self.key or "").strip() or self.vars or self.values or self.unset)

    @property
    def new_values(self) -> dict[str, Any]:
        """The new values by name.

        Raises:
            ProblemError: 400 if it names no variable, or uses two of ``key``, ``vars`` and ``values``, or ``key``
                together with ``unset``.
        """
        if self.is_empty:
            raise ProblemError(build_faults_problem({"key": "is missing: name a variable, or send vars or unset"}))
        if self.values and self.vars:
            raise ProblemError(build_faults_problem({"values": "cannot be combined with vars: leave out one"}))
        if self.key is None:
            return self.vars or SpelledVariables(self.values or {})
        if self.values or self.vars or self.unset:
            raise ProblemError(build_faults_problem({"key": "cannot be combined with vars, values or unset"}))
        return SpelledVariables({self.key.strip(): self.value})


class OperationRequest(RequestModel):
    """An operation without other arguments.

    Attributes:
        expected_version: The version that you read; 409 if there is another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"expectedVersion": 7}]})

    expected_version: ExpectedVersion = None


class VersionQuery(RequestModel):
    """The version to delete.

    Attributes:
        expected_version: The version that you read; 409 if there is another one by now.
    """

    expected_version: ExpectedVersion = None


class PauseRequest(OperationRequest):
    """The reason for a pause, or for an abort.

    Attributes:
        reason: Why, for the history.
        expected_version: The version that you read; 409 if the workflow has another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The warehouse is being counted."}]})

    reason: OptionalText = None


class AcknowledgeRequest(OperationRequest):
    """The reason why a failure needs no repair.

    Attributes:
        reason: Why, for the history; required.
        expected_version: The version that you read; 409 if the workflow has another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The order was delivered by hand."}]})

    reason: Annotated[str, Field(pattern=NOT_BLANK_PATTERN)]


class CancelRequest(PauseRequest):
    """The reason for a cancellation, and its extent.

    Attributes:
        with_children: Whether to end all open descendants too.
        reason: Why, for the history.
        expected_version: The version that you read; 409 if the workflow has another one by now.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "The customer has withdrawn.", "withChildren": True}]}
    )

    with_children: bool = False
