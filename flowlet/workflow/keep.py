"""How long the instances of a workflow are kept after they have ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flowlet.clock import Duration
from flowlet.instance.keep_period import parse_keep_period

__all__ = ["Keep"]


@dataclass(frozen=True, slots=True)
class Keep:
    """How long instances are kept after they have ended, with their history. Then executors delete them.

    An instance with children is kept until all of its tree has ended: whole trees are deleted, by the age of the root.

    Attributes:
        period: A duration, "1 year" (365 days), or "always"; at least a minute.
        failed: The same for instances that are FAILED; None for the same period.

    Raises:
        DurationError: If one of them is none of these.
    """

    period: Duration
    failed: Duration | None = None

    def __post_init__(self) -> None:
        parse_keep_period(self.period)
        if self.failed is not None:
            parse_keep_period(self.failed)

    @property
    def length(self) -> timedelta:
        """How long instances that are FINISHED or CANCELLED are kept; ``timedelta.max`` for always."""
        return parse_keep_period(self.period)

    @property
    def failed_length(self) -> timedelta:
        """How long instances that are FAILED are kept; ``timedelta.max`` for always."""
        return self.length if self.failed is None else parse_keep_period(self.failed)
