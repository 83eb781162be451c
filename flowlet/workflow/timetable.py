"""The nominal times of a schedule: a cron expression in a time zone, or an interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from flowlet.clock import format_duration, is_calendar_time, parse_duration, to_datetime, to_microseconds
from flowlet.errors import DurationError, TimetableError
from flowlet.text import format_suggestion

__all__ = ["MAX_CRON_LENGTH", "Timetable", "build_interval_spec", "read_cron", "read_interval"]

MAX_CRON_LENGTH = 200
"""Characters of a cron expression."""
_EVERY_PREFIX = "every "
"""How the text of an interval begins, as ``every 15 minutes``; any other text is a cron expression."""
MIN_INTERVAL, MAX_INTERVAL = timedelta(seconds=1), timedelta(days=366)
ANCHOR = to_microseconds(datetime(1970, 1, 5, tzinfo=UTC))
"""From when intervals are counted: a Monday, at midnight UTC."""
FIRST_LOOKBACK = 60_000_000
"""How far before a time its predecessor is looked for at first, in microseconds; then four times as far, and so on."""
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")


def build_interval_spec(every: str | timedelta) -> str:
    """Return the text of an interval, as ``every 15 minutes``.

    Raises:
        TimetableError: If it is no duration of whole seconds from a second to 366 days.
    """
    try:
        interval = parse_duration(every)
    except DurationError as error:
        raise TimetableError("every", str(error).rstrip(".")) from None
    if not MIN_INTERVAL <= interval <= MAX_INTERVAL or interval % MIN_INTERVAL:
        raise TimetableError("every", "has to be a duration of whole seconds, from 1 second to 366 days")
    return f"{_EVERY_PREFIX}{format_duration(interval)}"


def read_cron(spec: str) -> str | None:
    """Return the cron expression of a spec; None if it is an interval."""
    return None if spec.startswith(_EVERY_PREFIX) else spec


def read_interval(spec: str) -> str | None:
    """Return the interval of a spec, as a duration; None if it is a cron expression."""
    return spec.removeprefix(_EVERY_PREFIX) if spec.startswith(_EVERY_PREFIX) else None


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a schedule fires. Times are microseconds since 1970 UTC.

    A cron expression with a fixed hour names times of the clock on the wall: one that does not exist, because clocks
    are set forward, is the first time after the gap, and one that exists twice is the first of the two. With ``*`` as
    the hour, and for an interval, real hours pass: there is one time for each of them. Intervals are counted from
    1970-01-05 00:00 UTC, a Monday, so every process has the same times and a restart does not move them.

    Attributes:
        spec: Five fields of cron, an alias as ``@daily``, or an interval as ``every 15 minutes``.
        timezone: The name of a time zone, as ``Europe/Berlin``.

    Raises:
        TimetableError: If one of them cannot be used; names the field and the cure.
    """

    spec: str
    timezone: str = "UTC"
    _zone: tzinfo = field(init=False, repr=False, compare=False)
    _interval: int | None = field(init=False, repr=False, compare=False, default=None)
    _expression: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", _find_zone(self.timezone))
        if self.every is not None:
            spec = build_interval_spec(self.every)
            object.__setattr__(self, "_interval", to_microseconds(parse_duration(spec.removeprefix(_EVERY_PREFIX))))
        else:
            object.__setattr__(self, "spec", " ".join(self.spec.split()))
            object.__setattr__(self, "_expression", _read_expression(self.spec))

    @property
    def cron(self) -> str | None:
        """The cron expression; None for an interval."""
        return read_cron(self.spec)

    @property
    def every(self) -> str | None:
        """The interval, as a duration; None for a cron expression."""
        return read_interval(self.spec)

    @property
    def interval(self) -> int | None:
        """The interval in microseconds; None for a cron expression."""
        return self._interval

    def find_next(self, after: int) -> int | None:
        """Return the first time after another one; None if there is none within fifty years."""
        if self._interval is not None:
            found = ANCHOR + ((after - ANCHOR) // self._interval + 1) * self._interval
            return found if is_calendar_time(found) else None
        try:
            # Of the naive times that the iterator counts in, some lie before the second half of a doubled hour.
            for time in CronSim(self._expression, to_datetime(after).astimezone(self._zone)):
                if (at := to_microseconds(time)) > after:
                    return at
        except (OverflowError, ValueError):  # beyond the year 9999
            return None
        return None

    def list_next(self, after: int, count: int) -> list[int]:
        """Return the next times after another one, at most so many."""
        found: list[int] = []
        while len(found) < count and (time := self.find_next(found[-1] if found else after)) is not None:
            found.append(time)
        return found

    def list_between(self, first: int, last: int, *, limit: int) -> list[int]:
        """Return the times from the first to the last, both included, at most so many."""
        found: list[int] = []
        time = self.find_next(first - 1)
        while time is not None and time <= last and len(found) < limit:
            found.append(time)
            time = self.find_next(time)
        return found

    def find_latest(self, until: int, *, since: int) -> int:
        """Return the latest time that is not after ``until``; ``since``, which is one of the times, if there is none.

        It does not go through all times in between: of a year of minutes there are half a million.
        """
        found, lookback = since, FIRST_LOOKBACK
        while until - lookback > since:
            near = self.find_next(until - lookback)
            if near is not None and near <= until:
                found = near
                break
            lookback *= 4
        while (time := self.find_next(found)) is not None and time <= until:
            found = time
        return found

    def format_time(self, time: int) -> str:
        """Return a time as it is written in external ids: that of the time zone, with its offset from UTC."""
        local = to_datetime(time).astimezone(self._zone)
        if local.microsecond:
            return local.isoformat(timespec="microseconds")
        return local.isoformat(timespec="seconds" if local.second else "minutes")


def _find_zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError, TypeError):  # unknown, a folder, an absolute path; no text at all
        guess = format_suggestion(str(name), available_timezones(), cutoff=0.7)
        fault = f"no time zone is called {str(name)[:60]!r}; names look like 'Europe/Berlin' or 'UTC'.{guess}"
        raise TimetableError("timezone", fault.rstrip(".")) from None


def _read_expression(spec: str) -> str:
    """Return a cron expression in the form in which the iterator applies the rules of ``Timetable`` to it."""
    text = _ALIASES.get(spec.lower(), spec)
    parts = text.split()
    if len(parts) != len(_FIELDS) or len(text) > MAX_CRON_LENGTH:
        raise TimetableError(
            "cron", f"has to have five fields ({', '.join(_FIELDS)}), as '0 3 * * *', or be an alias as '@daily'"
        )
    minute, hour, *days = parts
    if any(term in ("*", "*/1") for term in hour.split(",")):
        hour = "*"
    else:
        # The iterator takes an asterisk in either field to mean that real hours pass.
        minute, hour = _spell_out(minute, "0-59"), _spell_out(hour, "0-23")
    expression = " ".join((minute, hour, *days))
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError) as error:
        field_name = str(error).removeprefix("Bad ").replace("day-of-", "day of the ")
        raise TimetableError("cron", f"its {field_name} cannot be read, or never occurs") from None
    return expression


def _spell_out(field_text: str, whole: str) -> str:
    return ",".join(f"{whole}{term[1:]}" if term.startswith("*") else term for term in field_text.split(","))
