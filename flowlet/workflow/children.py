"""The children of an instance, as its handlers see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from flowlet.instance.instance import Instance, Status
from flowlet.workflow.workflow import VarsModel, Workflow

__all__ = ["ChildCounts", "Children", "TypedChild"]


@dataclass(frozen=True, slots=True)
class TypedChild(Generic[VarsModel]):
    """A child whose workflow is known to the code that reads it.

    Attributes:
        instance: The child, with all attributes of an instance.
    """

    instance: Instance
    _read_vars: Callable[[Instance], Any] = field(repr=False, compare=False)

    @property
    def vars(self) -> VarsModel:
        """The variables: a new object of the workflow's model at each access, or a dict where it has none.

        Raises:
            VariablesError: If they do not fit the model.
            VersionError: If they were written by a newer version of the workflow.
        """
        read: VarsModel = self._read_vars(self.instance)
        return read

    @property
    def id(self) -> int:
        """Its id."""
        return self.instance.id

    @property
    def external_id(self) -> str:
        """Its external id."""
        return self.instance.external_id

    @property
    def key(self) -> str:
        """Its business key."""
        return self.instance.key

    @property
    def status(self) -> Status:
        """Its status."""
        return self.instance.status

    @property
    def state(self) -> str:
        """The name of its state."""
        return self.instance.state

    @property
    def has_ended(self) -> bool:
        """Whether it is FINISHED, FAILED or CANCELLED."""
        return self.instance.has_ended

    @property
    def succeeded(self) -> bool:
        """Whether it is FINISHED: it ended in an end state."""
        return self.instance.succeeded


class Children(tuple[Instance, ...]):
    """The children of an instance that have been made, the oldest first."""

    _read_vars: Callable[[Instance], Any]

    @classmethod
    def build(cls, children: Iterable[Instance], read_vars: Callable[[Instance], Any]) -> Children:
        """Return these children; ``read_vars`` reads the variables of one by its workflow's model."""
        built = cls(children)
        built._read_vars = read_vars
        return built

    def of(self, workflow: Workflow[VarsModel]) -> tuple[TypedChild[VarsModel], ...]:
        """Return the children of one workflow, whose ``vars`` are objects of its model."""
        return tuple(TypedChild(child, self._read_vars) for child in self if child.type == workflow.name)


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children an instance has.

    Attributes:
        by_status: How many have each status; a status that none has is left out.
        unmade: How many of a large spawn are still to be made; they have no status yet.
    """

    by_status: Mapping[Status, int]
    unmade: int = 0

    @classmethod
    def of(cls, by_status: Mapping[Status, int], total: int) -> ChildCounts:
        """Return the counts of children that have been made, of so many that were spawned."""
        return cls(by_status, max(0, total - sum(by_status.values())))

    @property
    def total(self) -> int:
        """How many there are, with those that are still to be made."""
        return sum(self.by_status.values()) + self.unmade

    @property
    def finished(self) -> int:
        """How many have succeeded."""
        return self.by_status.get(Status.FINISHED, 0)

    @property
    def failed(self) -> int:
        """How many have failed."""
        return self.by_status.get(Status.FAILED, 0)

    @property
    def cancelled(self) -> int:
        """How many were cancelled."""
        return self.by_status.get(Status.CANCELLED, 0)

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self.finished + self.failed + self.cancelled

    @property
    def open(self) -> int:
        """How many have not ended, with those that are still to be made."""
        return self.total - self.ended
