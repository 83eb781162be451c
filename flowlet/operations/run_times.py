"""When an operation lets an instance run: at once, at a time, or after a duration."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flowlet.clock import Duration, limit_time, parse_duration, to_microseconds
from flowlet.errors import VariablesError
from flowlet.instance.instance import Status
from flowlet.instance.new_instance import NewInstance

__all__ = ["resolve_time", "schedule_first_run"]


def resolve_time(when: datetime | Duration | None, now: int) -> int | None:
    """Return a time, or a duration from now, as microseconds since 1970 UTC, none after the year 9999; None: at once.

    Raises:
        DurationError: If ``when`` is a text that is not a duration.
        ValueError: If ``when`` is a time without a time zone.
    """
    if when is None:
        return None
    at = to_microseconds(when) if isinstance(when, datetime) else now + to_microseconds(parse_duration(when))
    return limit_time(at)


def schedule_first_run(new: NewInstance, run_at: int | None) -> NewInstance:
    """Return a new instance whose first run is at a time, in microseconds since 1970 UTC; None for at once.

    Raises:
        VariablesError: If the instance starts in a manual state: it has no first run.
    """
    if run_at is None:
        return new
    if new.status is Status.WAITING:
        fault = "its start state waits for a person and has no first run: leave it out"
        raise VariablesError(f"a new {new.type}", {"nextActivation": fault})
    return replace(new, next_activation_us=max(run_at, new.next_activation_us or run_at))
