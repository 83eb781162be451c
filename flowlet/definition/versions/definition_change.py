"""One difference between two versions of a definition."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DefinitionChange", "DifferenceKind"]


class DifferenceKind(StrEnum):
    """How something differs."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """A difference in words.

    Attributes:
        subject: What differs: "workflow", "state", "transition", "schedule" or "variable".
        name: The name of the state, schedule or variable, ``from -> to`` of a transition, empty for the workflow.
        text: The difference, in one sentence without a full stop.
    """

    kind: DifferenceKind
    subject: str
    name: str
    text: str
