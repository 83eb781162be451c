"""Bulk operations: one operation on every workflow that a filter matches, or a preview of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.web.api.requests import WorkflowFilter
from flowlet.web.api.translation import build_search_query
from flowlet.web.auth import get_principal, require_role
from flowlet.web.bulk import (
    MAX_INSTANCES,
    BulkOperation,
    InstanceOperation,
    RefusalError,
    bind_operation,
    run_operation,
    search_pages,
)
from flowlet.web.field_types import OptionalText, WholeNumber
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body
from flowlet.web.problems import ProblemError, build_faults_problem, build_problem
from flowlet.web.schemas import ApiModel, RequestModel
from flowlet.web.services import get_services

__all__ = ["blueprint"]

MAX_REFUSALS = 100
PREVIEW_SIZE = 10

blueprint = Blueprint("bulk", __name__)


_EMPTY_TEXT_SCHEMA = {"type": ["string", "null"], "maxLength": 0}


def _build_condition(
    operations: Sequence[str], *, required_field: str | None = None, **else_properties: Any
) -> dict[str, Any]:
    """Return the part of a schema that allows or requires a field for some operations only."""
    among = {"properties": {"operation": {"enum": list(operations)}}}
    given = (
        {"properties": {required_field: {"type": "string", "minLength": 1}}, "required": [required_field]}
        if required_field
        else {}
    )
    return {"if": among, "then": given, "else": {"properties": else_properties}}


class BulkRequest(RequestModel):
    """An operation, and the workflows to apply it to.

    Attributes:
        filter: As for a search, without paging. An empty object matches every workflow. Its fields must not be empty.
        operation: The operation.
        state: The target state, for move; along transitions only.
        reason: For pause, cancel and move.
        with_children: Whether to end all descendants too, for cancel.
        preview: Whether to count the matching workflows only.
        limit: The largest number of workflows, in the order of their ids.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _build_condition(("move",), state=_EMPTY_TEXT_SCHEMA, required_field="state"),
                _build_condition(("pause", "cancel", "move"), reason=_EMPTY_TEXT_SCHEMA),
                _build_condition(("cancel",), withChildren={"const": False}),
                {"properties": {"filter": {"additionalProperties": {"not": {"enum": [None, "", 0, [], {}]}}}}},
            ],
            "examples": [
                {
                    "filter": {"workflowType": "OrderWorkflow", "status": "FAILED"},
                    "operation": "retry",
                    "preview": True,
                },
                {"filter": {"businessKey": "customer-1001"}, "operation": "cancel", "reason": "Closed.", "limit": 100},
            ],
        }
    )

    filter: WorkflowFilter
    operation: BulkOperation
    state: OptionalText = None
    reason: OptionalText = None
    with_children: bool = False
    preview: bool = False
    limit: WholeNumber = Field(default=MAX_INSTANCES, ge=1, le=MAX_INSTANCES)


class BulkPreviewResponse(ApiModel):
    """The workflows that a bulk operation would be applied to.

    Attributes:
        matched: How many workflows match, counted up to 10,000.
        matched_is_at_least: Whether more workflows match than that.
        ids: The first ten ids.
    """

    matched: int
    matched_is_at_least: bool
    ids: list[int]


class RefusalResponse(ApiModel):
    """One workflow that refused the operation.

    Attributes:
        id: The workflow's id.
        problem: The problem that the operation on this workflow alone would have returned.
    """

    id: int
    problem: Annotated[dict[str, Any], WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Problem"}]})]


class BulkResponse(ApiModel):
    """The result of a bulk operation.

    Attributes:
        matched: How many workflows it was applied to.
        done: How many of them it changed.
        refused: The first 100 workflows that refused it.
        refused_total: How many refused it in all.
        limit_reached: Whether it stopped at its limit, so that more workflows may match.
    """

    matched: int
    done: int
    refused: list[RefusalResponse]
    refused_total: int
    limit_reached: bool


@blueprint.post("/api/workflows/bulk")
@require_role(Role.OPERATOR)
@describe_route(body=BulkRequest, answers={200: BulkResponse | BulkPreviewResponse})
async def operate_in_bulk() -> Response:
    """Apply one operation to every workflow that a filter matches, or count these workflows."""
    bulk_request = await read_body(BulkRequest)
    if faults := _find_conflicts(bulk_request):
        raise ProblemError(build_faults_problem(faults))
    return build_json_response(await (_preview_bulk(bulk_request) if bulk_request.preview else _run_bulk(bulk_request)))


def _find_conflicts(bulk_request: BulkRequest) -> dict[str, str]:
    """Return the fault of each field that does not go with the operation, and of each empty filter field.

    Elsewhere an empty text counts as left out. Here a client whose variable was never set would change every workflow.
    """
    given = bulk_request.filter.model_fields_set
    empty = "is empty, which would match every workflow: give a value, or leave it out"
    faults = {
        f"filter.{to_camel(name)}": empty
        for name, value in bulk_request.filter
        if name in given and not value and value is not False
    }
    if bulk_request.operation == "move" and bulk_request.state is None:
        faults["state"] = "is missing: a move requires a target state"
    if bulk_request.operation != "move" and bulk_request.state is not None:
        faults["state"] = f"does not go with {bulk_request.operation}: leave it out"
    if bulk_request.reason is not None and bulk_request.operation not in ("pause", "cancel", "move"):
        faults["reason"] = f"does not go with {bulk_request.operation}: leave it out"
    if bulk_request.with_children and bulk_request.operation != "cancel":
        faults["withChildren"] = f"does not go with {bulk_request.operation}: leave it out"
    return faults


async def _preview_bulk(bulk_request: BulkRequest) -> BulkPreviewResponse:
    query = build_search_query(bulk_request.filter, field_prefix="filter.", descending=False, limit=PREVIEW_SIZE)
    found = await get_services().store.queries.search(query)
    ids = [instance.id for instance in found.instances]
    return BulkPreviewResponse(matched=found.total, matched_is_at_least=found.total_is_at_least, ids=ids)


async def _run_bulk(bulk_request: BulkRequest) -> BulkResponse:
    matched, refusals, refused_total = 0, list[RefusalResponse](), 0
    async for id, refusal in run_operation(_bind_requested_operation(bulk_request), _search_ids(bulk_request)):
        matched += 1
        if refusal is not None:
            refused_total += 1
            refusals += [_build_refusal(id, refusal)] if len(refusals) < MAX_REFUSALS else []
    return BulkResponse(
        matched=matched,
        done=matched - refused_total,
        refused=refusals,
        refused_total=refused_total,
        limit_reached=matched == bulk_request.limit,
    )


async def _search_ids(bulk_request: BulkRequest) -> AsyncIterator[Sequence[int]]:
    """Yield the ids of the matching workflows, in pages and in order; those created meanwhile come last."""
    query = build_search_query(bulk_request.filter, field_prefix="filter.", descending=False)
    async for found in search_pages(get_services().store, query, limit=bulk_request.limit):
        yield [instance.id for instance in found]


def _build_refusal(id: int, error: RefusalError) -> RefusalResponse:
    problem = build_problem(error)
    return RefusalResponse(id=id, problem=problem.to_json_object() if problem else {})


def _bind_requested_operation(bulk_request: BulkRequest) -> InstanceOperation:
    """Return the operation, in the name of the request's user."""
    return bind_operation(
        get_services().operations,
        bulk_request.operation,
        username=get_principal().username,
        reason=bulk_request.reason,
        with_children=bulk_request.with_children,
        state=bulk_request.state or "",
    )
