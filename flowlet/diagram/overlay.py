"""Data drawn over a diagram: the path of one instance, the statistics of all instances, or what a version changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from flowlet.instance.instance import Status

__all__ = ["ChangeOverlay", "DefinitionOverlay", "InstanceOverlay", "Overlay", "StatePair"]

StatePair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class InstanceOverlay:
    """The path of one instance. States and transitions that are not in the drawn definition are ignored.

    Attributes:
        transition_counts: How often each transition (from, to) was taken.
        visit_counts: How often each state was entered.
        current_state: The state it is in; None to mark none.
        status: Its status, which sets the colour of the current state.
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
            path: A pair (from, to) for each transition, or the number of times each was taken. Moves by an operator
                count too.
            start: The state it was created in, which counts as one visit.
            current_state: The state it is in.
            status: Its status.
        """
        taken = Counter(path)
        visits = Counter({start: 1})
        for (_, target), count in taken.items():
            visits[target] += count
        return cls(taken, visits, current_state, status)


@dataclass(frozen=True, slots=True)
class DefinitionOverlay:
    """The statistics of all instances of a definition.

    Attributes:
        instance_counts: How many instances are open in each state.
        failed_counts: How many instances are FAILED in each state.
        shares: The share of the instances that entered ``from`` which took the transition (from, to), from 0 to 1.
        deadline_shares: The part of that share which took it because a deadline passed; only transitions of which a
            part did.
        median_seconds: The median time in ``from`` before the transition, in seconds.
    """

    instance_counts: Mapping[str, int] = field(default_factory=dict)
    failed_counts: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[StatePair, float] = field(default_factory=dict)
    deadline_shares: Mapping[StatePair, float] = field(default_factory=dict)
    median_seconds: Mapping[StatePair, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChangeOverlay:
    """What differs between two versions; the drawn definition has the states and transitions of both.

    Attributes:
        added: The states that only the newer version has.
        removed: The states that only the older one has.
        renamed: The former name of each renamed state.
        changed: The states whose kind or policies differ.
        added_transitions: The transitions (from, to) that only the newer version has.
        removed_transitions: The transitions that only the older one has.
    """

    added: Collection[str] = ()
    removed: Collection[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    changed: Collection[str] = ()
    added_transitions: Collection[StatePair] = ()
    removed_transitions: Collection[StatePair] = ()

    def get_state_class(self, name: str) -> str:
        """Return the class of a state's element, after a space; empty if it does not differ."""
        if name in self.added:
            return " added"
        if name in self.removed:
            return " removed"
        return " changed" if name in self.renamed or name in self.changed else ""

    def get_transition_class(self, pair: StatePair) -> str:
        """Return the class of a transition's elements, after a space; empty if it does not differ."""
        return " added" if pair in self.added_transitions else " removed" if pair in self.removed_transitions else ""

    def describe_state(self, name: str) -> str:
        """Return what differs in a state, for its badge; empty if nothing does."""
        if name in self.renamed:
            return f"was {self.renamed[name]}"
        return self.get_state_class(name).strip()


Overlay = InstanceOverlay | DefinitionOverlay | ChangeOverlay
