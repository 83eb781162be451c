"""Times as pages show them: relative to now, with the exact time in UTC as a tooltip.

``static/console.js`` writes the same texts: it keeps them up to date, and converts UTC to the reader's time zone.
"""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from flowlet.clock import to_datetime, to_microseconds
from flowlet.web.services import get_services

__all__ = [
    "format_ago",
    "format_clock",
    "format_distance",
    "format_elapsed",
    "format_exact",
    "format_milliseconds",
    "now",
]

SECOND_MICROSECONDS = 1_000_000
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_NEVER = Markup('<span class="muted">never</span>')
_TIME = Markup('<time datetime="{}" title="{}" data-as="{}">{}</time>')


def now() -> int:
    """Return the current time, in microseconds since 1970 UTC."""
    return get_services().store.clock.now()


def format_ago(value: int | datetime | None) -> Markup:
    """Return a time relative to now: "2 min 5 s ago", "in 14 s", "now"; None is "never".

    Args:
        value: Microseconds since 1970 UTC, as in the store, or an aware datetime.
    """
    return _render_time(value, "ago")


def format_elapsed(value: int | datetime | None) -> Markup:
    """Return the time since then, without "ago": the "14 s" of "in Packing for 14 s"."""
    return _render_time(value, "for")


def format_clock(value: int | datetime | None) -> Markup:
    """Return a time of day: "12:28:04", or "Nov 23, 12:28:04" if it is not today."""
    return _render_time(value, "at")


def format_milliseconds(milliseconds: float | None) -> str:
    """Return a duration in its two largest units: "840 ms", "12.4 s", "1 min 12 s", "2 h 5 min"; None is ""."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s".replace(".0 ", " ")
    return format_distance(round(milliseconds / 1000))


def format_distance(seconds: float) -> str:
    """Return a duration in its two largest units, of whole seconds: "0 s", "14 s", "2 min 5 s", "2 d 23 h", "12 d"."""
    rest, parts = int(seconds), []
    for size, unit in _UNITS:
        amount, rest = divmod(rest, size)
        parts.append(f"{amount} {unit}" if amount else "")
    first = next((place for place, part in enumerate(parts) if part), None)
    return "0 s" if first is None else " ".join(part for part in parts[first : first + 2] if part)


def format_exact(value: int) -> str:
    """Return a time to the second, in UTC."""
    return f"{to_datetime(value):%Y-%m-%d %H:%M:%S} UTC"


def _render_time(value: int | datetime | None, shape: str) -> Markup:
    if value is None:
        return _NEVER
    micros = to_microseconds(value) if isinstance(value, datetime) else value
    written = to_datetime(micros).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _TIME.format(written, format_exact(micros), shape, _format_relative(micros, now(), shape))


def _format_relative(micros: int, now_microseconds: int, shape: str) -> str:
    if shape == "at":
        is_today = to_datetime(micros).date() == to_datetime(now_microseconds).date()
        return (
            f"{to_datetime(micros):%H:%M:%S}"
            if is_today
            else f"{to_datetime(micros):%b} {to_datetime(micros):%-d, %H:%M:%S}"
        )
    seconds = (micros - now_microseconds) / SECOND_MICROSECONDS
    text = format_distance(abs(seconds))
    if shape == "for":
        return text
    if abs(seconds) < 1:
        return "now"
    return f"in {text}" if seconds > 0 else f"{text} ago"
