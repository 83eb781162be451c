"""The requests and responses of the endpoints of schedules."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.instance.new_instance import Created
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_NAME_LENGTH
from flowlet.web.field_types import ExpectedVersion, OptionalDuration, OptionalText
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.workflow.schedule import Schedule
from flowlet.workflow.timetable import MAX_CRON_LENGTH

__all__ = [
    "BackfillRequest",
    "BackfillResponse",
    "CreateScheduleRequest",
    "EditScheduleRequest",
    "FiredWorkflowResponse",
    "ScheduleQuery",
    "ScheduleResponse",
    "ScheduleTimeResponse",
    "ScheduleTimesQuery",
]

CronText = Annotated[
    OptionalText, WithJsonSchema({"type": ["string", "null"], "maxLength": MAX_CRON_LENGTH, "format": "cron"})
]
TimezoneName = Annotated[
    str,
    AfterValidator(lambda name: name or "UTC"),
    WithJsonSchema({"type": "string", "maxLength": MAX_IDENTIFIER_LENGTH, "format": "timezone"}),
]
ScheduleName = Annotated[
    str,
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "format": "schedule-name"}),
]
_EITHER_CRON_OR_EVERY: Any = {
    "oneOf": [
        {"properties": {"cron": {"type": "string", "minLength": 1}, "every": {"type": "null"}}, "required": ["cron"]},
        {"properties": {"every": {"type": "string", "minLength": 1}, "cron": {"type": "null"}}, "required": ["every"]},
    ]
}


class ScheduleFields(RequestModel):
    """What a schedule consists of, beside its name and its workflow. Give either ``cron`` or ``every``.

    Attributes:
        cron: Five fields: minute, hour, day of the month, month, day of the week; or an alias as "@daily".
        every: An interval instead, such as "15 minutes": whole seconds, counted from 1970-01-05 00:00 UTC, a Monday.
        timezone: The time zone of ``cron``, such as "Europe/Berlin".
        overlap: What happens while the workflow that it created last has not ended.
        catch_up: Which of the times it makes up for that could not be fired within a minute; "all" not with "wait".
        jitter: Each time fires later by a part of this length, at most a day and less than ``every``.
        vars: The variables of its workflows, which have to fit the definition's model.
    """

    max_bytes: ClassVar[int | None] = None
    cron: CronText = None
    every: OptionalDuration = None
    timezone: TimezoneName = "UTC"
    overlap: Literal["allow", "skip", "wait"] = "allow"
    catch_up: Literal["none", "last", "all"] = "last"
    jitter: OptionalDuration = None
    vars: dict[str, Any] | None = None

    def _build_schedule(self, name: str) -> Schedule:
        return Schedule(
            self.cron,
            name=name,
            every=self.every,
            timezone=self.timezone,
            overlap=self.overlap,
            catch_up=self.catch_up,
            jitter=self.jitter,
            vars=self.vars,
        )


class CreateScheduleRequest(ScheduleFields):
    """A schedule to create. Give either ``cron`` or ``every``.

    Attributes:
        workflow_type: The name of the definition.
        name: Unique over all workflows, without a slash; its workflows' business key.
    """

    model_config = ConfigDict(
        json_schema_extra={
            **_EITHER_CRON_OR_EVERY,
            "examples": [
                {
                    "workflowType": "OrderWorkflow",
                    "name": "nightly",
                    "cron": "0 3 * * *",
                    "timezone": "Europe/Berlin",
                    "overlap": "skip",
                }
            ],
        }
    )

    workflow_type: str
    name: ScheduleName

    def build_schedule(self) -> Schedule:
        """Return the schedule, unchecked."""
        return self._build_schedule(self.name)


class EditScheduleRequest(ScheduleFields):
    """A schedule as it is to be. Give either ``cron`` or ``every``; what is left out gets its default.

    Attributes:
        expected_version: The version that you read; 409 if the schedule has another one by now.
    """

    model_config = ConfigDict(
        json_schema_extra={**_EITHER_CRON_OR_EVERY, "examples": [{"every": "15 minutes", "expectedVersion": 1}]}
    )

    expected_version: ExpectedVersion = None

    def build_schedule(self, name: str) -> Schedule:
        """Return the schedule of a name, unchecked."""
        return self._build_schedule(name)


class BackfillRequest(RequestModel):
    """The past times whose workflows are to be created.

    Attributes:
        first: From when; included.
        last: Until when; included, and not in the future.
        expected_version: The version that you read; 409 if the schedule has another one by now.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "2026-03-01T00:00:00Z", "to": "2026-03-08T00:00:00Z"}]}
    )

    first: Timestamp = Field(alias="from")
    last: Timestamp = Field(alias="to")
    expected_version: ExpectedVersion = None


