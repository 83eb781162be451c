"""The children of instances, counted by status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flowlet.instance.instance import Instance, Status
from flowlet.store.children.unmade import count_unmade
from flowlet.store.connection import Connections
from flowlet.store.database_session import build_in_list
from flowlet.store.tables import WORKFLOW

__all__ = [
    "MAX_COUNTED_CHILDREN",
    "CountedChildren",
    "count_children_by_status",
    "count_children_of",
    "read_child_counts",
]

MAX_COUNTED_CHILDREN = 5_000
"""How many children are counted at most: each is a row that is read."""


class CountedChildren(NamedTuple):
    """How many children an instance has.

    Attributes:
        total: How many it has spawned.
        unmade: How many of a large spawn are still to be made; they are in ``total``.
        by_status: How many of the others have each status; None if it has more than ``MAX_COUNTED_CHILDREN``.
    """

    total: int
    unmade: int
    by_status: Mapping[Status, int] | None

    @property
    def made(self) -> int:
        """How many have been made."""
        return self.total - self.unmade


async def read_child_counts(connections: Connections, instance: Instance) -> CountedChildren:
    """Return how many children an instance has.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    unmade = await count_unmade(connections, instance.id) if instance.open_children else 0
    by_status = await count_children_by_status(connections, instance)
    made = 0 if by_status is None else sum(by_status.values())
    return CountedChildren(max(instance.children, made + unmade), unmade, by_status)


async def count_children_by_status(connections: Connections, instance: Instance) -> dict[Status, int] | None:
    """Return how many children of an instance have each status, in the order of the statuses.

    None if it has more than ``MAX_COUNTED_CHILDREN``.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    if instance.children > MAX_COUNTED_CHILDREN:
        return None
    if not instance.children:
        return {}
    found = (await count_children_of(connections, [instance.id])).get(instance.id, {})
    return {status: found[status] for status in Status if status in found}


async def count_children_of(connections: Connections, ids: Sequence[int]) -> dict[int, dict[Status, int]]:
    """Return how many children with each status each instance has; an instance without any is left out.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    binds, values = build_in_list("id", ids)
    sql = f"SELECT parent_id, status, COUNT(*) FROM {WORKFLOW} WHERE parent_id IN ({binds}) GROUP BY parent_id, status"
    counts: dict[int, dict[Status, int]] = {}
    for id, status, count in await connections.read(lambda session: session.fetch_rows(sql, values)):
        counts.setdefault(id, {})[Status(status)] = int(count)
    return counts
