"""The engine's writes to SQLite: batches are applied row by row in one hop to the connection's thread.

Measured against ``json_each`` through ``databases``: twice as fast (8,300 against 4,000 workflows a second).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import orjson

from flowlet.instance.new_instance import NewInstance
from flowlet.store.columns import Column, Table, list_names
from flowlet.store.counter_buckets import (
    COUNTER_COLUMNS,
    COUNTER_KEY,
    COUNTER_ROW_NAMES,
    SHARED_WRITER_ID,
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
)
from flowlet.store.dialects.breaker_counts import list_result_statements
from flowlet.store.dialects.message_waits import build_consume_sql, build_wait_sql
from flowlet.store.dialects.sizes import SizeLimit
from flowlet.store.dialects.sqlite.claims import claim_instances, find_next_due, run_in_transaction
from flowlet.store.dialects.sqlite.connection import get_size_limit
from flowlet.store.dialects.sqlite.statement import PlacedStatement
from flowlet.store.limits.table import LANE_PAUSE
from flowlet.store.people.entry_rows import ENTRY_COLUMNS, encode_entry_row, list_entry_rows
from flowlet.store.people.tables import INBOX
from flowlet.store.rows import (
    ACTION_COLUMNS,
    NEW_INSTANCE_ENCODER,
    NEW_ROW_NAMES,
    TRANSITION_ENCODER,
    build_new_values_sql,
    encode_action_rows,
    encode_created_action_row,
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

__all__ = ["SQLiteWrites"]


_INSERT_ACTION = f"INSERT INTO {ACTION} ({list_names(ACTION_COLUMNS)}) VALUES ({', '.join('?' * len(ACTION_COLUMNS))})"
_FIND_ID = f"SELECT id FROM {WORKFLOW} WHERE external_id = ?"
_FIND_PRUNED_ID = f"SELECT workflow_id FROM {EXTERNAL_ID} WHERE external_id = ?"

_NEW_NAMES = (*NEW_INSTANCE_ENCODER.names, "now")
_INSERT_NEW = PlacedStatement(
    f"""
INSERT INTO {WORKFLOW} ({", ".join(NEW_ROW_NAMES)})
SELECT {build_new_values_sql(":now", LANE_PAUSE)}
FROM (SELECT {", ".join(f":{name} AS {name}" for name in NEW_INSTANCE_ENCODER.names)}) b
WHERE NOT EXISTS (SELECT 1 FROM {EXTERNAL_ID} WHERE external_id = b.external_id)
ON CONFLICT (external_id) DO NOTHING RETURNING id, executor_id IS NOT NULL
""",
    _NEW_NAMES,
)
_BATCH_NAMES = (*TRANSITION_ENCODER.names, "executor_id")
# The executor, the token, the version, and whether a pause was requested meanwhile.
_FENCE = (
    "id = :id AND executor_id = :executor_id AND token = :token AND version = :version AND pause_requested = :pausing"
)
_COMMIT = PlacedStatement(
    f"""
UPDATE {WORKFLOW} SET status = :status, state = :state, vars = COALESCE(:vars, vars),
    next_activation = CASE WHEN (:rests AND woken) OR open_children + :spawned <= :wake_at_open_children
        THEN :at ELSE :next_activation END,
    attempt = :attempt, visit = :visit, streak = :streak, crashes = 0,
    executor_id = CASE WHEN :status = 'EXECUTING' THEN executor_id END, version = version + 1,
    children = children + :spawned, open_children = open_children + :spawned,
    wake_at_open_children = CASE WHEN open_children + :spawned > :wake_at_open_children AND NOT woken
        THEN :wake_at_open_children END,
    pause_requested = 0,
    held_status = :held_status, answer = :answer, reason = :reason, modified = :at, ended = :ended,
    fingerprint = :fingerprint, failed = :failed,
    unsnapped_characters = COALESCE(:unsnapped_characters, unsnapped_characters),
    gate = :gate, vars_version = COALESCE(:vars_version, vars_version)
WHERE {_FENCE}
""",
    _BATCH_NAMES,
)
# SQLite writes each index of each column that a statement sets, even to the value that it has. A step
# sets no column of an index.
_COMMIT_STEP = PlacedStatement(
    f"""
UPDATE {WORKFLOW} SET state = :state, vars = COALESCE(:vars, vars), visit = :visit, streak = :streak, crashes = 0,
    version = version + 1, modified = :at,
    unsnapped_characters = COALESCE(:unsnapped_characters, unsnapped_characters),
    vars_version = COALESCE(:vars_version, vars_version)
WHERE {_FENCE}
""",
    _BATCH_NAMES,
)
_END_CHILD = f"""
UPDATE {WORKFLOW} SET open_children = open_children - :ended,
    next_activation = CASE WHEN open_children - :ended <= wake_at_open_children THEN :now ELSE next_activation END,
    wake_at_open_children = CASE WHEN open_children - :ended > wake_at_open_children THEN wake_at_open_children END
