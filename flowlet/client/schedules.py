"""Schedules, as the API returns them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flowlet.client.models import Created, ResponseModel, UtcDatetime

__all__ = ["Backfill", "Schedule", "ScheduleTime"]


class Schedule(ResponseModel):
    """A schedule, as it was when the server responded.

    Attributes:
        type: The workflow's name.
        source: "code" if the workflow's module declares it, "api" if a person or a program has created it.
        cron: The cron expression; None for an interval.
        every: The interval; None for a cron expression.
        jitter_seconds: The length of which each time fires later by a part; 0 for none.
        next_time: The next nominal time; None if there is none.
        next_fire: When executors look at it next; None while it is paused or disabled.
        last_fire: The nominal time of the instance that it created last, or when a user fired it.
        last_workflow_id: That instance.
        pending: The nominal time that waits for the end of that instance.
        is_disabled: Whether the workflow's module no longer declares it.
        fault: Why it could not create an instance when it was last due.
        version: Raised by each change of a user or a deploy; ``expected_version`` is compared with it.
    """

    id: int
    name: str
    type: str = Field(alias="workflowType")
    source: str
    cron: str | None
    every: str | None
    timezone: str
    overlap: str
    catch_up: str
    jitter_seconds: float
    vars: dict[str, Any]
    next_time: UtcDatetime | None
    next_fire: UtcDatetime | None
    last_fire: UtcDatetime | None
    last_workflow_id: int | None
    pending: UtcDatetime | None
    paused: UtcDatetime | None
    paused_by: str | None
    paused_reason: str | None
    is_disabled: bool
    fault: str | None
    definition_version: int
    version: int
    created: UtcDatetime
    created_by: str | None
    modified: UtcDatetime
    modified_by: str | None


class ScheduleTime(ResponseModel):
    """A time of a schedule.

    Attributes:
        time: The nominal time.
        fire: When it fires: later by its part of the jitter.
        local: The nominal time in the schedule's time zone, as it is in external ids.
    """

    time: UtcDatetime
    fire: UtcDatetime
    local: str


class Backfill(ResponseModel):
    """The result of a backfill.

    Attributes:
        created_count: How many instances it has created.
        instances: The instances of all its times, in their order; some may have existed.
    """

    created_count: int
    instances: tuple[Created, ...] = Field(alias="workflows")
