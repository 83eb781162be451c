"""How long instances that have ended are kept: a length of time, or always."""

from __future__ import annotations

import re
from datetime import timedelta

from flowlet.clock import Duration, format_duration, parse_duration
from flowlet.errors import DurationError

__all__ = ["ALWAYS", "MIN_KEEP_PERIOD", "OFF", "format_keep_period", "normalize_keep_period", "parse_keep_period"]

ALWAYS = timedelta.max
"""The period of what is never deleted."""
OFF = timedelta(0)
"""The period of what is not kept at all."""
MIN_KEEP_PERIOD = timedelta(minutes=1)
"""The shortest period: what has just ended may still be committed by others, read by waits, and streamed as events."""
DAYS_PER_YEAR = 365

_YEARS = re.compile(r"(\d{1,2})\s*years?", re.ASCII | re.IGNORECASE)


def parse_keep_period(value: Duration, *, may_be_off: bool = False) -> timedelta:
    """Return a period: a duration, a number of years of 365 days each, or ``ALWAYS`` for "always".

    Args:
        value: The text, or a timedelta.
        may_be_off: Whether "off" is accepted too, for ``OFF``.

    Raises:
        DurationError: If it is none of these, or shorter than a minute.
    """
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("always", ALWAYS):
        return ALWAYS
    if word == "off" and may_be_off:
        return OFF
    years = _YEARS.fullmatch(word) if isinstance(word, str) else None
    period = timedelta(days=DAYS_PER_YEAR * int(years[1])) if years else parse_duration(value)
    if period < MIN_KEEP_PERIOD:
        raise DurationError(f"{value!r} is too short: keep it for at least a minute, or 'always'.")
    return period


def format_keep_period(period: timedelta) -> str:
    """Return a period in words that ``parse_keep_period`` accepts."""
    if period == ALWAYS:
        return "always"
    return "off" if period == OFF else format_duration(period)


def normalize_keep_period(value: Duration, *, may_be_off: bool = False) -> str:
    """Return a period in the words of ``format_keep_period``.

    Args:
        value: As for ``parse_keep_period``.
        may_be_off: As for ``parse_keep_period``.

    Raises:
        DurationError: As ``parse_keep_period``.
    """
    return format_keep_period(parse_keep_period(value, may_be_off=may_be_off))
