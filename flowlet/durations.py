"""Durations as people write them: "10 minutes", "1h30m", "500ms", "PT10M"."""

from __future__ import annotations

import re
from datetime import timedelta

from flowlet.errors import DurationError

__all__ = ["Duration", "format_duration", "parse_duration"]

Duration = str | timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "millisecond": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "sec": timedelta(seconds=1),
    "second": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "minute": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "hour": timedelta(hours=1),
    "d": timedelta(days=1),
    "day": timedelta(days=1),
    "w": timedelta(weeks=1),
    "week": timedelta(weeks=1),
}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)(?:\s*,\s*(?=\d)|\s+and\s+|\s*)", re.ASCII)
_ISO = re.compile(
    r"P(?=.)(?:(?P<w>\d{1,9})W)?(?:(?P<d>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_MAX_DURATION = timedelta(days=36525)
_EXAMPLES = "Write it like '10 minutes', '1h30m', '500ms', '2 days' or 'PT10M'"


def parse_duration(value: Duration) -> timedelta:
    """Return the duration that a text describes; a timedelta is returned unchanged.

    Units are ms, s, m (minutes), h, d and w, also written out, and can be combined ("1h 30m"). ISO 8601 durations are
    accepted up to weeks; months and years are rejected, because their length varies.

    Raises:
        DurationError: If a part of the text is not understood, has no unit, or the duration is negative or longer than
            a hundred years.
    """
    parsed = value if isinstance(value, timedelta) else _parse_text(value)
    if parsed is None:
        raise DurationError(f"{value!r} is not a duration. {_EXAMPLES}.")
    if not timedelta(0) <= parsed <= _MAX_DURATION:
        raise DurationError(f"{value!r} is not between zero and a hundred years.")
    return parsed


def format_duration(value: timedelta) -> str:
    """Return a duration in words that ``parse_duration`` accepts: "1 hour 30 minutes", "0 seconds"."""
    parts = []
    for name in ("day", "hour", "minute", "second"):
        amount, value = divmod(value, _UNITS[name])
        if amount:
            parts.append(f"{amount} {name}{'s' if amount != 1 else ''}")
    if value:
        parts.append(f"{value / timedelta(milliseconds=1):g} milliseconds")
    return " ".join(parts) or "0 seconds"


def _parse_text(text: str) -> timedelta | None:
    if not isinstance(text, str):
        raise DurationError(f"{text!r} is a {type(text).__name__}, not a duration. {_EXAMPLES}.")
    text = text.strip()
    if iso := _ISO.fullmatch(text):
        parts = [(amount, unit) for unit, amount in iso.groupdict().items() if amount]
    else:
        parts = _PART.findall(text.lower())
        if "".join(match[0] for match in _PART.finditer(text.lower())) != text.lower():
            return None
    if not parts or any(_find_unit(unit) is None for _, unit in parts):
        return None
    try:
        return sum((float(amount) * (_find_unit(unit) or timedelta(0)) for amount, unit in parts), timedelta(0))
    except OverflowError:
        return timedelta.max


def _find_unit(name: str) -> timedelta | None:
    return _UNITS.get(name) or (_UNITS.get(name[:-1]) if len(name) > 3 and name.endswith("s") else None)
