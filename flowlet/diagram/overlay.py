"""What is drawn over a diagram: the way one instance took, or the numbers of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from flowlet.instance.instance import Status

__all__ = ["DefinitionOverlay", "InstanceOverlay", "Overlay"]

StatePair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class InstanceOverlay:
    """The way of one instance. States and transitions that the drawn definition does not have are left out.

    Attributes:
        transition_counts: How often each transition (from, to) was taken.
        visit_counts: How often each state was entered.
        current_state: The state it is in; None to mark none.
        status: How it stands there: it gives the current state its colour.
    """

    transition_counts: Mapping[StatePair, int] = field(default_factory=dict)
    visit_counts: Mapping[str, int] = field(default_factory=dict)
    current_state: str | None = None
    status: Status = Status.IN_PROGRESS

    @classmethod
    def from_path(
        cls,
        path: Iterable[StatePair] | Mapping[StatePair, int],
        *,
        start: str,
        current_state: str | None = None,
        status: Status = Status.IN_PROGRESS,
    ) -> Self:
        """Return the overlay of an instance that began in ``start`` and took these transitions, in any order.

        Args:
            path: A pair (from, to) for each transition, or how often each was taken; moves by hand
                count like any other.
            start: The state it was created in, which counts as one visit.
            current_state: The state it is in.
            status: How it stands there.
        """
        taken = Counter(path)
        visits = Counter({start: 1})
        for (_, target), count in taken.items():
            visits[target] += count
        return cls(taken, visits, current_state, status)


@dataclass(frozen=True, slots=True)
class DefinitionOverlay:
    """The numbers of all instances of a definition.

    Attributes:
        instance_counts: How many instances are in each state.
        shares: Which part of those that left ``from`` took the transition (from, to), from 0 to 1.
        median_seconds: How long they were in ``from`` before they took it, in seconds.
    """

    instance_counts: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[StatePair, float] = field(default_factory=dict)
    median_seconds: Mapping[StatePair, float] = field(default_factory=dict)


Overlay = InstanceOverlay | DefinitionOverlay
