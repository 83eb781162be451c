"""What a schedule fires when it is due: which of the times that have passed, and what becomes of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.definition import Definition
from flowlet.instance.new_instance import NewInstance
from flowlet.store.schedules.firing import PlannedFiring
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.schedules.times import compute_fire_time, resume_times
from flowlet.workflow.schedule import CatchUp, Overlap
from flowlet.workflow.timetable import Timetable

__all__ = ["ON_TIME_MICROSECONDS", "FiringPlan", "build_scheduled_instance", "plan_firing", "plan_times"]

ON_TIME_MICROSECONDS = 60 * MICROSECONDS_PER_SECOND
"""How late a time is fired that has not been missed: ``catch_up`` is about those that are later."""


@dataclass(frozen=True, slots=True)
class FiringPlan:
    """The times of a schedule that is due.

    Attributes:
        fired: The nominal times for which instances are created, in order.
        dropped: The first of the times that are passed over; None if there is none.
        pending: The time that waits for the end of the instance before it; None for none.
        next_time: The next nominal time; None if there is none any more.
    """

    fired: tuple[int, ...]
    dropped: int | None
    pending: int | None
    next_time: int | None


def plan_times(record: ScheduleRecord, timetable: Timetable, *, now: int, is_running: bool, limit: int) -> FiringPlan:
    """Return what a schedule fires now.

    A time that is at most a minute late is on time, and is never missed. Of those that are later, ``catch_up`` says
    which are fired; a schedule that makes up for all of them fires as many as it may, and is due again at once.

    Args:
        record: The schedule.
        timetable: Its times.
        now: The store's time, in microseconds since 1970 UTC.
        is_running: Whether the instance that it created last has not ended.
        limit: How many instances it may create; at least 1.
    """
    passed, next_time = _list_passed(record, timetable, now=now, limit=limit)
    wanted = _apply_catch_up(record, passed, now=now)[:limit]
    if wanted and wanted[-1] != passed[-1].time:
        next_time = timetable.find_next(wanted[-1])
    fired, pending = _apply_overlap(record, wanted, is_running=is_running)
    kept = {*fired, pending, next_time}
    first = record.next_time if passed else None
    dropped = next((time for time in (first, *(one.time for one in passed)) if time not in kept), None)
    return FiringPlan(tuple(fired), dropped, pending, next_time)


class _PassedTime(NamedTuple):
    """A nominal time, and when it was due: not before those in front of it, whose part of the jitter may be larger."""

    time: int
    due: int


def _list_passed(
    record: ScheduleRecord, timetable: Timetable, *, now: int, limit: int
) -> tuple[list[_PassedTime], int | None]:
    """Return the nominal times that are due, without those of which it is clear that they are passed over.

    The second value is the first time that is not among them; None if there is none any more.
    """
    time = record.next_time
    if time is None or compute_fire_time(record.name, time, record.jitter) > now:
        return [], time
    if record.catch_up is not CatchUp.ALL:
        # Of what is surely too late only the latest time matters.
        time = timetable.find_latest(now - ON_TIME_MICROSECONDS - record.jitter - 1, since=time)
    passed: list[_PassedTime] = []
    while time is not None and (due := compute_fire_time(record.name, time, record.jitter)) <= now:
        if record.catch_up is CatchUp.ALL and len(passed) == limit:
            break
        passed.append(_PassedTime(time, max(due, passed[-1].due) if passed else due))
        time = timetable.find_next(time)
    return passed, time


def _apply_catch_up(record: ScheduleRecord, passed: list[_PassedTime], *, now: int) -> list[int]:
    times = [one.time for one in passed]
    if record.catch_up is CatchUp.ALL:
        return times
    on_time = [one.time for one in passed if now - one.due <= ON_TIME_MICROSECONDS]
    return on_time if on_time or record.catch_up is CatchUp.NONE else times[-1:]


def _apply_overlap(record: ScheduleRecord, wanted: list[int], *, is_running: bool) -> tuple[list[int], int | None]:
    """Return the times that are fired, and the one that waits."""
    queue = wanted if record.pending is None else [record.pending, *wanted]
    if record.overlap is Overlap.ALLOW:
        return queue, None
    if record.overlap is Overlap.SKIP:
        return ([] if is_running else queue[:1]), None
    if is_running:
        return [], queue[0] if queue else None
    return queue[:1], queue[1] if len(queue) > 1 else None


def plan_firing(
    record: ScheduleRecord,
    definition: Definition,
    *,
    now: int,
    is_running: bool,
    limit: int,
) -> tuple[PlannedFiring, FiringPlan]:
    """Return what is to become of a schedule that is due, and its times.

    Args:
        record: The schedule.
        definition: Its workflow.
        now: As for ``plan_times``.
        is_running: As for ``plan_times``.
        limit: As for ``plan_times``.

    Raises:
        TimetableError: If this process does not know its time zone.
        VariablesError: If its variables do not fit the workflow's model in this version.
    """
    timetable = record.build_timetable()
    plan = plan_times(record, timetable, now=now, is_running=is_running, limit=limit)
    changed = replace(
        record,
        next_time=plan.next_time,
        pending=plan.pending,
        last_fire=plan.fired[-1] if plan.fired else record.last_fire,
        fault=None,
    )
    instances = tuple(
        build_scheduled_instance(record, definition, timetable.format_time(time), now=now) for time in plan.fired
    )
    due = tuple(compute_fire_time(record.name, time, record.jitter) for time in plan.fired)
    return PlannedFiring(resume_times(changed), instances, due), plan


def build_scheduled_instance(
    record: ScheduleRecord, definition: Definition, time: str, *, now: int, username: str | None = None
) -> NewInstance:
    """Return the instance of one time of a schedule.

    Args:
        record: The schedule.
        definition: Its workflow.
        time: The nominal time, as it is written in external ids.
        now: The store's time, in microseconds since 1970 UTC.
        username: Who fires it; None for an executor.

    Raises:
        VariablesError: If its variables do not fit the workflow's model in this version.
    """
    external_id = f"{record.name}@{time}"
    return definition.build_instance(record.vars, now=now, key=record.name, external_id=external_id, username=username)
