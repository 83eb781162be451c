"""The engine's writes to PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any

import asyncpg

from flowlet.errors import RowsLockedError
from flowlet.instance.instance import Status
from flowlet.instance.new_instance import NewInstance
from flowlet.store.columns import Column, Table, list_names
from flowlet.store.counter_buckets import CounterBucket, count_activations, count_opened
from flowlet.store.dialects.batch import (
    Batch,
    BatchResult,
    ClaimRequest,
    CreatedRow,
    Followups,
    LeasedRows,
    ResultFollowup,
    SpawnFollowup,
    collect_followups,
    split_children,
)
from flowlet.store.dialects.breaker_counts import list_result_statements
from flowlet.store.dialects.postgres import connection, statements
from flowlet.store.dialects.postgres.claims import claim_instances, find_next_due
from flowlet.store.dialects.transaction import begin_transaction
from flowlet.store.people.entry_rows import ENTRY_COLUMNS, encode_entry_row, list_entry_rows
from flowlet.store.people.tables import INBOX
from flowlet.store.rows import NEW_INSTANCE_ENCODER, TRANSITION_ENCODER, encode_action_rows
from flowlet.store.tables import EXTERNAL_ID, SPAWN

__all__ = ["PostgresWrites"]

_IN_PROGRESS = Status.IN_PROGRESS  # read for each transition, which is slow from an enum


class PostgresWrites:
    """PostgreSQL's part for writes.

    Args:
        process_name: The sender's name in notifications.
    """

    writer_count = 2

    def __init__(self, process_name: str) -> None:
        self._process_name = process_name
        self._turns = count()
        self._finds_kept_external_ids = False

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease, in one statement."""
        value: int | None = await raw.fetchval(statements.RENEW_LEASE, executor_id, lease_microseconds, claimed_at)
        return value

    async def claim(self, raw: Any, request: ClaimRequest) -> LeasedRows:
        """Lease due instances of the highest priority, and return them."""
        return await claim_instances(raw, request, next(self._turns))

    async def find_next_due(self, raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
        """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
        return await find_next_due(raw, groups, types, now)

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch: one statement, or a transaction of several where other rows are touched."""
        if in_transaction:
            return await self._apply_batch(raw, batch)
        if collect_followups(batch.transitions).is_empty:
            groups = _find_released_groups(batch)
            notifications = statements.format_notifications(self._process_name, groups) if batch.may_notify else None
            return BatchResult(await _apply_rows(raw, batch, notifications), groups, batch.may_notify)
        async with begin_transaction(raw.execute):
            return await self._apply_batch(raw, batch)

    async def _apply_batch(self, raw: Any, batch: Batch) -> BatchResult:
        applied = await _apply_rows(raw, batch)
        held = [transition for transition in batch.transitions if transition.instance.id in applied]
        due_groups = await self.apply_followups(raw, collect_followups(held), batch.now)
        return BatchResult(applied, due_groups | _find_released_groups(batch))

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[CreatedRow]:
        """Create instances and notify the processes of their groups: one statement, if no external id is kept.

        Inside of a transaction this process cannot say when they exist, and has to hear of its own notification.
        """
        sender = statements.format_notification("" if in_transaction else self._process_name)
        if in_transaction:
            return await self._create(raw, new_instances, now, sender, in_transaction=True)
        if not any(new.inbox for new in new_instances):
            return await self._create(raw, new_instances, now, sender)
        async with begin_transaction(raw.execute):
            return await self._create(raw, new_instances, now, sender, in_transaction=True)

    async def _create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, sender: str, *, in_transaction: bool = False
    ) -> list[CreatedRow]:
        known: dict[str, CreatedRow] = {}
        if not self._finds_kept_external_ids:
            known = await _insert_where_none_is_kept(raw, new_instances, now, sender)
        if missing := [new for new in new_instances if new.external_id not in known]:
            self._finds_kept_external_ids = True
            async with contextlib.nullcontext() if in_transaction else begin_transaction(raw.execute):
                known |= await _insert_beside_kept(raw, missing, now, sender)
        created, entries = [], []
        for new in new_instances:
            row = known[new.external_id]
            known[new.external_id] = row._replace(is_new=False, is_leased=False)
            created.append(row)
            if row.is_new and new.inbox:
                entries.append(encode_entry_row(row.id, new.inbox))
        await _insert_rows(raw, INBOX, ENTRY_COLUMNS, entries)
        return created

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents, write messages and the inbox."""
        for children in split_children(batch_followups.children):
            created = await self.create(raw, children, now, in_transaction=True)
            if not all(row.is_new for row in created):
                raise asyncpg.UniqueViolationError("a child's external id exists already")
        for spawn in batch_followups.spawns:
            await _store_spawn(raw, spawn)
        if batch_followups.ended_child_counts or batch_followups.woken_parents:
            await raw.fetch(
                statements.LOCK_PARENTS,
                sorted({*(id for id, _ in batch_followups.ended_child_counts), *batch_followups.woken_parents}),
            )
        touched = []
        if batch_followups.ended_child_counts:
            ids, counts = (
                [id for id, _ in batch_followups.ended_child_counts],
                [ended for _, ended in batch_followups.ended_child_counts],
            )
            touched += await raw.fetch(statements.END_CHILDREN, ids, counts, now)
        if batch_followups.woken_parents:
            touched += await raw.fetch(statements.WAKE, list(batch_followups.woken_parents), now)
        if waits := [one.build_binds(now) for one in batch_followups.messages]:
            columns = [[wait[name] for wait in waits] for name in statements.MESSAGE_WAIT_NAMES]
            touched += await raw.fetch(statements.WAIT_FOR_MESSAGES, *columns, now)
        for one in batch_followups.results:
            await _count_result(raw, one)
        if batch_followups.inbox:
            await raw.execute(statements.DELETE_ENTRIES, [id for id, _ in batch_followups.inbox])
            await _insert_rows(raw, INBOX, ENTRY_COLUMNS, list_entry_rows(batch_followups.inbox))
        return {group for group, is_due in touched if is_due}

    def get_writer_id(self, raw: Any) -> int:
        """Return the number of the server's process that serves the connection."""
        number: int = raw.backend_pid
        return number

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts."""
        await raw.executemany(statements.ADD_COUNTS, [(writer_id, *count) for count in counts])

    async def insert_rows(
        self, raw: Any, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows, in one round trip."""
        await _insert_rows(raw, table, columns, rows)

    async def raise_next_id(self, raw: Any, table: Table, id: int) -> None:
        """Set the sequence forward. The lock keeps others from taking a number of it in between."""
        if (await raw.fetchval(statements.READ_LAST_ID.format(table=table)) or 0) < id:
            await raw.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            await raw.fetchval(statements.RAISE_NEXT_ID.format(table=table), id)

    async def announce_kept_external_ids(self, raw: Any) -> None:
        """Keep a row that each create finds. For the first one: wait for the creates that have found none.

        All other creates wait meanwhile, so it does not wait long: a backup or a caller's own transaction may have read
        the table too, and the deletion has time.

        Raises:
            RowsLockedError: If others have read the table in transactions that are still open.
        """
        if await raw.fetch(statements.LOCK_KEPT_EXTERNAL_ID):
            return
        await raw.execute(statements.LIMIT_TABLE_LOCK)
        try:
            await raw.execute(statements.LOCK_EXTERNAL_IDS)
        except asyncpg.LockNotAvailableError as error:
            raise RowsLockedError(f"other transactions have read {EXTERNAL_ID}: try again later") from error
        await raw.execute(statements.RESET_LOCK_LIMIT)

    async def delete_instances(self, raw: Any, ids: Sequence[int]) -> None:
        """Delete instances and all that belongs to them, in one statement."""
        await raw.fetch(statements.DELETE_INSTANCES, list(ids))


