"""One operation on all workflows that a search finds: a count first, where that is asked for, then the work."""

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
    """Return the part of a schema that says which operations a field goes with, and how it has to be left otherwise."""
    among = {"properties": {"operation": {"enum": list(operations)}}}
    given = (
        {"properties": {required_field: {"type": "string", "minLength": 1}}, "required": [required_field]}
        if required_field
        else {}
    )
    return {"if": among, "then": given, "else": {"properties": else_properties}}


class BulkRequest(RequestModel):
    """An operation, and on which instances.

    Attributes:
        filter: As for a search, without paging; an empty one is every instance. No field of it may be empty itself.
        operation: What to do with each.
        state: Where to, for a move; along transitions only.
        reason: For pause, cancel and move.
        with_children: For cancel.
        preview: Whether only to say how many there are.
        limit: On how many at most, in the order of their ids.
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
    """What a bulk operation would come to.

    Attributes:
        matched: How many instances fit, counted up to 10,000.
        matched_is_at_least: Whether there are more than that.
        ids: The first ten of them, by id.
    """

    matched: int
    matched_is_at_least: bool
    ids: list[int]


class RefusalResponse(ApiModel):
    """Why nothing was done with one instance.

    Attributes:
        id: The instance.
        problem: What the operation on it alone would have answered.
    """

    id: int
    problem: Annotated[dict[str, Any], WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Problem"}]})]


class BulkResponse(ApiModel):
    """What has been done.

    Attributes:
        matched: How many instances it has come to.
        done: With how many of them it was done.
        refused: The first 100 of those that refused.
        refused_total: How many refused in all.
        limit_reached: Whether there may be more that fit.
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
    """Do one operation with every instance that a filter finds, or say how many these are."""
    bulk_request = await read_body(BulkRequest)
    if faults := _find_conflicts(bulk_request):
        raise ProblemError(build_faults_problem(faults))
    return build_json_response(await (_preview_bulk(bulk_request) if bulk_request.preview else _run_bulk(bulk_request)))


def _find_conflicts(bulk_request: BulkRequest) -> dict[str, str]:
    """Return each field that does not go with the operation, or leaves open what it is to be done to.

    An empty text counts as left out elsewhere. Here that would make a filter by a name that is missing one by nothing.
    """
    given = bulk_request.filter.model_fields_set
    empty = "is empty, which would fit every workflow: name a value, or leave it out"
    faults = {
        f"filter.{to_camel(name)}": empty
        for name, value in bulk_request.filter
        if name in given and not value and value is not False
    }
    if bulk_request.operation == "move" and bulk_request.state is None:
        faults["state"] = "is missing: a move needs to know where to"
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
    """Yield the ids of the instances that fit, page by page and in order: what is created meanwhile comes last."""
    query = build_search_query(bulk_request.filter, field_prefix="filter.", descending=False)
    async for found in search_pages(get_services().store, query, limit=bulk_request.limit):
        yield [instance.id for instance in found]


def _build_refusal(id: int, error: RefusalError) -> RefusalResponse:
    problem = build_problem(error)
    return RefusalResponse(id=id, problem=problem.to_json_object() if problem else {})


def _bind_requested_operation(bulk_request: BulkRequest) -> InstanceOperation:
    """Return the operation, done by who makes the request."""
    return bind_operation(
        get_services().operations,
        bulk_request.operation,
        username=get_principal().username,
        reason=bulk_request.reason,
        with_children=bulk_request.with_children,
        state=bulk_request.state or "",
    )
