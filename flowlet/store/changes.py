"""Changes of instances outside of an activation: by operators, by repair, and by an executor that stops.

The rows are locked first, so that no other transaction writes them; a change that takes an instance from its executor
raises the fencing token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from flowlet.errors import RefusedError, UnknownInstanceError
from flowlet.instance.action import ENTRY_KINDS
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, Status
from flowlet.store.children.unmade import UNMADE_COUNT_SQL, drop_unmade, find_parents_of_unmade
from flowlet.store.columns import RowEncoder
from flowlet.store.commits import Commit, CommittedInstance
from flowlet.store.connection import Connections
from flowlet.store.counter_buckets import ALL_TIME, MINUTE, CounterBucket, count_end, count_opened, sum_buckets
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.dialects.batch import Followups
from flowlet.store.people.audit import write_change_audit
from flowlet.store.people.entry_changes import write_entry_changes
from flowlet.store.rows import INSTANCE_READER, OPERATION_ACTION_COLUMNS, encode_operation_action_row
from flowlet.store.tables import ACTION, WORKFLOW
from flowlet.text import MAX_INTEGER

__all__ = [
    "apply_changes",
    "build_select",
    "change_instance",
    "change_instances",
    "drop_unmade_children",
    "read_origin",
]

_UPDATED_COLUMNS = WORKFLOW.omit_columns(
    *("id", "external_id", "parent_id", "root_id", "created", "created_by", "children", "open_children", "woken"),
)
_UPDATE_ENCODER = RowEncoder((WORKFLOW["id"], *_UPDATED_COLUMNS))
_UPDATE = f"UPDATE {WORKFLOW} SET {', '.join(f'{one.name} = :{one.name}' for one in _UPDATED_COLUMNS)} WHERE id = :id"

_ENTERING = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)


def build_select(where: str, *, lock: str = "") -> str:
    """Return a SELECT of whole instances."""
    return f"SELECT {INSTANCE_READER.select_list} FROM {WORKFLOW} WHERE {where} {lock}"


async def change_instance(
    connections: Connections,
    id: int,
    decide: Callable[[Instance], Change | None],
    *,
    now: int,
    prepare: Callable[[DatabaseSession, Instance], Awaitable[None]] | None = None,
) -> Instance:
    """Lock an instance, decide, write: one transaction. Return the instance after the change.

    Args:
        connections: The database's.
        id: The instance's id.
        decide: Returns the change; None for no change. It is called again if the transaction lost against another one.
        now: The store's time, in microseconds since 1970 UTC.
        prepare: Reads what ``decide`` needs besides the row, which is locked.

    Raises:
        UnknownInstanceError: If there is none of this id.
        RefusedError: Or any other error that ``decide`` raises; nothing is written then.
        StoreUnavailableError: If the database is unavailable.
    """
    is_possible = 0 < id <= MAX_INTEGER
    found = await change_instances(connections, [id], decide, now=now, prepare=prepare) if is_possible else []
    if not found:
        raise UnknownInstanceError(f"no workflow has the id {id}")
    return found[0]


async def change_instances(
    connections: Connections,
    ids: Sequence[int],
    decide: Callable[[Instance], Change | None],
    *,
    now: int,
    prepare: Callable[[DatabaseSession, Instance], Awaitable[None]] | None = None,
) -> list[Instance]:
    """Lock instances, decide about each, write: one transaction. Return them after the changes, ordered by id.

    Args:
        connections: The database's.
        ids: The instances' ids, few enough for one transaction; unknown ones are left out.
        decide: As for ``change_instance``.
        now: As for ``change_instance``.
        prepare: As for ``change_instance``.

    Raises:
        RefusedError: Or any other error that ``decide`` raises; nothing is written then, for none of them.
        StoreUnavailableError: If the database is unavailable.
    """

    async def lock_and_change(session: DatabaseSession) -> list[Instance]:
        binds, values = build_in_list("id", ids)
        # Locked in the order of their ids: two transactions that change the same instances cannot deadlock.
        sql = build_select(f"id IN ({binds}) ORDER BY id", lock=session.dialect.expressions.for_update_sql)
        locked = INSTANCE_READER.parse_all(await session.fetch_rows(sql, values))
        if prepare is not None:
            for instance in locked:
                await prepare(session, instance)
        decided = [(instance, decide(instance)) for instance in locked]
        for _, made in decided:
            if made is not None and made.before.has_ended and not made.after.has_ended and made.before.children:
                await _refuse_incomplete_tree(session, made.before)
        dropped = await apply_changes(session, [made for _, made in decided if made is not None], now=now)
        changed = (instance if made is None else made.stored_instance for instance, made in decided)
        return [_count_less(instance, dropped.get(instance.id, 0)) for instance in changed]

    return await connections.write(lock_and_change)


async def drop_unmade_children(connections: Connections, ids: Sequence[int], *, now: int) -> None:
    """Drop the children of ended instances that are still to be made: one transaction.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def lock_and_drop(session: DatabaseSession) -> None:
        if not (parents := await find_parents_of_unmade(session, ids)):
            return
        binds, values = build_in_list("id", sorted(parents))
        lock = session.dialect.expressions.for_update_sql
        rows = await session.fetch_rows(build_select(f"id IN ({binds}) ORDER BY id", lock=lock), values)
        ended = [instance.id for instance in INSTANCE_READER.parse_all(rows) if instance.has_ended]
        if ended:
            await drop_unmade(session, ended, now=now)

    await connections.write(lock_and_drop)


