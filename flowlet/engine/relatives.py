"""What handlers read of the store besides their instance: its children and its parent, and the failure before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flowlet.engine.batcher import Batcher
from flowlet.engine.failures import build_failure
from flowlet.engine.outage import retry_while_away
from flowlet.instance.instance import Instance
from flowlet.store.opening import Store
from flowlet.store.reports.children import count_children_of
from flowlet.workflow.children import ChildCounts
from flowlet.workflow.context import Failure, Relatives

__all__ = ["LeaseRelatives", "RelativesReader"]

MAX_PARENTS = 200
"""How many instances one statement reads the children of, or the parents of."""
MAX_CHILDREN = 5_000
"""How many children one statement reads, unless one instance has more."""


class RelativesReader:
    """Reads the relatives of many instances with one statement: those whose activations begin at the same time.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._children = Batcher(
            self._read_children,
            max_batch_size=MAX_PARENTS,
            max_batch_weight=MAX_CHILDREN,
            weigh=lambda instance: instance.children,
        )
        self._counts = Batcher(self._count_children, max_batch_size=MAX_PARENTS)
        self._parents = Batcher(self._read_parents, max_batch_size=MAX_PARENTS)

    async def read_children(self, instance: Instance) -> tuple[Instance, ...]:
        """Return the children of an instance, the oldest first, however long the store is away.

        Raises:
            BatcherClosedError: If the reader is closed.
        """
        activity = f"reading the children of workflow {instance.id}"
        return await retry_while_away(partial(self._children.put, instance), self._store.clock, activity)

    async def count_children(self, instance: Instance) -> ChildCounts:
        """Return how many children an instance has, however long the store is away.

        Raises:
            BatcherClosedError: If the reader is closed.
        """
        activity = f"counting the children of workflow {instance.id}"
        return await retry_while_away(partial(self._counts.put, instance), self._store.clock, activity)

    async def read_parent(self, parent_id: int) -> Instance | None:
        """Return the instance of an id, however long the store is away; None if it does not exist any more.

        Raises:
            BatcherClosedError: If the reader is closed.
        """
        activity = f"reading the parent {parent_id}"
        return await retry_while_away(partial(self._parents.put, parent_id), self._store.clock, activity)

    async def read_failure(self, instance: Instance) -> Failure | None:
        """Return the failure that led to an instance's state by ``on_error``, however long the store is away.

        None if it entered the state in another way.
        """
        activity = f"reading what led workflow {instance.id} to its state"
        read = partial(self._store.queries.find_entry_error, instance.id)
        action = await retry_while_away(read, self._store.clock, activity)
        return None if action is None else build_failure(action)

    async def close(self) -> None:
        """Read nothing more."""
        await self._children.abandon()
        await self._counts.abandon()
        await self._parents.abandon()

    async def _read_children(self, instances: Sequence[Instance]) -> list[tuple[Instance, ...]]:
        found: dict[int, list[Instance]] = {instance.id: [] for instance in instances}
        for child in await self._store.queries.list_children_of(list(found)):
            if child.parent_id is not None:
                found[child.parent_id].append(child)
        return [tuple(found[instance.id]) for instance in instances]

    async def _count_children(self, instances: Sequence[Instance]) -> list[ChildCounts]:
        found = await count_children_of(self._store.connections, sorted({instance.id for instance in instances}))
        return [ChildCounts.of(found.get(instance.id, {}), instance.children) for instance in instances]

    async def _read_parents(self, ids: Sequence[int]) -> list[Instance | None]:
        found = await self._store.queries.get_many(sorted(set(ids)))
        return [found.get(id) for id in ids]


class LeaseRelatives:
    """The relatives of one instance during one lease: read when a handler first uses them.

    Children that are spawned during the lease are read when the next handler uses them.
    """

    def __init__(self, reader: RelativesReader) -> None:
        self._reader = reader
        self._children: tuple[Instance, ...] | None = None
        self._children_count = 0
        self._parent: Instance | None = None
        self._has_read_parent = False

    async def read(self, instance: Instance, used: frozenset[str] | None) -> Relatives:
        """Return those relatives of an instance that the handler of its state uses.

        Args:
            instance: The instance as it is at the beginning of the activation.
            used: The attributes that the handler reads of its context; None for all.
        """
        is_parent_unread = instance.parent_id is not None
        children: tuple[Instance, ...] | None = None if instance.children else ()
        if instance.children and (used is None or "children" in used):
            children = await self._read_children(instance)
        counts = None
        if instance.children and used is not None and "child_counts" in used and children is None:
            counts = await self._reader.count_children(instance)
        if instance.parent_id is not None and (used is None or "parent" in used):
            is_parent_unread = False
            if not self._has_read_parent:
                self._parent = await self._reader.read_parent(instance.parent_id)
                self._has_read_parent = True
        return Relatives(children, self._parent, is_parent_unread=is_parent_unread, child_counts=counts)

    async def _read_children(self, instance: Instance) -> tuple[Instance, ...]:
        if self._children is None or self._children_count != instance.children:
            self._children = await self._reader.read_children(instance)
            self._children_count = instance.children
        return self._children
