"""The deletion of ended instances, with their history: one transaction for each few of them.

Nothing here waits for a row of an instance: one that another transaction has locked is left out, and its tree with it.
So no order of locks can make a commit, a child's end, an operator or another deletion wait for this one in a circle.
What is left is looked at again later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.store.children.unmade import find_parents_of_unmade
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.counter_buckets import PRUNED, SHARED_WRITER_ID, CounterBucket, count_end, sum_buckets
from flowlet.store.database_session import DatabaseSession
from flowlet.store.retention.ended_trees import TreePart
from flowlet.store.retention.pruned_line import raise_pruned_line
from flowlet.store.tables import ACTION, EXTERNAL_ID, WORKFLOW

__all__ = ["MAX_DELETED_INSTANCES", "Deleted", "delete_parts"]

MAX_DELETED_INSTANCES = 200
"""How many instances one transaction deletes at most."""


class Deleted(NamedTuple):
    """What a transaction has deleted.

    Attributes:
        instances: How many instances.
        trees: How many trees of which nothing is left.
        left_parts: How many parts were left out: an instance was locked, open, or had another child meanwhile.
    """

    instances: int = 0
    trees: int = 0
    left_parts: int = 0

    def add(self, other: Deleted) -> Deleted:
        """Return the sum of two."""
        return Deleted(*(one + two for one, two in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class _LockedInstance:
    """The columns of a locked instance that decide about its deletion."""

    id: int
    parent_id: int | None
    type: str
    status: Status
    ended: int | None
    children: int

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED_STATUSES


_READER = RowReader(_LockedInstance, {"": WORKFLOW})


async def delete_parts(
    connections: Connections, parts: Sequence[TreePart], *, now: int, keeps_external_ids: bool
) -> Deleted:
    """Delete parts of ended trees: one transaction. A part of which an instance is locked or has not ended stays.

    Args:
        connections: The database's.
        parts: The parts; together at most 200 instances, or whatever is to be one transaction.
        now: The time of the deletion, in microseconds since 1970 UTC.
        keeps_external_ids: Whether no other instance can be created under their external ids from now on.

    Raises:
        StoreUnavailableError: If the database is unavailable; the deletion may have been committed.
    """

    async def lock_and_delete(session: DatabaseSession) -> Deleted:
        if keeps_external_ids:
            await session.dialect.writes.announce_kept_external_ids(session.raw)
        locked = await _lock_instances(session, parts)
        strays = await _find_stray_parents(session, parts, locked)
        kept = [part for part in parts if _is_deletable(part, locked) and strays.isdisjoint(part.ids)]
        ids = sorted(id for part in kept for id in part.ids)
        if ids:
            await _delete_instances(session, [locked[id] for id in ids], now if keeps_external_ids else None)
        trees = sum(part.root_id in part.ids for part in kept)
        return Deleted(len(ids), trees, len(parts) - len(kept))

    try:
        return await connections.write(lock_and_delete)
    except Exception as error:
        if not connections.dialect.errors.is_refusal(error):
            raise
        return await connections.write(lock_and_delete)  # the other one has noted the first line of all


async def _lock_instances(session: DatabaseSession, parts: Sequence[TreePart]) -> dict[int, _LockedInstance]:
    """Lock the instances of the parts, their parents and their roots, but those that others have locked."""
    ids = sorted({id for part in parts for id in (part.root_id, *part.ids, *part.parent_ids)})
    members, values = _bind_ids(session, ids)
    skip_locked = session.dialect.expressions.skip_locked_sql
    sql = f"SELECT {_READER.select_list} FROM {WORKFLOW} WHERE id IN ({members}) ORDER BY id {skip_locked}"
    return {one.id: one for one in _READER.parse_all(await session.fetch_rows(sql, values))}


def _is_deletable(part: TreePart, locked: dict[int, _LockedInstance]) -> bool:
    """Return whether all that a part needs is locked and has ended, and its root long enough ago."""
    needed = [locked.get(id) for id in (part.root_id, *part.ids, *part.parent_ids)]
    if not all(one is not None and one.has_ended for one in needed):
        return False
    ended = locked[part.root_id].ended
    return ended is not None and ended < part.before


async def _find_stray_parents(
    session: DatabaseSession, parts: Sequence[TreePart], locked: dict[int, _LockedInstance]
) -> set[int]:
    """Return the instances that have a child which is in no part: created since the tree was read, or to be made.

    The parents are locked and have ended, if the part is deleted: they spawn no more. Those that have unmade children
    are read first: what was not to be made then is among the children.
    """
    ids = {id for part in parts for id in part.ids}
    parents = sorted(id for id in ids if id in locked and locked[id].children)
    if not parents:
        return set()
    spawning = await find_parents_of_unmade(session, parents)
    members, values = _bind_ids(session, parents)
    sql = f"SELECT id, parent_id FROM {WORKFLOW} WHERE parent_id IN ({members})"
    return spawning | {parent for id, parent in await session.fetch_rows(sql, values) if id not in ids}


async def _delete_instances(
    session: DatabaseSession, instances: Sequence[_LockedInstance], pruned_at: int | None
) -> None:
    """Delete locked instances and what belongs to them; their external ids are kept if ``pruned_at`` is a time."""
    ids = [one.id for one in instances]
    members, values = _bind_ids(session, ids)
    if pruned_at is not None:
        # Before the deletion: a create of the same external id that waits for it has to find this.
        await session.execute(
            f"INSERT INTO {EXTERNAL_ID} (external_id, workflow_id, workflow_type, pruned) "
            f"SELECT external_id, id, workflow_type, :pruned FROM {WORKFLOW} WHERE id IN ({members})",
            {**values, "pruned": pruned_at},
        )
    ((line,),) = await session.fetch_rows(f"SELECT MAX(id) FROM {ACTION} WHERE workflow_id IN ({members})", values)
    await session.dialect.writes.delete_instances(session.raw, ids)
    # The counts and the mark are rows that all deletions write: last, in one order, and locked for the commit alone.
    await session.dialect.writes.add_counts(session.raw, SHARED_WRITER_ID, sum_buckets(_count_deleted(instances)))
    if line is not None:
        await raise_pruned_line(session, int(line))


def _bind_ids(session: DatabaseSession, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """Return the operand of ``IN (...)`` for a list of ids, and its only bind."""
    expressions = session.dialect.expressions
    return expressions.build_ids_sql("ids"), {"ids": expressions.encode_ids(ids)}


def _count_deleted(instances: Sequence[_LockedInstance]) -> Iterator[CounterBucket]:
    for (type, status), count in Counter((one.type, one.status) for one in instances).items():
        yield count_end(status, minutes=PRUNED, start=0, type=type, amount=count)
