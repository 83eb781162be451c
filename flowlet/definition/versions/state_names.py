"""The names of states over all versions of the workflows: which former names belong to which present one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from flowlet.definition.definition import Definition

__all__ = ["NO_RENAMES", "StateNames"]


class StateNames:
    """The states of each workflow that were renamed.

    An instance keeps the name of its state until its next transition: whatever searches, counts or waits by the name
    of a state takes all names of the state to be one.

    Args:
        present_names: The present name of each renamed state by its former one, by the workflow's name.
    """

    def __init__(self, present_names: Mapping[str, Mapping[str, str]]) -> None:
        self._present_names = {type: dict(renames) for type, renames in present_names.items() if renames}

    @classmethod
    def of(cls, definitions: Iterable[Definition]) -> StateNames:
        """Return the names of these definitions, one of each workflow."""
        return cls({definition.name: definition.present_names for definition in definitions})

    @property
    def has_renames(self) -> bool:
        """Whether any state has another name than its present one."""
        return bool(self._present_names)

    @property
    def most_names(self) -> int:
        """How many names a state has at most, over all workflows."""
        return 1 + max((max(Counter(renames.values()).values()) for renames in self._present_names.values()), default=0)

    def resolve(self, type: str, state: str) -> str:
        """Return the present name of a state, given that or a former one; an unknown name stays as it is."""
        return self._present_names.get(type, {}).get(state, state)

    def list_names(self, type: str, state: str) -> tuple[str, ...]:
        """Return all names of a state, given one of them: the present one first; an unknown name alone."""
        present = self.resolve(type, state)
        return present, *(former for former, name in self._present_names.get(type, {}).items() if name == present)

    def expand(self, type: str, states: Iterable[str]) -> frozenset[str]:
        """Return all names of some states."""
        return frozenset(name for state in states for name in self.list_names(type, state))

    def find_types(self, state: str) -> list[str]:
        """Return the workflows in which a state with this name has another one too, in order."""
        return sorted(type for type in self._present_names if len(self.list_names(type, state)) > 1)

    def resolve_for(self, definition: Definition, state: str) -> str:
        """Return the name that a definition has for a state, which another version may have named; else unchanged."""
        if found := definition.find_state(state):
            return found.name
        others = self.list_names(definition.name, state)
        return next((name for name in others if name in definition.states), state)


NO_RENAMES = StateNames({})
"""The names where no state was renamed."""
