"""The retry policy: how often a failed attempt is repeated, and after which delay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Literal

from flowlet.clock import Duration, parse_duration

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy, of a workflow or of one state.

    Attributes:
        limit: How many attempts can follow the first one; 0 means that the first failure is final.
        min: The first delay (linear), or its upper bound (exponential); above zero.
        max: Upper bound of every delay; at least ``min``.
        backoff: "exponential" draws from zero to ``min * 2**(n-1)`` for the n-th retry (full jitter), never
            above ``max``; "linear" grows evenly from ``min`` to ``max`` over the ``limit`` retries.
        never: Exception types after which no further attempt is made.

    Raises:
        ValueError: If a number is out of range, ``max`` is below ``min``, or ``never`` is no tuple of exception types.
        DurationError: If ``min`` or ``max`` is not a duration.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; linear as GopherFlow's
    sliding interval.
    """

    limit: int = 10
    min: Duration = "10s"
    max: Duration = "1h"
    backoff: Literal["exponential", "linear"] = "exponential"
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        first, ceiling = parse_duration(self.min), parse_duration(self.max)
        if self.limit < 0:
            raise ValueError(f"Retry(limit={self.limit}): limit must be at least 0")
        if first <= timedelta(0) or ceiling < first:
            raise ValueError(f"Retry(min={self.min!r}, max={self.max!r}): min must be above zero, and max at least min")
        if self.backoff not in ("exponential", "linear"):
            raise ValueError(f"Retry(backoff={self.backoff!r}): backoff must be 'exponential' or 'linear'")
        if not isinstance(self.never, tuple) or not all(_is_exception_type(one) for one in self.never):
            raise ValueError(
                f"Retry(never={self.never!r}): never must be a tuple of exception types, as (ValueError, KeyError)"
            )

    def may_retry(self, attempt: int, error: BaseException) -> bool:
        """Return whether another attempt follows the given one (counted from 1), which failed with this error."""
        return attempt <= self.limit and not isinstance(error, self.never)

    def draw_delay(self, attempt: int, random: Random) -> timedelta:
        """Return how long to wait after this failed attempt, counted from 1.

        Raises:
            ValueError: If ``attempt`` is below 1.
        """
        if attempt < 1:
            raise ValueError(f"attempts are counted from 1, but attempt is {attempt}")
        first, ceiling = parse_duration(self.min), parse_duration(self.max)
        if self.backoff == "linear":
            share = min(1.0, (attempt - 1) / max(self.limit - 1, 1))
            return first + share * (ceiling - first)
        bound = min(ceiling.total_seconds(), first.total_seconds() * 2.0 ** min(attempt - 1, 63))
        return timedelta(seconds=random.uniform(0, bound))


def _is_exception_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)