WHERE id = :id
"""
# A parent that is executing is about to wait: its next commit finds the mark.
_WAKE = f"""
UPDATE {WORKFLOW} SET woken = (status = 'EXECUTING'), wake_at_open_children = NULL,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE :now END
WHERE id = :id AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
"""
_FIND_TAKEN = f"""
SELECT 1 FROM json_each(:names) name WHERE EXISTS (SELECT 1 FROM {WORKFLOW} WHERE external_id = name.value)
    OR EXISTS (SELECT 1 FROM {EXTERNAL_ID} WHERE external_id = name.value) LIMIT 1
"""
_INSERT_SPAWN = f"INSERT INTO {SPAWN} ({list_names(SPAWN.columns)}) VALUES ({', '.join('?' * len(SPAWN.columns))})"
_DELETE_ENTRY = f"DELETE FROM {INBOX} WHERE workflow_id = ?"
_INSERT_ENTRY = f"INSERT INTO {INBOX} ({list_names(ENTRY_COLUMNS)}) VALUES ({', '.join('?' * len(ENTRY_COLUMNS))})"
_CONSUME, _WAIT = build_consume_sql(":{}".format), build_wait_sql(":{}".format)
_ADD_COUNTS_SQL = f"""
INSERT INTO {COUNTER} ({", ".join(COUNTER_ROW_NAMES)}) VALUES ({", ".join("?" * len(COUNTER_ROW_NAMES))})
ON CONFLICT ({", ".join(COUNTER_KEY)}) DO UPDATE
SET {", ".join(f"{column} = {column} + excluded.{column}" for column in COUNTER_COLUMNS)}
"""
_RENEW_LEASE = f"""
UPDATE {EXECUTOR} SET beat = ?, lease_until = ?, claimed = COALESCE(?, claimed)
WHERE id = ? AND status IN ('RUNNING', 'DRAINING')
"""


class SQLiteWrites:
    """SQLite's part for writes."""

    writer_count = 1

    def __init__(self) -> None:
        self._turns = count()

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease by this machine's time."""
        beat: int | None = await raw._execute(_renew_lease, raw._conn, executor_id, lease_microseconds, claimed_at)
        return beat

    async def claim(self, raw: Any, request: ClaimRequest) -> LeasedRows:
        """Lease due instances of the highest priority, and return them."""
        leased: LeasedRows = await raw._execute(claim_instances, raw._conn, request, next(self._turns))
        return leased

    async def find_next_due(self, raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
        """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
        due: int | None = await raw._execute(find_next_due, raw._conn, groups, types, now)
        return due

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch in one hop to the connection's thread."""
        return BatchResult(await raw._execute(_commit_batch, raw._conn, batch, in_transaction), set())

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[CreatedRow]:
        """Create instances in one hop to the connection's thread."""
        create = _insert_instances if in_transaction else _create_instances
        created: list[CreatedRow] = await raw._execute(create, raw._conn, new_instances, now)
        return created

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents, write messages and the inbox."""
        await raw._execute(_apply_followups, raw._conn, batch_followups, now)
        return set()

    def get_writer_id(self, raw: Any) -> int:
        """Return the number of the common rows: only one writes at a time."""
        return SHARED_WRITER_ID

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts."""
        await raw._execute(_add_counts, raw._conn, writer_id, counts)

    async def insert_rows(
        self, raw: Any, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows in one hop to the connection's thread."""
        sql = f"INSERT INTO {table} ({list_names(columns)}) VALUES ({', '.join('?' * len(columns))})"
        await raw._execute(raw._conn.executemany, sql, rows)

    async def raise_next_id(self, raw: Any, table: Table, id: int) -> None:
        """Do nothing: AUTOINCREMENT counts on from the highest id."""

    async def announce_kept_external_ids(self, raw: Any) -> None:
        """Do nothing: each create looks for them."""

    async def delete_instances(self, raw: Any, ids: Sequence[int]) -> None:
        """Delete instances, and all that belongs to them in one hop to the connection's thread."""
        await raw._execute(_delete_instances, raw._conn, ids)


def _renew_lease(
    connection: sqlite3.Connection, executor_id: str, lease_microseconds: int, claimed_at: int | None
) -> int | None:
    def update_lease() -> int | None:
        now = time.time_ns() // 1000  # noqa: TID251 - read once the write lock is held
        values = (now, now + lease_microseconds, claimed_at, executor_id)
        return now if connection.execute(_RENEW_LEASE, values).rowcount else None

    beat: int | None = run_in_transaction(connection, update_lease)
    return beat


def _commit_batch(connection: sqlite3.Connection, batch: Batch, in_transaction: bool) -> set[int]:
    if in_transaction:
        return _apply_batch(connection, batch)
    applied: set[int] = run_in_transaction(connection, lambda: _apply_batch(connection, batch))
    return applied


def _apply_batch(connection: sqlite3.Connection, batch: Batch) -> set[int]:
    write, executor_id = connection.execute, batch.executor_id
    limit = get_size_limit(connection)
    for transition in batch.transitions:
        if limit.may_exceed(transition.text_length):
            _check_rows(limit, [TRANSITION_ENCODER.encode(transition), *encode_action_rows([transition])])
    held = []
    for transition in batch.transitions:
        statement = _COMMIT_STEP if transition.is_step else _COMMIT
        values = statement.bind([*TRANSITION_ENCODER.encode(transition), executor_id])
        if write(statement.sql, values).rowcount == 1:
            held.append(transition)
    connection.executemany(_INSERT_ACTION, encode_action_rows(held))
    _apply_followups(connection, collect_followups(held), batch.now)
    _add_counts(connection, SHARED_WRITER_ID, count_transitions(held))
    return {transition.instance.id for transition in held}


def _check_rows(limit: SizeLimit, rows: Iterable[Sequence[Any]]) -> None:
    """Refuse a row that is too large."""
    for row in rows:
        limit.check_values(row)


def _apply_followups(connection: sqlite3.Connection, batch_followups: Followups, now: int) -> None:
    for row in _insert_instances(connection, batch_followups.children, now):
        if not row.is_new:
            raise sqlite3.IntegrityError("a child's external id exists already")
    for spawn in batch_followups.spawns:
        _store_spawn(connection, spawn)
    connection.executemany(
        _END_CHILD, [{"id": id, "ended": ended, "now": now} for id, ended in batch_followups.ended_child_counts]
    )
    connection.executemany(_WAKE, [{"id": id, "now": now} for id in batch_followups.woken_parents])
    waits = [one.build_binds(now) for one in batch_followups.messages]
    connection.executemany(_CONSUME, [wait for wait in waits if wait["consumed_count"]])
    connection.executemany(_WAIT, waits)
    for one in batch_followups.results:
        for sql in list_result_statements(one, ":{}".format):
            connection.execute(sql, one.build_binds())
    if batch_followups.inbox:
        connection.executemany(_DELETE_ENTRY, [(id,) for id, _ in batch_followups.inbox])
        connection.executemany(_INSERT_ENTRY, list_entry_rows(batch_followups.inbox))


def _store_spawn(connection: sqlite3.Connection, spawn: SpawnFollowup) -> None:
    """Store the children of a large spawn, whose external ids are all free."""
    limit = get_size_limit(connection)
    for part, row in zip(spawn.parts, spawn.encode_rows(), strict=True):
        if limit.may_exceed(part.text_length):
            limit.check_values(row)
        if connection.execute(_FIND_TAKEN, {"names": orjson.dumps(part.external_ids).decode()}).fetchone():
            raise sqlite3.IntegrityError("a child's external id exists already")
        connection.execute(_INSERT_SPAWN, row)


def _add_counts(connection: sqlite3.Connection, writer_id: int, counts: Sequence[CounterBucket]) -> None:
    connection.executemany(_ADD_COUNTS_SQL, [(writer_id, *count) for count in counts])


def _delete_instances(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    rows = [(id,) for id in ids]
    connection.executemany(f"DELETE FROM {ACTION} WHERE workflow_id = ?", rows)
    connection.executemany(f"DELETE FROM {MESSAGE} WHERE workflow_id = ?", rows)
    for table in INSTANCE_TABLES:
        connection.executemany(f"DELETE FROM {table} WHERE workflow_id = ?", rows)
    connection.executemany(f"DELETE FROM {WORKFLOW} WHERE id = ?", rows)


def _create_instances(
    connection: sqlite3.Connection, new_instances: Sequence[NewInstance], now: int
) -> list[CreatedRow]:
    created: list[CreatedRow] = run_in_transaction(
        connection, lambda: _insert_instances(connection, new_instances, now)
    )
    return created


def _insert_instances(
    connection: sqlite3.Connection, new_instances: Sequence[NewInstance], now: int
) -> list[CreatedRow]:
    created = []
    actions = []
    limit = get_size_limit(connection)
    for new in new_instances:
        if limit.may_exceed(new.text_length):
            _check_rows(limit, [encode_created_action_row(0, new, now)])
        values = _INSERT_NEW.bind([*NEW_INSTANCE_ENCODER.encode(new), now])
        found = connection.execute(_INSERT_NEW.sql, values).fetchone()
        if found is None:
            created.append(_find_known(connection, new.external_id))
            continue
        id, is_leased = found
        created.append(CreatedRow(id, is_new=True, is_leased=bool(is_leased)))
        actions.append(encode_created_action_row(id, new if is_leased else replace(new, executor_id=None), now))
        if new.inbox is not None:
            connection.execute(_INSERT_ENTRY, encode_entry_row(id, new.inbox))
    connection.executemany(_INSERT_ACTION, actions)
    opened = [new.type for new, row in zip(new_instances, created, strict=True) if row.is_new]
    _add_counts(connection, SHARED_WRITER_ID, count_opened(opened, now))
    return created


def _find_known(connection: sqlite3.Connection, external_id: str) -> CreatedRow:
    """Return the instance that has an external id, or of which it is kept."""
    if (pruned := connection.execute(_FIND_PRUNED_ID, (external_id,)).fetchone()) is not None:
        return CreatedRow(pruned[0], is_new=False, is_pruned=True)
    (id,) = connection.execute(_FIND_ID, (external_id,)).fetchone()
    return CreatedRow(id, is_new=False)
