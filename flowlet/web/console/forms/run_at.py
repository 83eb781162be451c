"""The time of a run as users enter it: a delay, or a time in UTC."""

from __future__ import annotations

import re
from datetime import datetime

from flowlet.clock import is_calendar_time, parse_duration, parse_time, to_microseconds
from flowlet.errors import DurationError

__all__ = ["parse_run_at"]

_DATE_PATTERN = re.compile(r"\d{4}-", re.ASCII)
_MAX_LENGTH_SHOWN = 60


def parse_run_at(text: str) -> datetime | str | None:
    """Return an entered delay or time as operations accept it; None, which means now, if the field is empty.

    Raises:
        DurationError: If the text is neither a duration nor a time.
    """
    entered = text.strip()
    if not entered:
        return None
    try:
        if not _DATE_PATTERN.match(entered):
            parse_duration(entered)
            return entered
        found = parse_time(entered)
        if not is_calendar_time(to_microseconds(found)):
            raise ValueError(entered)
    except (DurationError, ValueError, OverflowError):
        shown = entered if len(entered) <= _MAX_LENGTH_SHOWN else f"{entered[:_MAX_LENGTH_SHOWN]}…"
        raise DurationError(
            f"Not before: {shown!r} is not a time. Enter '10 minutes', '2 days', or 2026-11-24 18:00 (UTC). "
            "Nothing was changed."
        ) from None
    return found
