"""The limits of a state or a workflow: how many attempts run at once, how often they begin, and when they stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flowlet.clock import Duration, parse_duration

__all__ = ["Breaker", "Limit", "Rate"]

MAX_COUNT = 100_000
MIN_PERIOD, MAX_PERIOD = timedelta(milliseconds=1), timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many attempts run at once, over all executors.

    Attributes:
        count: The number, from 1 to 100,000.
        by: A top-level variable with a single value, such as ``"customer"``: the number then holds for each of its
            values. None for one number for all.

    Raises:
        ValueError: If the number is out of range, or ``by`` is not the name of a variable.
    """

    count: int
    by: str | None = None

    def __post_init__(self) -> None:
        _check_count("Limit", self.count)
        if self.by is not None and not (isinstance(self.by, str) and self.by.strip()):
            raise ValueError(f"Limit(by={self.by!r}): by is the name of a variable, such as by='customer'")


@dataclass(frozen=True, slots=True)
class Rate:
    """How many attempts begin in a length of time, over all executors. Retries count too.

    After a quiet time so many begin at once, and then one after another as the time passes.

    Attributes:
        count: The number, from 1 to 100,000.
        per: The length of time, such as ``"1 minute"``; from a millisecond to 31 days.

    Raises:
        ValueError: If the number or the length of time is out of range.
        DurationError: If ``per`` is not a duration.
    """

    count: int
    per: Duration

    def __post_init__(self) -> None:
        _check_count("Rate", self.count)
        _check_period("Rate", "per", self.per)

    @property
    def period(self) -> timedelta:
        """The length of time."""
        return parse_duration(self.per)


@dataclass(frozen=True, slots=True)
class Breaker:
    """After how many failed attempts in a row, of whatever instances, no further one begins for a while.

    After the pause one instance is tried. If its attempt succeeds the others follow; if it fails the pause begins anew.
    With an interval the others follow slowly: one attempt begins each interval, for as long as it takes until all that
    waited could have begun.

    Attributes:
        count: The number of failures, from 1 to 100,000.
        pause: How long no attempt begins; from a millisecond to 31 days.
        interval: How long after one attempt the next one begins once the breaker has closed; from a millisecond to 31
            days. None for all at once.

    Raises:
        ValueError: If the number, the pause or the interval is out of range.
        DurationError: If ``pause`` or ``interval`` is not a duration.
    """

    count: int
    pause: Duration
    interval: Duration | None = None

    def __post_init__(self) -> None:
        _check_count("Breaker", self.count)
        _check_period("Breaker", "pause", self.pause)
        if self.interval is not None:
            _check_period("Breaker", "interval", self.interval)

    @property
    def pause_length(self) -> timedelta:
        """How long no attempt begins."""
        return parse_duration(self.pause)

    @property
    def interval_length(self) -> timedelta | None:
        """How long after one attempt the next one begins once it has closed; None for all at once."""
        return None if self.interval is None else parse_duration(self.interval)


def _check_count(name: str, count: object) -> None:
    if type(count) is not int or not 1 <= count <= MAX_COUNT:
        raise ValueError(f"{name}({count!r}): the number must be a whole number from 1 to {MAX_COUNT:,}")


def _check_period(name: str, option: str, value: Duration) -> None:
    if not MIN_PERIOD <= parse_duration(value) <= MAX_PERIOD:
        raise ValueError(f"{name}({option}={value!r}): {option} must be from a millisecond to 31 days")
