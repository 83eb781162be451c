"""When a schedule is looked at next: its next nominal time, and the part of the jitter that belongs to it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from flowlet.store.schedules.table import ScheduleRecord

__all__ = ["compute_fire_time", "plan_next_time", "resume_times"]


def compute_fire_time(name: str, time: int, jitter: int) -> int:
    """Return when a schedule fires for a nominal time: later by less than the jitter, by the same in every process.

    Args:
        name: The schedule's name.
        time: The nominal time, in microseconds since 1970 UTC.
        jitter: The length of the jitter, in microseconds; 0 for none.
    """
    if not jitter:
        return time
    digest = hashlib.sha256(f"{name}\n{time}".encode()).digest()
    return time + int.from_bytes(digest[:8], "big") % jitter


def plan_next_time(record: ScheduleRecord, *, after: int) -> ScheduleRecord:
    """Return a schedule with its first nominal time after another one as the next.

    Raises:
        TimetableError: If this process does not know its time zone.
    """
    return resume_times(replace(record, next_time=record.build_timetable().find_next(after)))


def resume_times(record: ScheduleRecord) -> ScheduleRecord:
    """Return a schedule that is looked at next at its next time; never while it is paused or disabled."""
    if record.next_time is None or not record.is_active:
        return replace(record, next_fire=None)
    return replace(record, next_fire=compute_fire_time(record.name, record.next_time, record.jitter))
