"""What a transaction has committed, as everything that waits for commits hears of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition

__all__ = ["ANY_GROUP", "SCHEDULES_CHANGED", "UNKNOWN_COMMIT", "Commit", "CommittedInstance", "build_batch_commit"]


class CommittedInstance(NamedTuple):
    """An instance that a transaction has changed, as it is since then."""

    id: int
    state: str
    status: Status


SCHEDULES_CHANGED = "\x1fschedules"
"""Among the groups of a commit: schedules have changed. No executor group has such a name, so executors that wait for
instances are not woken."""
ANY_GROUP = "\x1fany"
"""Among the groups of a commit: instances of any group may have become due."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction has made durable; of another process, what one or more have.

    Attributes:
        due_groups: The executor groups in which instances may have become due.
        instances: The instances that it changed, without those that it created; None if that is unknown.
        executor_id: The executor that committed its own transitions; None for everything else.
        is_notified: Whether the transaction itself has notified the other processes.
    """

    due_groups: frozenset[str] = frozenset((ANY_GROUP,))
    instances: tuple[CommittedInstance, ...] | None = None
    executor_id: str | None = None
    is_notified: bool = False

    def may_concern(self, groups: Iterable[str]) -> bool:
        """Return whether instances of these groups may have become due."""
        return ANY_GROUP in self.due_groups or not self.due_groups.isdisjoint(groups)


UNKNOWN_COMMIT = Commit()
"""A commit of which nothing is known: it may have changed any instance."""


def build_batch_commit(
    executor_id: str, transitions: Iterable[Transition], due_groups: Iterable[str], *, is_notified: bool = False
) -> Commit:
    """Return the commit of an executor's transitions."""
    instances = tuple(CommittedInstance(one.instance.id, one.state, one.status) for one in transitions)
    return Commit(frozenset(due_groups), instances, executor_id, is_notified)
