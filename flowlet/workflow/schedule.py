"""``Schedule``: when instances of a workflow are created by themselves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

from flowlet.clock import Duration, parse_duration
from flowlet.errors import DurationError, TimetableError
from flowlet.text import MAX_NAME_LENGTH, find_text_fault, is_one_line
from flowlet.workflow.timetable import Timetable, build_interval_spec

__all__ = ["RESERVED_NAME", "CatchUp", "Overlap", "Schedule", "find_schedule_faults"]

MAX_JITTER = timedelta(days=1)
RESERVED_NAME = "preview"
"""The last segment of an endpoint's path, where a schedule's name is expected too."""


class Overlap(StrEnum):
    """What a schedule does at a time at which the instance that it created last has not ended."""

    ALLOW = "allow"
    """Another instance is created."""
    SKIP = "skip"
    """None is created for this time."""
    WAIT = "wait"
    """It is created when the other one has ended; of several times that wait, only the first one."""


class CatchUp(StrEnum):
    """Which times a schedule makes up for that could not be fired within a minute."""

    NONE = "none"
    LAST = "last"
    """The latest one, unless a later time is fired anyway."""
    ALL = "all"


class Schedule:
    """When instances of a workflow are created by themselves.

        workflow = Workflow("Report", schedules=[Schedule("0 3 * * *", name="nightly", timezone="Europe/Berlin")])

    An instance has the schedule's name as its business key, and the external id ``nightly@2026-03-29T03:00+02:00``: the
    name, and the time for which it was created. So each time creates one instance at most. The arguments are checked
    when the module is loaded, or the schedule is created: see ``Timetable`` for daylight saving.

    Args:
        cron: Five fields of cron (minute, hour, day of the month, month, day of the week), or ``@daily`` and the like.
        name: Its name, unique over all workflows, at most 120 characters long, and without a slash.
        every: An interval instead of ``cron``, counted from 1970-01-05 00:00 UTC, a Monday.
        timezone: The time zone of ``cron``.
        overlap: If the instance that it created last has not ended: "allow" another one, "skip" this time, or "wait"
            until it has ended.
        catch_up: Of the times that could not be fired within a minute, because no executor ran or the schedule was
            paused: fire "none" later, the "last" one, or "all", which cannot be combined with "wait".
        jitter: Each time fires later by a part of this length, at most a day; the same part in every process.
        vars: The variables of its instances; None means an empty object.
    """

    def __init__(
        self,
        cron: str | None = None,
        *,
        name: str,
        every: Duration | None = None,
        timezone: str = "UTC",
        overlap: Literal["allow", "skip", "wait"] = "allow",
        catch_up: Literal["none", "last", "all"] = "last",
        jitter: Duration | None = None,
        vars: BaseModel | Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.cron = cron
        self.every = every
        self.timezone = timezone
        self.overlap = overlap
        self.catch_up = catch_up
        self.jitter = jitter
        self.vars = vars
        self.line = _find_line()

    def __repr__(self) -> str:
        when = repr(self.cron) if self.every is None else f"every={self.every!r}"
        return f"Schedule({when}, name={self.name!r})"

    def build_timetable(self) -> Timetable:
        """Return its times.

        Raises:
            TimetableError: If the cron expression, the interval or the time zone cannot be used.
        """
        if (self.cron is None) == (self.every is None):
            raise TimetableError("cron", "give either cron or every, as '0 3 * * *' or every='15 minutes'")
        if self.every is not None:
            return Timetable(build_interval_spec(self.every), self.timezone)
        if not isinstance(self.cron, str):
            raise TimetableError("cron", f"has to be a text, not {type(self.cron).__name__}")
        return Timetable(self.cron, self.timezone)

    def parse_jitter(self) -> timedelta:
        """Return the length of the jitter.

        Raises:
            DurationError: If it is not a duration.
        """
        return timedelta() if self.jitter is None else parse_duration(self.jitter)


def find_schedule_faults(schedule: Schedule) -> dict[str, str]:
    """Return the faults of a schedule by its fields, without those of its variables; fields are named as in the API."""
    faults: dict[str, str] = {}
    if fault := _find_name_fault(schedule.name):
        faults["name"] = fault
    interval = None
    try:
        interval = schedule.build_timetable().interval
    except TimetableError as error:
        faults[error.field] = error.fault
    for field, kind, value in (("overlap", Overlap, schedule.overlap), ("catchUp", CatchUp, schedule.catch_up)):
        if value not in list(kind):
            faults[field] = f"has to be one of {', '.join(kind)}, not {str(value)[:60]!r}"
    if str(schedule.overlap) == Overlap.WAIT and str(schedule.catch_up) == CatchUp.ALL:
        faults["catchUp"] = "cannot be 'all' with overlap 'wait', which keeps one time only: use 'last' or 'none'"
    try:
        jitter = schedule.parse_jitter()
    except DurationError as error:
        faults["jitter"] = str(error).rstrip(".")
        return faults
    if jitter > MAX_JITTER:
        faults["jitter"] = "has to be at most a day"
    elif interval is not None and jitter and jitter >= timedelta(microseconds=interval):
        faults["jitter"] = "has to be shorter than the interval"
    return faults


def _find_name_fault(name: object) -> str | None:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH:
        return f"has to be a text of 1 to {MAX_NAME_LENGTH} characters"
    if name != name.strip():
        return "begins or ends with white space"
    if name in (".", ".."):
        return f"cannot be {name!r}: clients remove it from every URL"
    if name == RESERVED_NAME:
        return f"cannot be {name!r}: an endpoint of the API has this name"
    if "/" in name:
        return "contains a slash, which separates the parts of its URL"
    if fault := find_text_fault(name):
        return fault
    return None if is_one_line(name) else "contains a line end or another control character"


def _find_line() -> int:
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame and frame.f_back else None
    return caller.f_lineno if caller else 0
