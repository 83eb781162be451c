"""Bulk operations: one operation on every workflow that a filter matches, or a preview of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Self

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
    search_pages,
)
from flowlet.web.bulk_forecast import MAX_FORECAST, forecast_operation
from flowlet.web.bulk_runs import BulkRun
from flowlet.web.deadline import compute_background_seconds
from flowlet.web.field_types import NOT_BLANK_PATTERN, OptionalText, WholeNumber
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body
from flowlet.web.problems import Problem, ProblemError, build_faults_problem, build_problem
from flowlet.web.schemas import ApiModel, RequestModel
from flowlet.web.services import get_services

__all__ = ["blueprint"]

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


_REASON_CONDITION: dict[str, Any] = {
    "if": {"properties": {"operation": {"enum": ["acknowledge"]}, "preview": {"const": False}}},
    "then": {"properties": {"reason": {"type": "string", "pattern": NOT_BLANK_PATTERN}}, "required": ["reason"]},
}


class BulkRequest(RequestModel):
    """An operation, and the workflows to apply it to.

    Attributes:
        filter: As for a search, without paging. An empty object matches every workflow. Its fields must not be empty.
        operation: The operation.
        state: The target state, for move; along transitions only.
        reason: For pause, cancel, move and acknowledge, which requires one unless it is a preview.
        with_children: Whether to end all descendants too, for cancel.
        preview: Whether to count the matching workflows only.
        limit: The largest number of workflows, in the order of their ids.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _build_condition(("move",), state=_EMPTY_TEXT_SCHEMA, required_field="state"),
                _build_condition(("pause", "cancel", "move", "acknowledge"), reason=_EMPTY_TEXT_SCHEMA),
                _REASON_CONDITION,
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


class RefusalCountResponse(ApiModel):
    """How many workflows would refuse an operation for one reason.

    Attributes:
        reason: Why, as the refusal of one workflow says it.
        count: How many.
    """

    reason: str
    count: int


class BulkPreviewResponse(ApiModel):
    """The workflows that a bulk operation would be applied to.

    Attributes:
        matched: How many workflows match, counted up to 10,000.
        matched_is_at_least: Whether more workflows match than that.
        ids: The first ten ids.
        examined: How many of them were looked at: the first 2,000, in the order of their ids, or ``limit``.
        possible: How many of these permit the operation now.
        refusals: Why the others refuse it, the most frequent reason first.
    """

    matched: int
    matched_is_at_least: bool
    ids: list[int]
    examined: int
    possible: int
    refusals: list[RefusalCountResponse]


class RefusalResponse(ApiModel):
    """One workflow that refused the operation.

    Attributes:
        id: The workflow's id.
        problem: The problem that the operation on this workflow alone would have returned.
    """

    id: int
    problem: Annotated[dict[str, Any], WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Problem"}]})]


class BulkResponse(ApiModel):
    """The result of a bulk operation, or of what it has done so far.

    Attributes:
        run_id: Its id in the process that runs it.
        is_running: Whether it goes on.
        matched: How many workflows it was applied to.
        done: How many of them it changed.
        refused: The first 100 workflows that refused it.
        refused_total: How many refused it in all.
        limit_reached: Whether it stopped at its limit, so that more workflows may match.
        problem: The problem that ended it early, such as a database that became unavailable; else null.
    """

    run_id: str
    is_running: bool
    matched: int
    done: int
    refused: list[RefusalResponse]
    refused_total: int
    limit_reached: bool
    problem: Annotated[
        dict[str, Any] | None,
        WithJsonSchema({"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]}),
    ]

    @classmethod
    def of(cls, run: BulkRun) -> Self:
        """Return the representation of a run."""
        return cls(
            run_id=run.id,
            is_running=run.is_running,
            matched=run.matched,
            done=run.done_count,
            refused=[_build_refusal(id, refusal) for id, refusal in run.refusals],
            refused_total=run.refused_total,
            limit_reached=run.matched == run.limit,
            problem=_describe_error(run.error),
        )


@blueprint.post("/api/workflows/bulk")
@require_role(Role.OPERATOR)
@describe_route(body=BulkRequest, answers={200: BulkResponse | BulkPreviewResponse, 202: BulkResponse})
async def operate_in_bulk() -> Response:
    """Apply one operation to every workflow that a filter matches, or count these workflows and those that permit it.

    An operation that takes longer than a request may (FLOWLET_REQUEST_TIMEOUT) goes on in the background: the answer is
    202 with what it has done so far, and ``GET /api/bulkRuns/{id}`` of the same process has its result.
    """
    bulk_request = await read_body(BulkRequest)
    if faults := _find_conflicts(bulk_request):
        raise ProblemError(build_faults_problem(faults))
    if bulk_request.preview:
        return build_json_response(await _preview_bulk(bulk_request))
    run = await _run_bulk(bulk_request)
    return build_json_response(BulkResponse.of(run), status=202 if run.is_running else 200)


@blueprint.get("/api/bulkRuns/<id>")
@require_role(Role.OPERATOR)
@describe_route(answers={200: BulkResponse}, problems=(404,))
async def show_bulk_run(id: str) -> Response:
    """Return what a bulk operation has done so far; the process that runs it remembers its latest 200."""
    run = get_services().bulk_runs.find(id)
    if run is None:
        raise ProblemError(Problem(404, "not-found", f"This process has no bulk operation {id!r}."))
    return build_json_response(BulkResponse.of(run))


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
    if bulk_request.reason is not None and bulk_request.operation not in ("pause", "cancel", "move", "acknowledge"):
        faults["reason"] = f"does not go with {bulk_request.operation}: leave it out"
    if bulk_request.operation == "acknowledge" and not bulk_request.preview and not (bulk_request.reason or "").strip():
        faults["reason"] = "is missing: a failure is closed with a reason, for the history"
    if bulk_request.with_children and bulk_request.operation != "cancel":
        faults["withChildren"] = f"does not go with {bulk_request.operation}: leave it out"
    return faults


async def _preview_bulk(bulk_request: BulkRequest) -> BulkPreviewResponse:
    query = build_search_query(bulk_request.filter, field_prefix="filter.", descending=False, limit=PREVIEW_SIZE)
    here = get_services()
    with here.user_shares.hold_scan(query, get_principal().username):
        found = await here.store.queries.search(query)
        forecast = await forecast_operation(
            here.operations,
            bulk_request.operation,
            search_pages(here.store, query, limit=min(bulk_request.limit, MAX_FORECAST)),
            state=bulk_request.state or "",
            with_children=bulk_request.with_children,
        )
    return BulkPreviewResponse(
        matched=found.total,
        matched_is_at_least=found.total_is_at_least,
        ids=[instance.id for instance in found.instances],
        examined=forecast.examined,
        possible=forecast.possible,
        refusals=[RefusalCountResponse(reason=reason, count=count) for reason, count in forecast.refusals],
    )


async def _run_bulk(bulk_request: BulkRequest) -> BulkRun:
    """Start the operation, and return it when it has ended, or when the request has to be answered."""
    operate = _bind_requested_operation(bulk_request)
    subject = f"bulk {bulk_request.operation} by {get_principal().username!r}"
    run = get_services().bulk_runs.start(operate, _search_ids(bulk_request), subject=subject, limit=bulk_request.limit)
    await run.wait(compute_background_seconds())
    return run


def _describe_error(error: Exception | None) -> dict[str, Any] | None:
    if error is None:
        return None
    unexpected = Problem(500, "unexpected", "This is a bug in the server; its log has the details.")
    return (build_problem(error) or unexpected).to_json_object()


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
