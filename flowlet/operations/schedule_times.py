"""The times of schedules as operations show and backfill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from flowlet.clock import to_microseconds
from flowlet.definition.definition import Definition
from flowlet.engine.schedules.firing_plan import build_scheduled_instance
from flowlet.errors import RefusedError, TimetableError, VariablesError
from flowlet.instance.new_instance import Created, NewInstance
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.schedules.times import compute_fire_time
from flowlet.workflow.timetable import Timetable

__all__ = [
    "BackfillResult",
    "ScheduledTime",
    "build_instances",
    "describe_schedule",
    "list_backfilled_times",
    "list_scheduled_times",
]

MAX_BACKFILLED = 1_000
"""How many times one backfill has at most."""
MAX_PREVIEWED = 100
"""How many next times are computed at most."""


class ScheduledTime(NamedTuple):
    """A time of a schedule, in microseconds since 1970 UTC.

    Attributes:
        time: The nominal time.
        fire: When it is fired: later by its part of the jitter.
        text: The nominal time in the schedule's time zone, as it is written in external ids.
    """

    time: int
    fire: int
    text: str


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """The instances of a backfill, by their nominal times in order; some may have existed already."""

    instances: tuple[Created, ...]

    @property
    def created_count(self) -> int:
        """How many of them this backfill has created."""
        return sum(created.is_new for created in self.instances)


def describe_schedule(record: ScheduleRecord) -> str:
    """Return how messages name a schedule."""
    return f"schedule {record.name!r}"


def list_scheduled_times(
    name: str, timetable: Timetable, jitter: int, *, after: int, count: int
) -> list[ScheduledTime]:
    """Return the next times of a schedule.

    Args:
        name: The schedule's name.
        timetable: Its nominal times.
        jitter: The length of its jitter, in microseconds.
        after: After when, in microseconds since 1970 UTC.
        count: How many at most; never more than 100.
    """
    return [
        ScheduledTime(time, compute_fire_time(name, time, jitter), timetable.format_time(time))
        for time in timetable.list_next(after, min(count, MAX_PREVIEWED))
    ]


def build_instances(
    record: ScheduleRecord, definition: Definition, times: Sequence[int], *, now: int, username: str
) -> list[NewInstance]:
    """Return the instances of some times of a schedule that a person fires.

    Args:
        record: The schedule.
        definition: Its workflow.
        times: The nominal times, in microseconds since 1970 UTC.
        now: The store's time.
        username: Who fires it.

    Raises:
        RefusedError: If its variables do not fit the workflow's model in this version, or this process does not know
            its time zone.
    """
    try:
        texts = map(record.build_timetable().format_time, times)
        return [build_scheduled_instance(record, definition, text, now=now, username=username) for text in texts]
    except (TimetableError, VariablesError) as error:
        raise RefusedError(f"{describe_schedule(record)} cannot be fired: {error}") from None


def list_backfilled_times(record: ScheduleRecord, first: datetime, last: datetime, *, now: int) -> list[int]:
    """Return the nominal times of a backfill, in order.

    Args:
        record: The schedule.
        first: From when; included.
        last: Until when; included.
        now: The store's time, in microseconds since 1970 UTC.

    Raises:
        VariablesError: If the times are not in order, are in the future, have no time zone, or are more than 1,000.
        RefusedError: If this process does not know the schedule's time zone.
    """
    faults: dict[str, str] = {}
    for field, value in (("from", first), ("to", last)):
        if value.tzinfo is None:
            faults[field] = "has no time zone: give one, as 2026-03-29T03:00+02:00"
    if not faults and last < first:
        faults["to"] = "is before the beginning"
    if not faults and to_microseconds(last) > now:
        faults["to"] = "is in the future: a backfill creates what is past"
    times: list[int] = []
    if not faults:
        try:
            timetable = record.build_timetable()
        except TimetableError as error:
            raise RefusedError(f"{describe_schedule(record)} cannot be fired: {error}") from None
        times = timetable.list_between(to_microseconds(first), to_microseconds(last), limit=MAX_BACKFILLED + 1)
        if len(times) > MAX_BACKFILLED:
            end = timetable.format_time(times[MAX_BACKFILLED - 1])
            faults["to"] = f"there are more than {MAX_BACKFILLED:,} times: end at {end}, and backfill the rest then"
    if faults:
        raise VariablesError(f"a backfill of {describe_schedule(record)}", faults)
    return times
