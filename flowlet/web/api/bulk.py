"""One operation on all workflows that a search finds: a count first, where that is asked for, then the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response

from flowlet.roles import Role
from flowlet.web.answers import json_answer
from flowlet.web.api.requests import Filter
from flowlet.web.api.terms import search_query
from flowlet.web.bulk import MOST_INSTANCES, BulkOperation, Operate, Refusal, carry_out, operation, pages
from flowlet.web.fields import OptionalText, Whole
from flowlet.web.guards import needs, principal
from flowlet.web.openapi import described
from flowlet.web.parsing import body
from flowlet.web.problems import ProblemError, faulty, problem_of
from flowlet.web.schemas import ApiModel, Body
from flowlet.web.services import services

__all__ = ["blueprint"]

REFUSALS_SHOWN = 100
PREVIEWED = 10

blueprint = Blueprint("bulk", __name__)


_EMPTY = {"type": ["string", "null"], "maxLength": 0}


def _only_for(operations: Sequence[str], *, needed: str | None = None, **otherwise: Any) -> dict[str, Any]:
    """Return the part of a schema that says which operations a field goes with, and how it has to be left otherwise."""
    among = {"properties": {"operation": {"enum": list(operations)}}}
    given = {"properties": {needed: {"type": "string", "minLength": 1}}, "required": [needed]} if needed else {}
    return {"if": among, "then": given, "else": {"properties": otherwise}}


class BulkRequest(Body):
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
                _only_for(("move",), state=_EMPTY, needed="state"),
                _only_for(("pause", "cancel", "move"), reason=_EMPTY),
                _only_for(("cancel",), withChildren={"const": False}),
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

    filter: Filter
    operation: BulkOperation
    state: OptionalText = None
    reason: OptionalText = None
    with_children: bool = False
    preview: bool = False
    limit: Whole = Field(default=MOST_INSTANCES, ge=1, le=MOST_INSTANCES)


class PreviewShape(ApiModel):
    """What a bulk operation would come to.

    Attributes:
        matched: How many instances fit, counted up to 10,000.
        matched_is_at_least: Whether there are more than that.
        ids: The first ten of them, by id.
    """

    matched: int
    matched_is_at_least: bool
    ids: list[int]


class RefusalShape(ApiModel):
    """Why nothing was done with one instance.

    Attributes:
        id: The instance.
        problem: What the operation on it alone would have answered.
    """

    id: int
    problem: Annotated[dict[str, Any], WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Problem"}]})]


class BulkShape(ApiModel):
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
    refused: list[RefusalShape]
    refused_total: int
    limit_reached: bool


@blueprint.post("/api/workflows/bulk")
@needs(Role.OPERATOR)
@described(body=BulkRequest, answers={200: BulkShape | PreviewShape})
async def operate_in_bulk() -> Response:
    """Do one operation with every instance that a filter finds, or say how many these are."""
    wanted = await body(BulkRequest)
    if faults := _misfits(wanted):
        raise ProblemError(faulty(faults))
    return json_answer(await (_preview(wanted) if wanted.preview else _carry_out(wanted)))


def _misfits(wanted: BulkRequest) -> dict[str, str]:
    """Return each field that does not go with the operation, or leaves open what it is to be done to.

    An empty text counts as left out elsewhere. Here that would make a filter by a name that is missing one by nothing.
    """
    given = wanted.filter.model_fields_set
    empty = "is empty, which would fit every workflow: name a value, or leave it out"
    faults = {
        f"filter.{to_camel(name)}": empty
        for name, value in wanted.filter
        if name in given and not value and value is not False
    }
    if wanted.operation == "move" and wanted.state is None:
        faults["state"] = "is missing: a move needs to know where to"
    if wanted.operation != "move" and wanted.state is not None:
        faults["state"] = f"does not go with {wanted.operation}: leave it out"
    if wanted.reason is not None and wanted.operation not in ("pause", "cancel", "move"):
        faults["reason"] = f"does not go with {wanted.operation}: leave it out"
    if wanted.with_children and wanted.operation != "cancel":
        faults["withChildren"] = f"does not go with {wanted.operation}: leave it out"
    return faults


async def _preview(wanted: BulkRequest) -> PreviewShape:
    query = search_query(wanted.filter, place="filter.", descending=False, limit=PREVIEWED)
    found = await services().store.reads.search(query)
    ids = [instance.id for instance in found.instances]
    return PreviewShape(matched=found.total, matched_is_at_least=found.total_is_at_least, ids=ids)


async def _carry_out(wanted: BulkRequest) -> BulkShape:
    matched, refusals, refused_total = 0, list[RefusalShape](), 0
    async for id, refusal in carry_out(_operation(wanted), _ids(wanted)):
        matched += 1
        if refusal is not None:
            refused_total += 1
            refusals += [_refusal(id, refusal)] if len(refusals) < REFUSALS_SHOWN else []
    return BulkShape(
        matched=matched,
        done=matched - refused_total,
        refused=refusals,
        refused_total=refused_total,
        limit_reached=matched == wanted.limit,
    )


async def _ids(wanted: BulkRequest) -> AsyncIterator[Sequence[int]]:
    """Yield the ids of the instances that fit, page by page and in order: what is created meanwhile comes last."""
    query = search_query(wanted.filter, place="filter.", descending=False)
    async for found in pages(services().store, query, limit=wanted.limit):
        yield [instance.id for instance in found]


def _refusal(id: int, error: Refusal) -> RefusalShape:
    problem = problem_of(error)
    return RefusalShape(id=id, problem=problem.members() if problem else {})


def _operation(wanted: BulkRequest) -> Operate:
    """Return the operation, done by who makes the request."""
    return operation(
        services().operations,
        wanted.operation,
        username=principal().username,
        reason=wanted.reason,
        with_children=wanted.with_children,
        state=wanted.state or "",
    )
