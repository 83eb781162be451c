"""The table of schedules, and its rows as records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flowlet.instance.json_text import parse_json
from flowlet.store.columns import Codec, Column, ColumnType, Index, RowEncoder, RowReader, Table
from flowlet.workflow.schedule import CatchUp, Overlap
from flowlet.workflow.timetable import Timetable, read_cron, read_interval

__all__ = ["SCHEDULE", "SCHEDULE_ENCODER", "SCHEDULE_READER", "ScheduleRecord", "ScheduleSource"]


class ScheduleSource(StrEnum):
    """Where a schedule comes from."""

    CODE = "code"
    """A workflow's module declares it: it changes by a deploy."""
    API = "api"
    """A person or a program has created it: it is edited through the API, the console and the command line."""


SCHEDULE = Table(
    "flowlet_schedule",
    (
        Column("id", ColumnType.IDENTITY, ""),
        Column("name", ColumnType.KEY, "NOT NULL UNIQUE"),
        Column("workflow_type", ColumnType.NAME, field="type"),
        Column("source", ColumnType.WORD, codec=Codec(lambda source: source.value, ScheduleSource)),
        Column("spec", ColumnType.NAME),
        Column("timezone", ColumnType.NAME),
        Column("overlap", ColumnType.WORD, codec=Codec(lambda overlap: overlap.value, Overlap)),
        Column("catch_up", ColumnType.WORD, codec=Codec(lambda catch_up: catch_up.value, CatchUp)),
        Column("jitter", ColumnType.BIG),
        Column("vars", ColumnType.TEXT, field="vars_json"),
        Column("next_time", ColumnType.BIG, ""),
        Column("next_fire", ColumnType.BIG, ""),
        Column("last_fire", ColumnType.BIG, ""),
        Column("last_workflow_id", ColumnType.BIG, ""),
        Column("pending", ColumnType.BIG, ""),
        Column("paused", ColumnType.BIG, ""),
        Column("paused_by", ColumnType.NAME, ""),
        Column("paused_reason", ColumnType.TEXT, ""),
        Column("disabled", ColumnType.FLAG, "NOT NULL DEFAULT 0", field="is_disabled", codec=Codec(int, bool)),
        Column("fault", ColumnType.TEXT, ""),
        Column("definition_version", ColumnType.INTEGER),
        Column("version", ColumnType.BIG, "NOT NULL DEFAULT 1"),
        Column("created", ColumnType.BIG),
        Column("created_by", ColumnType.NAME, ""),
        Column("modified", ColumnType.BIG),
        Column("modified_by", ColumnType.NAME, ""),
    ),
    indexes=(
        # One that is paused or disabled has no next_fire: it costs the executors nothing.
        Index("flowlet_schedule_due", ("workflow_type", "next_fire")),
        Index("flowlet_schedule_pending", ("pending",), "pending IS NOT NULL"),
        # The newest change is one probe: where commits are polled, it is part of the poll.
        Index("flowlet_schedule_modified", ("modified",)),
    ),
)
"""The schedules: those that workflow modules declare, and those that people have created."""


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule. Times are microseconds since 1970 UTC; those that it creates instances for are nominal times.

    Attributes:
        id: The number of its row.
        name: Its name, unique over all workflows.
        type: The workflow.
        source: Where it comes from.
        spec: Its cron expression or interval, as ``Timetable`` takes it.
        timezone: The time zone of its cron expression.
        overlap: What happens at a time at which its last instance has not ended.
        catch_up: Which times it makes up for that could not be fired within a minute.
        jitter: The length of which each time is fired later by a part; 0 for none.
        vars_json: The variables of its instances.
        next_time: The next nominal time; None if there is none any more.
        next_fire: When executors look at it next: at the next time and its part of the jitter, or a minute after a
            fault; None while it is paused or disabled.
        last_fire: The nominal time of the instance that it created last, or when a person fired it; None before.
        last_workflow_id: That instance.
        pending: The nominal time that waits until that instance has ended; None for none.
        paused: When it was paused; None if it is not.
        paused_by: Who paused it.
        paused_reason: Why.
        is_disabled: Whether its workflow's module no longer declares it.
        fault: Why it could not create an instance when it was last due; None if it could.
        definition_version: The version of the workflow that it was last written by; executors of a lower one leave it
            alone.
        version: Raised by each change of a person or a deploy, and not by firing; ``expected_version`` is compared
            with it.
        created: When it was created.
        created_by: Who created it; None for code.
        modified: When a person or a deploy last changed it.
        modified_by: Who did; None for code.
    """

    id: int
    name: str
    type: str
    source: ScheduleSource
    spec: str
    timezone: str
    overlap: Overlap
    catch_up: CatchUp
    jitter: int
    vars_json: str
    next_time: int | None
    next_fire: int | None
    last_fire: int | None
    last_workflow_id: int | None
    pending: int | None
    paused: int | None
    paused_by: str | None
    paused_reason: str | None
    is_disabled: bool
    fault: str | None
    definition_version: int
    version: int
    created: int
    created_by: str | None
    modified: int
    modified_by: str | None

    @property
    def is_active(self) -> bool:
        """Whether it fires: it is neither paused nor disabled."""
        return self.paused is None and not self.is_disabled

    @property
    def cron(self) -> str | None:
        """The cron expression; None for an interval."""
        return read_cron(self.spec)

    @property
    def every(self) -> str | None:
        """The interval, as a duration; None for a cron expression."""
        return read_interval(self.spec)

    @property
    def vars(self) -> dict[str, Any]:
        """The variables of its instances: a new dict at each access."""
        value: dict[str, Any] = parse_json(self.vars_json)
        return value

    def build_timetable(self) -> Timetable:
        """Return its times.

        Raises:
            TimetableError: If this process does not know its time zone.
        """
        return Timetable(self.spec, self.timezone)


SCHEDULE_READER = RowReader(ScheduleRecord, {"": SCHEDULE})
SCHEDULE_ENCODER = RowEncoder(SCHEDULE.columns)
