"""Limits: the list, with what runs and waits, and the hold of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.errors import DurationError
from flowlet.operations.limits import check_interval
from flowlet.store.limits.limits import LimitUse
from flowlet.text import MAX_NAME_LENGTH, MAX_REASON_LENGTH
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import OptionalDuration
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("limits", __name__)

_EXAMPLE: dict[str, Any] = {"workflowType": "OrderWorkflow", "state": "charge"}
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]


def _check_interval(value: timedelta | None) -> timedelta | None:
    """Return the interval of a release; a fault of the field if it is out of range."""
    try:
        return None if value is None else check_interval(value)
    except DurationError as error:
        raise ValueError(str(error)) from None


class LimitResponse(ApiModel):
    """The limits of a state, or of a whole workflow.

    Attributes:
        workflow_type: The workflow.
        state: The state; null for the whole workflow.
        capacity: How many attempts run at once, of each key; null for any number.
        key_variable: The variable whose values have the capacity each; null for one capacity for all.
        rate_count: How many attempts begin in the time of `ratePeriodSeconds`; null for any number.
        rate_period_seconds: That time.
        breaker_count: After how many failed attempts in a row none begins for a while; null for no breaker.
        breaker_pause_seconds: For how long.
        breaker_interval_seconds: How long after one attempt the next one begins once the breaker has closed; null for
            all at once.
        failures: How many attempts in a row have failed, if there is a breaker.
        held: Since when no attempt begins; null if it is not held.
        held_by: The user who holds it; null if its breaker does.
        held_reason: Why it is held.
        opened_interval_seconds: How long after one attempt the next one begins since the end of a hold; null for all
            at once.
        opened_until: Until when; null before an executor has looked how many wait.
        running: How many workflows run in it.
        waiting: How many are due and wait behind it.
        definition_version: The version of the definition that the limits are from.
    """

    workflow_type: str
    state: str | None
    capacity: int | None
    key_variable: str | None
    rate_count: int | None
    rate_period_seconds: float | None
    breaker_count: int | None
    breaker_pause_seconds: float | None
    breaker_interval_seconds: float | None
    failures: int
    held: Timestamp | None
    held_by: str | None
    held_reason: str | None
    opened_interval_seconds: float | None
    opened_until: Timestamp | None
    running: int
    waiting: int
    definition_version: int

    @classmethod
    def of(cls, use: LimitUse) -> LimitResponse:
        """Return the response for a limit."""
        record = use.record
        return cls(
            workflow_type=record.type,
            state=record.state,
            capacity=record.capacity,
            key_variable=record.key_variable,
            rate_count=record.rate_count,
            rate_period_seconds=_to_seconds(record.rate_period),
            breaker_count=record.breaker_count,
            breaker_pause_seconds=_to_seconds(record.breaker_pause),
            breaker_interval_seconds=_to_seconds(record.breaker_interval),
            failures=record.failures,
            held=record.held_at,
            held_by=record.held_by,
            held_reason=record.held_reason,
            opened_interval_seconds=_to_seconds(record.opened_interval),
            opened_until=record.opened_until,
            running=use.running,
            waiting=use.waiting,
            definition_version=record.version,
        )


class ReleaseLimitRequest(RequestModel):
    """Which limits are released, and how fast what waits follows.

    Attributes:
        workflow_type: The workflow.
        state: The state; left out or null for the limits of the whole workflow.
        interval: How long after one attempt the next one begins, such as "100ms", until all that waits now could have
            begun; from a millisecond to 31 days. Left out or null for the interval of the limit's breaker; without one
            all begin at once.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE, {**_EXAMPLE, "interval": "100ms"}]})

    workflow_type: Name
    state: Name | None = None
    interval: Annotated[OptionalDuration, AfterValidator(_check_interval)] = None


class HoldLimitRequest(RequestModel):
    """Which limits are held, and why.

    Attributes:
        workflow_type: The workflow.
        state: The state; left out or null for the limits of the whole workflow.
        reason: Why; it is shown where workflows wait.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "reason": "the bank moves"}]})

    workflow_type: Name
    state: Name | None = None
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON_LENGTH)]


@blueprint.get("/api/limits")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[LimitResponse]})
async def list_limits() -> Response:
    """Return every limit with what runs and waits, by workflow and state."""
    return build_json_response([LimitResponse.of(use) for use in await get_services().operations.limits.list_all()])


@blueprint.post("/api/limits/hold")
@require_role(Role.OPERATOR)
@describe_route(body=HoldLimitRequest, answers={200: LimitResponse}, problems=(404, 409))
async def hold_limit() -> Response:
    """Hold the limits of a state or a workflow: no attempt begins until they are released. What runs goes on."""
    given = await read_body(HoldLimitRequest)
    use = await get_services().operations.limits.hold(
        given.workflow_type, given.state, username=get_principal().username, reason=given.reason
    )
    return build_json_response(LimitResponse.of(use))


@blueprint.post("/api/limits/release")
@require_role(Role.OPERATOR)
@describe_route(body=ReleaseLimitRequest, answers={200: LimitResponse}, problems=(404, 409))
async def release_limit() -> Response:
    """Release limits that a user or a breaker holds: attempts begin again, at once or one each interval."""
    given = await read_body(ReleaseLimitRequest)
    use = await get_services().operations.limits.release(
        given.workflow_type, given.state, username=get_principal().username, interval=given.interval
    )
    return build_json_response(LimitResponse.of(use))


def _to_seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000
