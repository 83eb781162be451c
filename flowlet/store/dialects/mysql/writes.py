"""The engine's writes to MariaDB 10.6 and later, and MySQL 8: batches as one JSON document, joined by JSON_TABLE.

Neither has UPDATE ... RETURNING: how many rows the fence let through is read from the row count; where some are
missing, the batch is rolled back, the rows that hold are locked and read, and these alone are written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pymysql

from flowlet.instance.new_instance import NewInstance
from flowlet.store.columns import Column, Table, list_names
from flowlet.store.counter_buckets import (
    COUNTER_COLUMNS,
    COUNTER_ROW_NAMES,
    CounterBucket,
    count_opened,
    count_transitions,
)
from flowlet.store.dialects.batch import (
    Batch,
    BatchResult,
    ClaimRequest,
    CreatedRow,
    Followups,
    LeasedRows,
    SpawnFollowup,
    collect_followups,
    split_children,
)
from flowlet.store.dialects.breaker_counts import list_result_statements
from flowlet.store.dialects.message_waits import build_consume_sql, build_wait_sql
from flowlet.store.dialects.mysql.batch_table import BatchTable
from flowlet.store.dialects.mysql.claims import claim_instances, find_next_due
from flowlet.store.dialects.mysql.connection import NOW_SQL
from flowlet.store.dialects.mysql.schema import ROOM_COLUMN
from flowlet.store.dialects.mysql.session import refuse_too_large
from flowlet.store.dialects.mysql.statement import (
    build_inserts,
    execute_and_count,
    fetch_rows,
    fill_in,
    insert_rows,
    run_together,
)
from flowlet.store.dialects.transaction import begin_transaction, end_transaction
from flowlet.store.limits.table import LANE_PAUSE
from flowlet.store.people.entry_rows import ENTRY_COLUMNS, encode_entry_row, list_entry_rows
from flowlet.store.people.tables import INBOX
from flowlet.store.rows import (
    ACTION_COLUMNS,
    NEW_ROW_NAMES,
    encode_action_rows,
    encode_created_action_row,
    encode_new_row,
)
from flowlet.store.tables import (
    ACTION,
    COUNTER,
    EXECUTOR,
    EXTERNAL_ID,
    INSTANCE_TABLES,
    MESSAGE,
    SPAWN,
    WORKFLOW,
)

__all__ = ["MySQLWrites"]

_FENCE = (
    "w.executor_id = {executor_id} AND w.token = b.token AND w.version = b.version AND w.pause_requested = b.pausing"
)
# STRAIGHT_JOIN fixes the order: the batch first, then each row by its key. No assignment reads a column that another
# one has changed, because MySQL does not say in which order they are made: new children are counted afterwards.
_COMMIT = f"""
UPDATE {{batch}} STRAIGHT_JOIN {WORKFLOW} w ON w.id = b.id
SET w.status = b.status, w.state = b.state, w.vars = COALESCE(b.vars, w.vars),
    w.next_activation = CASE WHEN (b.rests = 1 AND w.woken = 1)
        OR w.open_children + b.spawned <= b.wake_at_open_children THEN b.at ELSE b.next_activation END,
    w.attempt = b.attempt, w.visit = b.visit, w.streak = b.streak, w.crashes = 0,
    w.executor_id = CASE WHEN b.status = 'EXECUTING' THEN w.executor_id END, w.version = w.version + 1,
    w.wake_at_open_children = CASE WHEN w.open_children + b.spawned > b.wake_at_open_children AND w.woken = 0
        THEN b.wake_at_open_children END,
    w.pause_requested = 0, w.held_status = b.held_status, w.answer = b.answer, w.reason = b.reason,
    w.modified = b.at, w.ended = b.ended, w.fingerprint = b.fingerprint, w.failed = b.failed,
    w.unsnapped_characters = COALESCE(b.unsnapped_characters, w.unsnapped_characters),
    w.gate = b.gate, w.vars_version = COALESCE(b.vars_version, w.vars_version), w.{ROOM_COLUMN} = ''