async def _count_result(raw: Any, followup: ResultFollowup) -> None:
    """Tell a breaker how an attempt has ended. Each statement numbers the binds that it has."""
    binds = followup.build_binds()
    for sql in list_result_statements(followup, "<{}>".format):
        names = [name for name in binds if f"<{name}>" in sql]
        for place, name in enumerate(names, 1):
            type = "text" if name in ("gate", "reason") else "bigint"
            sql = sql.replace(f"<{name}>", f"CAST(${place} AS {type})")  # noqa: PLW2901
        await raw.execute(sql, *(binds[name] for name in names))


async def _store_spawn(raw: Any, spawn: SpawnFollowup) -> None:
    """Store the children of a large spawn, whose external ids are all free."""
    rows = spawn.encode_rows()
    for part, row in zip(spawn.parts, rows, strict=True):
        _check_size(part.text_length, [row])
        for sql in (statements.FIND_KNOWN, statements.FIND_PRUNED):
            if await raw.fetch(sql, list(part.external_ids)):
                raise asyncpg.UniqueViolationError("a child's external id exists already")
    await _insert_rows(raw, SPAWN, SPAWN.columns, rows)


async def _insert_rows(raw: Any, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    if rows:
        binds = ", ".join(f"${place}" for place, _ in enumerate(columns, 1))
        await raw.executemany(f"INSERT INTO {table} ({list_names(columns)}) VALUES ({binds})", rows)


async def _insert_where_none_is_kept(
    raw: Any, new_instances: Sequence[NewInstance], now: int, sender: str
) -> dict[str, CreatedRow]:
    """Create instances and return them, and the known ones, by external id; while any external id is kept, none."""
    names = {new.external_id for new in new_instances}
    created = await _insert_instances(raw, statements.CREATE_WHERE_NONE_IS_KEPT, new_instances, now, sender)
    return created | await _find_known(raw, names - created.keys())


async def _insert_beside_kept(
    raw: Any, new_instances: Sequence[NewInstance], now: int, sender: str
) -> dict[str, CreatedRow]:
    """Create instances in a transaction, and return them, the known and the deleted ones by external id.

    An insert waits for a transaction that deletes an instance of the same external id, and its own snapshot does not
    see what that one keeps: so the kept external ids are read behind it. One that is deleted between two statements,
    and not kept, is created in another round.
    """
    known: dict[str, CreatedRow] = {}
    while missing := [new for new in new_instances if new.external_id not in known]:
        names = {new.external_id for new in missing}
        created = await _insert_instances(raw, statements.CREATE, missing, now, sender)
        pruned = dict(map(tuple, await raw.fetch(statements.FIND_PRUNED, list(names))))
        if late := pruned.keys() & created.keys():
            await raw.execute(statements.DELETE_PRUNED, list(late))
            types = (new.type for new in missing if new.external_id in late)
            writer_id: int = raw.backend_pid
            counts = [(writer_id, *count) for count in count_opened(types, now, amount=-1)]
            await raw.executemany(statements.ADD_COUNTS, counts)
        known |= await _find_known(raw, names - created.keys()) | created
        known |= {name: CreatedRow(id, is_new=False, is_pruned=True) for name, id in pruned.items()}
    return known


async def _insert_instances(
    raw: Any, sql: str, new_instances: Sequence[NewInstance], now: int, sender: str
) -> dict[str, CreatedRow]:
    rows = [NEW_INSTANCE_ENCODER.encode(new) for new in new_instances]
    _check_size(sum(new.text_length for new in new_instances), rows)
    return {
        name: CreatedRow(id, is_new=True, is_leased=is_leased)
        for id, name, is_leased, _ in await raw.fetch(sql, *statements.NEW_INSTANCE_BINDS.encode(rows), now, sender)
    }


async def _find_known(raw: Any, names: Collection[str]) -> dict[str, CreatedRow]:
    rows = await raw.fetch(statements.FIND_KNOWN, list(names)) if names else []
    return {name: CreatedRow(id, is_new=False) for name, id in rows}


def _find_released_groups(batch: Batch) -> set[str]:
    """Return the groups of instances that are given up although they are due: other executors may take them."""
    return {
        t.instance.group
        for t in batch.transitions
        if t.status is _IN_PROGRESS and t.next_activation_us is not None and t.next_activation_us <= batch.now
    }


async def _apply_rows(raw: Any, batch: Batch, notifications: Sequence[str] | None = None) -> set[int]:
    rows = [
        [*count_activations(transition), *TRANSITION_ENCODER.encode(transition)] for transition in batch.transitions
    ]
    action_rows = encode_action_rows(batch.transitions)
    _check_size(sum(transition.text_length for transition in batch.transitions), [*rows, *action_rows])
    binds = statements.BATCH_BINDS.encode(rows) + statements.ACTION_BINDS.encode(action_rows)
    applied = await raw.fetch(statements.COMMIT, batch.executor_id, notifications, *binds)
    return {id for id, _ in applied}


def _check_size(text_length: int, rows: Sequence[Sequence[Any]]) -> None:
    """Refuse rows that one message cannot carry. Their bytes are counted only where they may be too many."""
    if connection.SIZE_LIMIT.may_exceed(text_length):
        connection.SIZE_LIMIT.check_values(value for row in rows for value in row)
