"""The engine's writes to PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import count
from typing import Any

import asyncpg

from flowlet.instance.instance import Status
from flowlet.instance.new_instance import NewInstance
from flowlet.store.columns import Column, Table, list_names
from flowlet.store.counter_buckets import CounterBucket, count_activations
from flowlet.store.dialects.batch import (
    Batch,
    BatchResult,
    ClaimRequest,
    CreatedRow,
    Followups,
    collect_followups,
    split_children,
)
from flowlet.store.dialects.postgres import connection, statements
from flowlet.store.dialects.postgres.claims import claim_instances, find_next_due
from flowlet.store.dialects.transaction import begin_transaction
from flowlet.store.rows import ACTION_COLUMNS, NEW_INSTANCE_ENCODER, TRANSITION_ENCODER, encode_action_rows

__all__ = ["PostgresWrites"]


class PostgresWrites:
    """PostgreSQL's part for writes.

    Args:
        process_name: The sender's name in notifications.
    """

    writer_count = 2

    def __init__(self, process_name: str) -> None:
        self._process_name = process_name
        self._turns = count()

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease, in one statement."""
        value: int | None = await raw.fetchval(statements.RENEW_LEASE, executor_id, lease_microseconds, claimed_at)
        return value

    async def claim(self, raw: Any, request: ClaimRequest) -> list[Sequence[Any]]:
        """Lease due instances, the higher priority first, and return their rows."""
        return await claim_instances(raw, request, next(self._turns))

    async def find_next_due(self, raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
        """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
        return await find_next_due(raw, groups, types, now)

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch: one statement, or a transaction of several where other rows are touched."""
        if in_transaction:
            return await self._apply_batch(raw, batch)
        if collect_followups(batch.transitions).is_empty:
            return BatchResult(await _apply_rows(raw, batch), _find_released_groups(batch))
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
        """Create instances and notify the processes of their groups: one statement, and a look at the external ids.

        Inside of a transaction this process cannot say when they exist, and has to hear of its own notification.
        """
        _check_size(
            sum(new.text_length for new in new_instances), [NEW_INSTANCE_ENCODER.encode(new) for new in new_instances]
        )
        async with contextlib.nullcontext() if in_transaction else begin_transaction(raw.execute):
            sender = statements.format_notification("" if in_transaction else self._process_name)
            return await _insert_instances(raw, new_instances, now, sender)

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents, consume and await messages."""
        for children in split_children(batch_followups.children):
            created = await self.create(raw, children, now, in_transaction=True)
            if not all(row.is_new for row in created):
                raise asyncpg.UniqueViolationError("a child's external id exists already")
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
        binds = ", ".join(f"${place}" for place, _ in enumerate(columns, 1))
        await raw.executemany(f"INSERT INTO {table} ({list_names(columns)}) VALUES ({binds})", rows)

    async def raise_next_id(self, raw: Any, table: Table, id: int) -> None:
        """Set the sequence forward. The lock keeps others from taking a number of it in between."""
        if (await raw.fetchval(statements.READ_LAST_ID.format(table=table)) or 0) < id:
            await raw.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            await raw.fetchval(statements.RAISE_NEXT_ID.format(table=table), id)

    async def delete_instances(self, raw: Any, ids: Sequence[int]) -> None:
        """Delete instances, their history and messages, in one statement."""
        await raw.fetch(statements.DELETE_INSTANCES, list(ids))


async def _insert_instances(raw: Any, new_instances: Sequence[NewInstance], now: int, sender: str) -> list[CreatedRow]:
    """Create instances, and return each one's answer.

    An insert waits for a transaction that deletes an instance of the same external id, and its own snapshot does not
    see what that one keeps: so the kept external ids are read behind it. One that is deleted between two statements,
    and not kept, is created in another round.
    """
    known: dict[str, CreatedRow] = {}
    created: dict[str, int] = {}
    while missing := [new for new in new_instances if new.external_id not in known]:
        rows = [NEW_INSTANCE_ENCODER.encode(new) for new in missing]
        found = {name: id for id, name, _ in await raw.fetch(statements.CREATE, *_transpose(rows), now, sender)}
        names = list({new.external_id for new in missing})
        pruned = dict(map(tuple, await raw.fetch(statements.FIND_PRUNED, names)))
        if late := pruned.keys() & found.keys():
            await raw.execute(statements.DELETE_PRUNED, list(late))
        if len(found) < len(names):
            known |= {name: CreatedRow(id, is_new=False) for name, id in await raw.fetch(statements.FIND_KNOWN, names)}
        known |= {name: CreatedRow(id, is_new=False) for name, id in found.items()}
        known |= {name: CreatedRow(id, is_new=False, is_pruned=True) for name, id in pruned.items()}
        created |= {name: id for name, id in found.items() if name not in pruned}
    return [
        known[new.external_id]._replace(is_new=created.pop(new.external_id, None) is not None) for new in new_instances
    ]


def _find_released_groups(batch: Batch) -> set[str]:
    """Return the groups of instances that are given up although they are due: other executors may take them."""
    return {
        t.instance.group
        for t in batch.transitions
        if t.status is Status.IN_PROGRESS and t.next_activation_us is not None and t.next_activation_us <= batch.now
    }


async def _apply_rows(raw: Any, batch: Batch) -> set[int]:
    rows = [
        [*count_activations(transition), *TRANSITION_ENCODER.encode(transition)] for transition in batch.transitions
    ]
    action_rows = encode_action_rows(batch.transitions)
    _check_size(sum(transition.text_length for transition in batch.transitions), [*rows, *action_rows])
    actions = _transpose(action_rows) if action_rows else [[] for _ in ACTION_COLUMNS]
    applied = await raw.fetch(statements.COMMIT, batch.executor_id, *_transpose(rows), *actions)
    return {id for (id,) in applied}


def _check_size(text_length: int, rows: Sequence[Sequence[Any]]) -> None:
    """Refuse rows that one message cannot carry. Their bytes are counted only where they may be too many."""
    if connection.SIZE_LIMIT.may_exceed(text_length):
        connection.SIZE_LIMIT.check_values(value for row in rows for value in row)


def _transpose(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any] | None]:
    """Return the columns of rows; None for one of NULLs only, which ``unnest`` fills up with NULLs again.

    The driver takes as long for each NULL of an array as for a value.
    """
    count = len(rows)
    return [None if column.count(None) == count else column for column in zip(*rows, strict=True)]