WHERE {_FENCE}
"""
_ADD_CHILDREN = f"""
UPDATE {{batch}} STRAIGHT_JOIN {WORKFLOW} w ON w.id = b.id
SET w.children = w.children + b.spawned, w.open_children = w.open_children + b.spawned
WHERE b.spawned > 0
"""
_LOCK_HELD = f"SELECT w.id FROM {{batch}} STRAIGHT_JOIN {WORKFLOW} w ON w.id = b.id WHERE {_FENCE} FOR UPDATE"
# From left to right: MySQL's single-table UPDATE reads what it has just assigned.
_END_CHILD = f"""
UPDATE {WORKFLOW} SET
    next_activation = CASE WHEN open_children - %s <= wake_at_open_children THEN %s ELSE next_activation END,
    wake_at_open_children = CASE WHEN open_children - %s > wake_at_open_children THEN wake_at_open_children END,
    open_children = open_children - %s
WHERE id = %s
"""
# A parent that is executing is about to wait: its next commit finds the mark.
_WAKE = f"""
UPDATE {WORKFLOW} SET woken = (status = 'EXECUTING'), wake_at_open_children = NULL,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE %s END
WHERE id = %s AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
"""
_CONSUME, _WAIT = build_consume_sql("%({})s".format), build_wait_sql("%({})s".format)
_INSERT_ACTION = f"INSERT INTO {ACTION} ({list_names(ACTION_COLUMNS)}) VALUES "
_INSERT_NEW = f"INSERT INTO {WORKFLOW} ({', '.join(NEW_ROW_NAMES)}) VALUES "
_INSERT_ENTRY = f"INSERT INTO {INBOX} ({list_names(ENTRY_COLUMNS)}) VALUES "
_FIND_PAUSE = f"SELECT 1 FROM {LANE_PAUSE} LIMIT 1"
_FIND_IDS = f"SELECT external_id, id FROM {WORKFLOW} WHERE external_id IN ({{}})"
_FIND_PRUNED_IDS = f"SELECT external_id, workflow_id FROM {EXTERNAL_ID} WHERE external_id IN ({{}})"
_DELETE_BY_ID = f"DELETE FROM {WORKFLOW} WHERE id IN ({{}})"
# As a derived table: MySQL 8 warns of VALUES() in an update, and MariaDB has no alias for the row.
_COUNTER_ROW = f"SELECT {', '.join(f'%s AS {name}' for name in COUNTER_ROW_NAMES)}"
_ADD_COUNTS = f"""
INSERT INTO {COUNTER} ({", ".join(COUNTER_ROW_NAMES)}) SELECT * FROM ({{}}) b
ON DUPLICATE KEY UPDATE {", ".join(f"{column} = {COUNTER}.{column} + b.{column}" for column in COUNTER_COLUMNS)}
"""
# The time is read when the row's lock is held; from left to right, the lease counts from the new beat.
_RENEW_LEASE = (
    f"UPDATE {EXECUTOR} SET beat = {NOW_SQL}, lease_until = beat + %s, claimed = COALESCE(%s, claimed) "
    "WHERE id = %s AND status IN ('RUNNING', 'DRAINING')"
)


class MySQLWrites:
    """The part of MariaDB and MySQL for writes."""

    writer_count = 3

    def __init__(self) -> None:
        self._turns = count()

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease; the rows that the condition found are counted, not those that it changed."""
        if not await execute_and_count(raw, _RENEW_LEASE, (lease_microseconds, claimed_at, executor_id)):
            return None
        ((now,),) = await fetch_rows(raw, f"SELECT {NOW_SQL}")
        return int(now)

    async def claim(self, raw: Any, request: ClaimRequest) -> LeasedRows:
        """Lease due instances of the highest priority, and return them."""
        return await claim_instances(raw, request, next(self._turns))

    async def find_next_due(self, raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
        """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
        return await find_next_due(raw, groups, types, now)

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch; where a fence does not hold, roll back and write the others."""
        if in_transaction:
            return BatchResult(await self._apply_held(raw, batch), set())
        with contextlib.suppress(_FenceLostError):
            async with end_transaction(raw.query):
                return BatchResult(await self._apply_batch(raw, batch, first=["BEGIN"]), set())
        async with begin_transaction(raw.query):
            return BatchResult(await self._apply_held(raw, batch), set())

    async def _apply_batch(self, raw: Any, batch: Batch, *, first: Sequence[str] = ()) -> set[int]:
        """Write a batch, nearly always in one round trip, behind the given statements."""
        transitions, table = batch.transitions, BatchTable(raw, batch.transitions, batch.executor_id)
        commit_sql = table.fill_in(_COMMIT)
        await refuse_too_large(raw, commit_sql)  # before the history is written out, which has the variables again
        statements = [*first, commit_sql]
        if any(transition.spawned for transition in transitions):
            statements.append(table.fill_in(_ADD_CHILDREN))
        statements += await build_inserts(raw, _INSERT_ACTION, encode_action_rows(transitions))
        counts = _build_add_counts(raw, self.get_writer_id(raw), count_transitions(transitions))
        followups = collect_followups(transitions)
        answers = await run_together(raw, statements + (counts if followups.is_empty else []))
        if answers[len(first)].row_count != len(transitions):
            raise _FenceLostError
        if not followups.is_empty:
            await self.apply_followups(raw, followups, batch.now)
            await run_together(raw, counts)
        return {transition.instance.id for transition in transitions}

    async def _apply_held(self, raw: Any, batch: Batch) -> set[int]:
        table = BatchTable(raw, batch.transitions, batch.executor_id)
        held = {id for (id,) in await fetch_rows(raw, table.fill_in(_LOCK_HELD))}
        kept = [transition for transition in batch.transitions if transition.instance.id in held]
        return await self._apply_batch(raw, Batch(batch.executor_id, kept, batch.now)) if kept else set()

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[CreatedRow]:
        """Create instances and their history."""
        if not in_transaction:
            async with end_transaction(raw.query):
                return await self._insert_instances(raw, new_instances, now, first=["BEGIN"])
        try:
            return await self._insert_instances(raw, new_instances, now)
        except pymysql.err.IntegrityError:
            # The caller's transaction may read what was there when it began: a locking read sees what is there now.
            return await self._insert_instances(raw, new_instances, now, find_sql=f"{_FIND_IDS} FOR UPDATE")

    async def _insert_instances(
        self,
        raw: Any,
        new_instances: Sequence[NewInstance],
        now: int,
        *,
        find_sql: str = _FIND_IDS,
        first: Sequence[str] = (),
    ) -> list[CreatedRow]:
        names = [new.external_id for new in new_instances]
        found, pauses = (await run_together(raw, [*first, _fill_in_names(raw, find_sql, names), _FIND_PAUSE]))[-2:]
        known = {name: CreatedRow(id, is_new=False) for name, id in found.rows}
        fresh: dict[str, NewInstance] = {}
        for new in new_instances:
            if new.external_id not in known:
                fresh.setdefault(new.external_id, replace(new, executor_id=None) if pauses.rows else new)
        if fresh:
            # Read behind the insert, which has waited for a deletion of the same external id: it sees what that kept.
            inserts = await build_inserts(raw, _INSERT_NEW, [encode_new_row(new, now) for new in fresh.values()])
            reads = [_fill_in_names(raw, sql, list(fresh)) for sql in (_FIND_IDS, _FIND_PRUNED_IDS)]
            ids, pruned = (dict(answer.rows) for answer in (await run_together(raw, inserts + reads))[-2:])
            if pruned:
                await execute_and_count(raw, _DELETE_BY_ID.format(", ".join(str(ids[name]) for name in pruned)))
            known |= {name: CreatedRow(id, is_new=False, is_pruned=True) for name, id in pruned.items()}
            fresh = {name: new for name, new in fresh.items() if name not in pruned}
            lines = [encode_created_action_row(ids[name], new, now) for name, new in fresh.items()]
            entries = [encode_entry_row(ids[name], new.inbox) for name, new in fresh.items() if new.inbox is not None]
            opened = count_opened((new.type for new in fresh.values()), now)
            await run_together(
                raw,
                [
                    *await build_inserts(raw, _INSERT_ACTION, lines),
                    *await build_inserts(raw, _INSERT_ENTRY, entries),
                    *_build_add_counts(raw, self.get_writer_id(raw), opened),
                ],
            )
            known |= {name: CreatedRow(ids[name], is_new=False) for name in fresh}
        created = []
        for name in names:
            is_new = name in fresh
            is_leased = is_new and fresh.pop(name).executor_id is not None
            created.append(known[name]._replace(is_new=is_new, is_leased=is_leased))
        return created

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents, write messages and the inbox."""
        await self._create_children(raw, batch_followups, now)
        for id, ended in batch_followups.ended_child_counts:
            await fetch_rows(raw, _END_CHILD, (ended, now, ended, ended, id))
        for id in batch_followups.woken_parents:
            await fetch_rows(raw, _WAKE, (now, id))
        for wait in (one.build_binds(now) for one in batch_followups.messages):
            if wait["consumed_count"]:
                await execute_and_count(raw, _CONSUME, wait)
            await execute_and_count(raw, _WAIT, wait)
        for one in batch_followups.results:
            for sql in list_result_statements(one, "%({})s".format):
                await execute_and_count(raw, sql, one.build_binds())
        if batch_followups.inbox:
            listed = ", ".join(str(id) for id, _ in batch_followups.inbox)
            await execute_and_count(raw, f"DELETE FROM {INBOX} WHERE workflow_id IN ({listed})")
            await self.insert_rows(raw, INBOX, ENTRY_COLUMNS, list_entry_rows(batch_followups.inbox))
        return set()

    async def _create_children(self, raw: Any, batch_followups: Followups, now: int) -> None:
        for children in split_children(batch_followups.children):
            created = await self._insert_instances(raw, children, now)
            if not all(row.is_new for row in created):
                raise pymysql.err.IntegrityError(0, "a child's external id exists already")
        for spawn in batch_followups.spawns:
            await self._store_spawn(raw, spawn)

    async def _store_spawn(self, raw: Any, spawn: SpawnFollowup) -> None:
        """Store the children of a large spawn, whose external ids are all free."""
        for part in spawn.parts:
            for sql in (_FIND_IDS, _FIND_PRUNED_IDS):
                if await _read_ids(raw, sql, part.external_ids):
                    raise pymysql.err.IntegrityError(0, "a child's external id exists already")
        await self.insert_rows(raw, SPAWN, SPAWN.columns, spawn.encode_rows())

    def get_writer_id(self, raw: Any) -> int:
        """Return the number that the server has given the connection."""
        number: int = raw.thread_id()
        return number

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts."""
        await run_together(raw, _build_add_counts(raw, writer_id, counts))

    async def insert_rows(
        self, raw: Any, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows, with as few statements as the server accepts."""
        await insert_rows(raw, f"INSERT INTO {table} ({list_names(columns)}) VALUES ", rows)

    async def raise_next_id(self, raw: Any, table: Table, id: int) -> None:
        """Do nothing: AUTO_INCREMENT counts on from the highest id."""

    async def announce_kept_external_ids(self, raw: Any) -> None:
        """Do nothing: each create looks for them."""

    async def delete_instances(self, raw: Any, ids: Sequence[int]) -> None:
        """Delete instances and all that belongs to them.

        By a list of ids: for a subquery MariaDB 10.11 would read the whole table.
        """
        listed = ", ".join(map(str, ids))
        for table in (ACTION, MESSAGE, *INSTANCE_TABLES):
            await execute_and_count(raw, f"DELETE FROM {table} WHERE workflow_id IN ({listed})")
        await execute_and_count(raw, _DELETE_BY_ID.format(listed))


class _FenceLostError(Exception):
    """Another executor holds some row of a batch."""


def _build_add_counts(raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> list[str]:
    """Return the statement that adds to a writer's counts, if there are any."""
    if not counts:
        return []
    rows = " UNION ALL ".join([_COUNTER_ROW] * len(counts))
    return [fill_in(raw, _ADD_COUNTS.format(rows), [value for count in counts for value in (writer_id, *count)])]


def _fill_in_names(raw: Any, sql: str, names: Sequence[str]) -> str:
    return sql.format(", ".join(map(raw.escape, names)))


async def _read_ids(raw: Any, sql: str, names: Sequence[str]) -> dict[str, int]:
    return dict(await fetch_rows(raw, sql.format(", ".join(["%s"] * len(names))), names))