class ScheduleQuery(RequestModel):
    """Which schedules to list.

    Attributes:
        workflow_type: Only those of this definition.
        after: Only those behind this name.
        limit: The largest number of schedules.
    """

    workflow_type: OptionalText = None
    after: OptionalText = None
    limit: int = Field(100, ge=1, le=1000)


class ScheduleTimesQuery(RequestModel):
    """How many times to compute.

    Attributes:
        count: The largest number of times.
    """

    count: int = Field(10, ge=1, le=100)


class ScheduleResponse(ApiModel):
    """A schedule.

    Attributes:
        id: Its number.
        name: Unique over all workflows.
        workflow_type: The name of the definition.
        source: "code" if the workflow's module declares it, "api" if a person or a program has created it.
        cron: The cron expression; null for an interval.
        every: The interval as a duration; null for a cron expression.
        timezone: The time zone of the cron expression.
        overlap: What happens while the workflow that it created last has not ended.
        catch_up: Which of the times it makes up for that could not be fired within a minute.
        jitter_seconds: The length of which each time fires later by a part; 0 for none.
        vars: The variables of its workflows.
        next_time: The next nominal time; null if there is none.
        next_fire: When executors look at it next: later than the next time by its part of the jitter; null while it is
            paused or disabled.
        last_fire: The nominal time of the workflow that it created last, or when a user fired it; null before.
        last_workflow_id: That workflow; null before.
        pending: The nominal time that waits for the end of that workflow; null for none.
        paused: When it was paused; null if it is not.
        paused_by: Who paused it.
        paused_reason: The reason that the person gave.
        is_disabled: Whether the workflow's module no longer declares it.
        fault: Why it could not create a workflow when it was last due; null if it could.
        definition_version: The version of the definition that it was last written by.
        version: Raised by each change of a user or a deploy; ``expectedVersion`` is compared with it.
        created: When it was created.
        created_by: The user who created it; null for code.
        modified: When the version was last raised.
        modified_by: The user who changed it; null for code.
    """

    id: int
    name: str
    workflow_type: str
    source: Literal["code", "api"]
    cron: str | None
    every: str | None
    timezone: str
    overlap: Literal["allow", "skip", "wait"]
    catch_up: Literal["none", "last", "all"]
    jitter_seconds: float
    vars: dict[str, Any]
    next_time: Timestamp | None
    next_fire: Timestamp | None
    last_fire: Timestamp | None
    last_workflow_id: int | None
    pending: Timestamp | None
    paused: Timestamp | None
    paused_by: str | None
    paused_reason: str | None
    is_disabled: bool
    fault: str | None
    definition_version: int
    version: int
    created: Timestamp
    created_by: str | None
    modified: Timestamp
    modified_by: str | None

    @classmethod
    def of(cls, record: ScheduleRecord) -> Self:
        """Return the response of a schedule."""
        computed: dict[str, Any] = {
            "workflow_type": record.type,
            "source": record.source.value,
            "cron": record.cron,
            "every": record.every,
            "overlap": record.overlap.value,
            "catch_up": record.catch_up.value,
            "jitter_seconds": record.jitter / MICROSECONDS_PER_SECOND,
        }
        plain = {name: getattr(record, name) for name in cls.model_fields.keys() - computed.keys()}
        return cls(**computed, **plain)


class ScheduleTimeResponse(ApiModel):
    """A time of a schedule.

    Attributes:
        time: The nominal time.
        fire: When it fires: later by its part of the jitter.
        local: The nominal time in the schedule's time zone, as it is in external ids.
    """

    time: Timestamp
    fire: Timestamp
    local: str


class FiredWorkflowResponse(ApiModel):
    """A workflow of a schedule.

    Attributes:
        id: The workflow's id.
        external_id: Its external id: the schedule's name, and the nominal time.
        is_new: Whether this request has created it.
    """

    id: int
    external_id: str
    is_new: bool

    @classmethod
    def of(cls, created: Created) -> Self:
        """Return the response of a created instance."""
        return cls(id=created.id, external_id=created.external_id, is_new=created.is_new)


class BackfillResponse(ApiModel):
    """The result of a backfill.

    Attributes:
        created_count: How many workflows it has created.
        workflows: The workflows of all its times, in their order.
    """

    created_count: int
    workflows: tuple[FiredWorkflowResponse, ...]
