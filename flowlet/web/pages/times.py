"""Times as pages show them: near ones by their distance from now, the exact one in UTC beside them.

The texts are as ``static/console.js`` writes them, which keeps them fresh and turns UTC into the reader's own zone.
"""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from flowlet.clock import microseconds, moment
from flowlet.web.services import services

__all__ = ["ago", "at", "distance", "exact", "for_", "now", "took"]

SECOND = 1_000_000
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_NEVER = Markup('<span class="muted">never</span>')
_TIME = Markup('<time datetime="{}" title="{}" data-as="{}">{}</time>')


def now() -> int:
    """Return the present, in microseconds since 1970 UTC."""
    return services().store.clock.now()


def ago(value: int | datetime | None) -> Markup:
    """Return a time by its distance from now: "2 min ago", "in 14 s", "now"; None is "never".

    Args:
        value: In microseconds since 1970 UTC, as the store has it, or with a time zone.
    """
    return _time(value, "ago")


def for_(value: int | datetime | None) -> Markup:
    """Return how long ago a time was, without a word: the "14 s" of "in Packing for 14 s"."""
    return _time(value, "for")


def at(value: int | datetime | None) -> Markup:
    """Return a time as a clock shows it: "12:28:04", on another day than today "Nov 23, 12:28:04"."""
    return _time(value, "at")


def took(milliseconds: float | None) -> str:
    """Return a length of time in its two largest units: "840 ms", "12.4 s", "1 min 12 s", "2 h 5 min"; None is ""."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s".replace(".0 ", " ")
    rest, parts = round(milliseconds / 1000), []
    for size, unit in _UNITS:
        amount, rest = divmod(rest, size)
        parts.append(f"{amount} {unit}" if amount else "")
    first = next(place for place, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def distance(seconds: float) -> str:
    """Return a distance in its largest unit, rounded down: "0 s", "14 s", "2 min", "3 h", "12 d"."""
    size, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{int(seconds // size)} {unit}"


def exact(value: int) -> str:
    """Return a time to the second, in UTC."""
    return f"{moment(value):%Y-%m-%d %H:%M:%S} UTC"


def _time(value: int | datetime | None, shape: str) -> Markup:
    if value is None:
        return _NEVER
    micros = microseconds(value) if isinstance(value, datetime) else value
    written = moment(micros).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _TIME.format(written, exact(micros), shape, _text(micros, now(), shape))


def _text(micros: int, present: int, shape: str) -> str:
    if shape == "at":
        is_today = moment(micros).date() == moment(present).date()
        return f"{moment(micros):%H:%M:%S}" if is_today else f"{moment(micros):%b} {moment(micros):%-d, %H:%M:%S}"
    seconds = (micros - present) / SECOND
    text = distance(abs(seconds))
    if shape == "for":
        return text
    if abs(seconds) < 1:
        return "now"
    return f"in {text}" if seconds > 0 else f"{text} ago"
