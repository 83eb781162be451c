"""Ended instances that may be deleted: roots by the index of ended ones, and the trees below them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.store.children.unmade import find_parents_of_unmade
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import IS_ENDED_ROOT, WORKFLOW

__all__ = [
    "MAX_COUNTED_TREES",
    "EndedRange",
    "EndedRoot",
    "EndedTree",
    "TreePart",
    "count_ended_roots",
    "find_ended_roots",
    "find_oldest_end",
    "read_ended_trees",
    "split_trees",
]

MAX_COUNTED_TREES = 10_000
"""How many trees of one range are counted at most: a page must not read a million entries."""
_ENDED = frozenset(status.value for status in ENDED_STATUSES)


class EndedRange(NamedTuple):
    """The roots of a workflow that have ended with a status before a time, in microseconds since 1970 UTC."""

    type: str
    status: Status
    before: int


class EndedRoot(NamedTuple):
    """A root that has ended. In the order of its range it comes by ``ended`` and ``id``."""

    id: int
    ended: int
    children: int


@dataclass(slots=True)
class EndedTree:
    """A root and all that is below it, as they were read.

    Attributes:
        root_id: The root.
        before: The root is deleted only if it has ended before this time, in microseconds since 1970 UTC.
        parents: The parent of each instance, level by level; None for the root.
        is_open: Whether one of them has not ended, or is still to be made.
    """

    root_id: int
    before: int
    parents: dict[int, int | None] = field(default_factory=dict)
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class TreePart:
    """Instances of one tree that are deleted together, or not at all: each one with all that is below it.

    Attributes:
        root_id: The tree's root.
        before: As of the tree.
        ids: The instances.
        parent_ids: The parents of these that stay for now.
    """

    root_id: int
    before: int
    ids: tuple[int, ...]
    parent_ids: frozenset[int] = frozenset()


async def find_ended_roots(
    connections: Connections, ended: EndedRange, *, after: EndedRoot | None, limit: int
) -> list[EndedRoot]:
    """Return the next roots of a range, the longest ended first, behind the given one; None for the first ones.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    last = after or EndedRoot(0, 0, 0)

    async def read(session: DatabaseSession) -> list[EndedRoot]:
        select = f"SELECT id, ended, children FROM {_build_source(session)}"
        values = {**_build_binds(ended), "last": last.ended, "limit": limit}
        # Two ranges of the index: a comparison of both columns would read all of one time again on SQLite and MySQL.
        same = f"{select} AND ended = :last AND id > :id AND ended < :before ORDER BY id LIMIT :limit"
        rows = await session.fetch_rows(same, {**values, "id": last.id}) if after else []
        later = f"{select} AND ended > :last AND ended < :before ORDER BY ended, id LIMIT :limit"
        if len(rows) < limit:
            rows += (await session.fetch_rows(later, values))[: limit - len(rows)]
        return [EndedRoot(*row) for row in rows]

    return await connections.read(read)


async def count_ended_roots(connections: Connections, ended: EndedRange, *, limit: int = MAX_COUNTED_TREES) -> int:
    """Return how many roots a range has; ``limit`` and one more if there are more.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def count(session: DatabaseSession) -> int:
        found = f"SELECT 1 AS one FROM {_build_source(session)} AND ended < :before LIMIT :limit"
        sql = f"SELECT COUNT(*) FROM ({found}) found"
        ((number,),) = await session.fetch_rows(sql, {**_build_binds(ended), "limit": limit + 1})
        return int(number)

    return await connections.read(count)


async def find_oldest_end(connections: Connections, ended: EndedRange) -> int | None:
    """Return when the root of a range ended that has ended first, in microseconds since 1970 UTC; None for none.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    found = await find_ended_roots(connections, ended, after=None, limit=1)
    return found[0].ended if found else None


def _build_source(session: DatabaseSession) -> str:
    expressions = session.dialect.expressions
    return (
        f"{expressions.ended_index_sql} WHERE {expressions.ended_status_column} = :status "
        f"AND workflow_type = :type AND {IS_ENDED_ROOT}"
    )


def _build_binds(ended: EndedRange) -> dict[str, Any]:
    return {"type": ended.type, "status": ended.status.value, "before": ended.before}


async def read_ended_trees(
    connections: Connections, roots: Sequence[EndedRoot], *, before: int, is_whole: bool = False
) -> list[EndedTree]:
    """Return the trees of these roots; what is below an instance that has no children is not looked for.

    A tree is open while some of its instances are still to be made.

    Args:
        connections: The database's.
        roots: The roots.
        before: As of the trees.
        is_whole: Whether a tree is read on although one of its instances is open.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    trees = {root.id: EndedTree(root.id, before, {root.id: None}) for root in roots}
    tree_of = {root.id: trees[root.id] for root in roots if root.children}
    while tree_of:
        # Read before the children: what is not to be made then is among these.
        for id in await _find_spawning(connections, sorted(tree_of)):
            tree_of[id].is_open = True
        below: dict[int, EndedTree] = {}
        for id, parent, status, children in await _read_children(connections, sorted(tree_of)):
            tree = tree_of[parent]
            tree.parents[id] = parent
            tree.is_open |= status not in _ENDED
            if children:
                below[id] = tree
        tree_of = {id: tree for id, tree in below.items() if is_whole or not tree.is_open}
    return list(trees.values())


async def _find_spawning(connections: Connections, ids: Sequence[int]) -> set[int]:
    return await connections.read(lambda session: find_parents_of_unmade(session, ids))


async def _read_children(connections: Connections, ids: Sequence[int]) -> list[tuple[int, int, str, int]]:
    """Return the children of instances: each one's id, parent, status and number of children."""
    expressions = connections.dialect.expressions
    sql = (
        f"SELECT id, parent_id, status, children FROM {WORKFLOW} "
        f"WHERE parent_id IN ({expressions.build_ids_sql('ids')})"
    )
    values = {"ids": expressions.encode_ids(ids)}
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return [(id, parent, status, children) for id, parent, status, children in rows]


def split_trees(trees: Sequence[EndedTree], limit: int) -> Iterator[list[TreePart]]:
    """Yield the parts of the trees that have ended, those of one transaction together: at most ``limit`` instances.

    A tree that has more is divided from its leaves to its root: what is left of it is a tree at any moment.
    """
    group: list[TreePart] = []
    size = 0
    for tree in trees:
        if tree.is_open:
            continue
        if size + len(tree.parents) > limit and group:
            yield group
            group, size = [], 0
        if len(tree.parents) > limit:
            yield from ([part] for part in _divide_tree(tree, limit))
            continue
        group.append(TreePart(tree.root_id, tree.before, tuple(tree.parents)))
        size += len(tree.parents)
    if group:
        yield group


def _divide_tree(tree: EndedTree, limit: int) -> Iterator[TreePart]:
    ids = list(reversed(tree.parents))
    for first in range(0, len(ids), limit):
        part = ids[first : first + limit]
        parents = {parent for id in part if (parent := tree.parents[id]) is not None}
        yield TreePart(tree.root_id, tree.before, tuple(part), frozenset(parents.difference(part)))