async def read_origin(session: DatabaseSession, id: int) -> str | None:
    """Return the state that an instance left when it entered its present one, by its name then; None if none.

    Args:
        session: The transaction that has locked the instance.
        id: The instance.
    """
    # All entries, of which the loop limit allows thousands at most: with LIMIT 1 a planner may read the lines of all
    # instances backwards by their ids instead of this one's by its index.
    sql = f"SELECT id, from_state FROM {ACTION} WHERE workflow_id = :id AND kind IN ({_ENTERING})"
    rows = await session.fetch_rows(sql, {"id": id})
    return max(((int(line), state) for line, state in rows), default=(0, None))[1]


async def _refuse_incomplete_tree(session: DatabaseSession, instance: Instance) -> None:
    """Refuse to open an instance again whose children are being deleted, in several transactions: its tree is large.

    A deletion of children locks their parent's row, as the caller has.
    """
    made = f"(SELECT COUNT(*) FROM {WORKFLOW} c WHERE c.parent_id = w.id)"
    sql = f"SELECT {made} + {UNMADE_COUNT_SQL} FROM {WORKFLOW} w WHERE w.id = :id"
    ((count,),) = await session.fetch_rows(sql, {"id": instance.id})
    if count < instance.children:
        reason = "it has ended long ago, and is being deleted with its children"
        raise RefusedError(f"{instance.type} {instance.id} cannot be opened again: {reason}", reason=reason)


async def apply_changes(session: DatabaseSession, changes: Sequence[Change], *, now: int) -> dict[int, int]:
    """Write changes whose rows the caller's transaction has locked, and update their parents and the counters.

    Return how many children each instance has less, because they had not been made yet.
    """
    groups = set()
    for made in sorted(changes, key=lambda made: made.before.id):
        await session.execute(_UPDATE, _UPDATE_ENCODER.encode_binds(made.stored_instance))
        rows = [encode_operation_action_row(made.before.id, action) for action in made.actions]
        await session.insert_many(ACTION, OPERATION_ACTION_COLUMNS, rows)
        groups.add(made.after.group)
    await write_entry_changes(session, changes)
    await write_change_audit(session, changes, now=now)
    await _add_end_counts(session, changes, now)
    groups |= await _update_parents(session, changes, now)
    cancelled = [made.after.id for made in changes if made.after.status is Status.CANCELLED and made.after.children]
    dropped = await drop_unmade(session, cancelled, now=now) if cancelled else {}
    instances = tuple(CommittedInstance(made.after.id, made.after.state, made.after.status) for made in changes)
    session.pending_commit = Commit(frozenset(groups), instances) if changes else None
    return dropped


def _count_less(instance: Instance, count: int) -> Instance:
    """Return the instance with so many children less."""
    if not count:
        return instance
    return replace(instance, children=instance.children - count, open_children=instance.open_children - count)


async def _add_end_counts(session: DatabaseSession, changes: Sequence[Change], now: int) -> None:
    counts = sum_buckets(count for made in changes for count in _count_ends(made, now))
    if counts:
        await session.dialect.writes.add_counts(session.raw, session.dialect.writes.get_writer_id(session.raw), counts)


def _count_ends(made: Change, now: int) -> Iterator[CounterBucket]:
    """Return the counts of an end, and of an end that is taken back.

    The latter is subtracted from the sum of all time, and not from the minute of the end: it did happen then. It counts
    as opened now, even if the instance ends otherwise at once.
    """
    before, after = made.before, made.after
    if (before.status, before.ended_us) == (after.status, after.ended_us):
        return
    if before.has_ended:
        yield count_end(before.status, minutes=ALL_TIME, start=0, type=before.type, amount=-1)
        yield from count_opened([before.type], now)
    if after.has_ended:
        at = after.ended_us or 0
        yield count_end(after.status, minutes=1, start=at - at % MINUTE, type=after.type)


async def _update_parents(session: DatabaseSession, changes: Sequence[Change], now: int) -> set[str]:
    """Count ended children in their parents' rows, and return the groups of these parents."""
    ended: dict[int, int] = {}
    for made in changes:
        step = made.after.has_ended - made.before.has_ended
        if made.before.parent_id is not None and step:
            ended[made.before.parent_id] = ended.get(made.before.parent_id, 0) + step
    if not ended:
        return set()
    await session.dialect.writes.apply_followups(session.raw, Followups((), sorted(ended.items()), ()), now)
    binds, values = build_in_list("id", sorted(ended))
    sql = f"SELECT DISTINCT executor_group FROM {WORKFLOW} WHERE id IN ({binds})"
    return {group for (group,) in await session.fetch_rows(sql, values)}
