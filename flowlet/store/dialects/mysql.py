"""MariaDB 10.6 and later, MySQL 8: batches as one JSON document, joined by JSON_TABLE.

Neither has UPDATE ... RETURNING: how many rows the fence let through is read from the row count; where some are
missing, the batch is rolled back, the rows that hold are locked and read, and these alone are written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pymysql
from pymysql.constants import CLIENT

from flowlet.instance.instance import NewInstance
from flowlet.store.counter_buckets import COUNTER_COLUMNS, COUNTER_KEY, CounterBucket, count_transitions
from flowlet.store.dialects.base import (
    Batch,
    BatchResult,
    ClaimRequest,
    Followups,
    begin_transaction,
    collect_followups,
)
from flowlet.store.dialects.listening import ListenRequest
from flowlet.store.dialects.mysql_claims import claim_instances, fetch_rows
from flowlet.store.dialects.mysql_poll import poll_history
from flowlet.store.rows import (
    ACTION_COLUMNS,
    COMMIT_COLUMNS,
    NEW_INSTANCE_COLUMNS,
    encode_action_rows,
    encode_commit_row,
    encode_created_action_row,
    encode_new_instance_row,
)
from flowlet.store.search.prefix import build_range_condition, compute_prefix_end

__all__ = ["MySQL"]

MIGRATION_LOCK_SECONDS = 120
DEADLOCK, LOCK_TIMEOUT, RECORD_CHANGED, DUPLICATE = 1213, 1205, 1020, 1062
_UNAVAILABLE_CODES = frozenset(
    {1021, 1040, 1053, 1077, 1079, 1080, 1114, 1152, 1184, 1290, 1836, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031}
)

_NOW = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
_COLUMN_TYPES = dict.fromkeys(COMMIT_COLUMNS, "bigint") | {
    "status": "varchar(64)",
    "state": "varchar(255)",
    "vars": "longtext",
    "held_status": "varchar(64)",
    "answer": "longtext",
    "reason": "longtext",
    "fingerprint": "varchar(64)",
}
_BATCH = "JSON_TABLE(%s, '$[*]' COLUMNS({})) b".format(
    ", ".join(f"{name} {kind} PATH '$[{place}]'" for place, (name, kind) in enumerate(_COLUMN_TYPES.items()))
)
_FENCE = "w.executor_id = %s AND w.token = b.token AND w.version = b.version AND w.pause_requested = b.pausing"
# STRAIGHT_JOIN fixes the order: the batch first, then each row by its key. No assignment reads a column that another
# one has changed, because MySQL does not say in which order they are made.
_COMMIT = f"""
UPDATE {_BATCH} STRAIGHT_JOIN workflow w ON w.id = b.id
SET w.status = b.status, w.state = b.state, w.vars = COALESCE(b.vars, w.vars),
    w.next_activation = CASE WHEN (b.rests = 1 AND w.woken = 1)
        OR (b.waits = 1 AND b.spawned = 0 AND w.open_children = 0) THEN b.at ELSE b.next_activation END,
    w.attempt = b.attempt, w.visit = b.visit, w.streak = b.streak, w.crashes = 0,
    w.executor_id = CASE WHEN b.status = 'EXECUTING' THEN w.executor_id END, w.version = w.version + 1,
    w.waits_for_children = (b.waits = 1 AND (b.spawned > 0 OR w.open_children > 0) AND w.woken = 0),
    w.children = w.children + b.spawned, w.open_children = w.open_children + b.spawned,
    w.pause_requested = 0, w.held_status = b.held_status, w.answer = b.answer, w.reason = b.reason,
    w.modified = b.at, w.ended = b.ended, w.fingerprint = b.fingerprint, w.failed = b.failed
WHERE {_FENCE}
"""
_LOCK_HELD = f"SELECT w.id FROM {_BATCH} STRAIGHT_JOIN workflow w ON w.id = b.id WHERE {_FENCE} FOR UPDATE"
# From left to right: MySQL's single-table UPDATE reads what it has just assigned.
_END_CHILD = """
UPDATE workflow SET
    next_activation = CASE WHEN waits_for_children AND open_children <= %s THEN %s ELSE next_activation END,
    waits_for_children = (waits_for_children AND open_children > %s), open_children = open_children - %s
WHERE id = %s
"""
# A parent that is executing is about to wait: it finds the mark when it does.
_WAKE = """
UPDATE workflow SET woken = (status = 'EXECUTING'), waits_for_children = 0,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE %s END
WHERE id = %s AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
"""
_INSERT_ACTION = f"INSERT INTO workflow_action ({', '.join(ACTION_COLUMNS)}) VALUES "
_INSERT_NEW = f"INSERT INTO workflow ({', '.join(NEW_INSTANCE_COLUMNS)}) VALUES "
# As a derived table: MySQL 8 warns of VALUES() in an update, and MariaDB has no alias for the row.
_COUNTER_ROW = f"SELECT {', '.join(f'%s AS {column}' for column in (*COUNTER_KEY, *COUNTER_COLUMNS))}"
_ADD_COUNTS = f"""
INSERT INTO workflow_tally ({", ".join((*COUNTER_KEY, *COUNTER_COLUMNS))}) SELECT * FROM ({{}}) b
ON DUPLICATE KEY UPDATE {", ".join(f"{column} = workflow_tally.{column} + b.{column}" for column in COUNTER_COLUMNS)}
"""


class MySQL:
    """The dialect of MariaDB and MySQL."""

    name = "mysql"
    begin_sql = "BEGIN"
    version_sql = "SELECT VERSION()"
    for_update_sql = "FOR UPDATE"
    skip_locked_sql = "FOR UPDATE SKIP LOCKED"
    newest_first_sql = "id DESC"
    has_pool = True
    needs_notifications = False
    has_slow_json = False

    def build_database_url(self, url: str) -> str:
        """Return the URL unchanged."""
        return url

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the pool's options: READ COMMITTED, under which claimers were never seen to deadlock."""
        return {
            "min_size": 1 if for_engine else 0,
            "max_size": 5 if for_engine else 10,
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "pool_recycle": 300,
            "client_flag": CLIENT.FOUND_ROWS,
            "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        }

    async def check_database(self, url: str) -> None:
        """Do nothing: the pool says what is wrong."""

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        rows = await fetch_rows(raw, f"SELECT {_NOW}")
        return int(rows[0][0])

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease; the rows that the condition found are counted, not those that it changed."""
        # The time is read when the row's lock is held; from left to right, the lease counts from the new beat.
        sql = (
            f"UPDATE executor SET beat = {_NOW}, lease_until = beat + %s, claimed = COALESCE(%s, claimed) "
            "WHERE id = %s AND status IN ('RUNNING', 'DRAINING')"
        )
        return (
            await self.read_time(raw)
            if await _execute_and_count(raw, sql, (lease_microseconds, claimed_at, executor_id))
            else None
        )

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates this database; its notes about what exists are not worth a warning."""
        rows = await fetch_rows(raw, "SELECT GET_LOCK(CONCAT('flowlet ', DATABASE()), %s)", (MIGRATION_LOCK_SECONDS,))
        if rows[0][0] != 1:
            raise TimeoutError(f"another process has been migrating for {MIGRATION_LOCK_SECONDS} seconds")
        await fetch_rows(raw, "SET SESSION sql_notes = 0")

    async def unlock_migrations(self, raw: Any) -> None:
        """Let the next process migrate."""
        await fetch_rows(raw, "SET SESSION sql_notes = 1")
        await fetch_rows(raw, "SELECT RELEASE_LOCK(CONCAT('flowlet ', DATABASE()))")

    async def claim(self, raw: Any, request: ClaimRequest) -> list[Sequence[Any]]:
        """Lease due instances, the higher priority first, and return their rows."""
        return await claim_instances(raw, request)

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch; where a fence does not hold, roll back and write the others."""
        if in_transaction:
            return BatchResult(await self._apply_held(raw, batch), set())
        with contextlib.suppress(_FenceLostError):
            async with begin_transaction(raw.query):
                return BatchResult(await self._apply_batch(raw, batch), set())
        async with begin_transaction(raw.query):
            return BatchResult(await self._apply_held(raw, batch), set())

    async def _apply_batch(self, raw: Any, batch: Batch) -> set[int]:
        document = orjson.dumps([encode_commit_row(transition) for transition in batch.transitions]).decode()
        if await _execute_and_count(raw, _COMMIT, (document, batch.executor_id)) != len(batch.transitions):
            raise _FenceLostError
        await _insert_rows(raw, _INSERT_ACTION, encode_action_rows(batch.transitions))
        await self.apply_followups(raw, collect_followups(batch.transitions), batch.now)
        await self.add_counts(raw, self.get_writer_id(raw), count_transitions(batch.transitions))
        return {transition.instance.id for transition in batch.transitions}

    async def _apply_held(self, raw: Any, batch: Batch) -> set[int]:
        document = orjson.dumps([encode_commit_row(transition) for transition in batch.transitions]).decode()
        held = {row[0] for row in await fetch_rows(raw, _LOCK_HELD, (document, batch.executor_id))}
        kept = [transition for transition in batch.transitions if transition.instance.id in held]
        return await self._apply_batch(raw, Batch(batch.executor_id, kept, batch.now)) if kept else set()

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[tuple[int, bool]]:
        """Create instances and their history."""
        async with contextlib.nullcontext() if in_transaction else begin_transaction(raw.query):
            return await self._insert_instances(raw, new_instances, now)

    async def _insert_instances(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int
    ) -> list[tuple[int, bool]]:
        names = [new.external_id for new in new_instances]
        known = await _read_ids(raw, names)
        fresh: dict[str, NewInstance] = {}
        for new in new_instances:
            if new.external_id not in known:
                fresh.setdefault(new.external_id, new)
        if fresh:
            await _insert_rows(raw, _INSERT_NEW, [encode_new_instance_row(new, now) for new in fresh.values()])
            ids = await _read_ids(raw, list(fresh))
            await _insert_rows(
                raw, _INSERT_ACTION, [encode_created_action_row(ids[name], new, now) for name, new in fresh.items()]
            )
            known.update(ids)
        created = []
        for name in names:
            created.append((known[name], name in fresh))
            fresh.pop(name, None)
        return created

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents."""
        if batch_followups.children:
            created = await self._insert_instances(raw, batch_followups.children, now)
            if not all(is_new for _, is_new in created):
                raise pymysql.err.IntegrityError(0, "a child's external id exists already")
        for id, ended in batch_followups.ended_child_counts:
            await fetch_rows(raw, _END_CHILD, (ended, now, ended, ended, id))
        for id in batch_followups.woken_parents:
            await fetch_rows(raw, _WAKE, (now, id))
        return set()

    def get_writer_id(self, raw: Any) -> int:
        """Return the number that the server has given the connection."""
        number: int = raw.thread_id()
        return number

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts."""
        if counts:
            rows = " UNION ALL ".join([_COUNTER_ROW] * len(counts))
            values = [value for count in counts for value in (*count[:2], writer_id, *count[2:])]
            await _execute_and_count(raw, _ADD_COUNTS.format(rows), values)

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes poll."""

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes poll."""

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Poll the end of the history."""
        await poll_history(listen_request)

    def build_ids_sql(self, bind: str) -> str:
        """Return the elements of a JSON array."""
        return f"SELECT b.id FROM JSON_TABLE(:{bind}, '$[*]' COLUMNS(id bigint PATH '$')) b"

    def encode_ids(self, ids: Sequence[int]) -> str:
        """Return the ids as the text of a JSON array."""
        return orjson.dumps(ids).decode()

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return a range made by hand: that of LIKE loses names that go on with a letter beyond U+FFFF."""
        return f"{build_range_condition(column, bind)} AND CHAR_LENGTH({column}) >= :{bind}_length"

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return the range and the length: a column is compared as if it went on with spaces, NUL comes before them."""
        return {bind: f"{prefix}\0", f"{bind}_end": f"{compute_prefix_end(prefix)}\0", f"{bind}_length": len(prefix)}

    def build_variable_sql(self, bind: str) -> str:
        """Return the variable as it is written; compared letter by letter, as the columns are."""
        return f"CAST(JSON_EXTRACT(vars, :{bind}) AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"

    def build_variable_path(self, name: str) -> str:
        """Return the path of the variable."""
        return f'$."{name}"'

    def is_closed(self, raw: Any) -> bool:
        """Return whether the connection is lost."""
        return bool(raw.closed)

    async def reset_connection(self, raw: Any) -> None:
        """Do nothing: only a new connection would be another session."""

    def drop_connection(self, raw: Any) -> None:
        """Close the connection."""
        raw.close()

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the connection is lost or cannot be had."""
        if isinstance(error, pymysql.err.OperationalError | pymysql.err.InternalError):
            return bool(error.args) and error.args[0] in _UNAVAILABLE_CODES
        if isinstance(error, RuntimeError):
            return "closed" in str(error) or "readuntil" in str(error)
        return isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError | pymysql.err.InterfaceError)

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, a lock timeout, or a create that lost against another one's."""
        lost = (DEADLOCK, LOCK_TIMEOUT, RECORD_CHANGED)
        if isinstance(error, pymysql.err.IntegrityError):
            return error.args[0] == DUPLICATE and "external_id" in str(error)
        return isinstance(error, pymysql.err.MySQLError) and bool(error.args) and error.args[0] in lost

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a row that another one has changed."""
        return isinstance(error, pymysql.err.MySQLError) and error.args[:1] in ((DEADLOCK,), (RECORD_CHANGED,))

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        return isinstance(error, pymysql.err.DataError | pymysql.err.IntegrityError | UnicodeEncodeError)


class _FenceLostError(Exception):
    """Some row of a batch is no longer ours."""


async def _execute_and_count(raw: Any, sql: str, values: Sequence[Any]) -> int:
    async with raw.cursor() as cursor:
        await cursor.execute(sql, values)
        count: int = cursor.rowcount
        return count


async def _insert_rows(raw: Any, insert: str, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    async with raw.cursor() as cursor:
        values = [value for values in rows for value in values]
        await cursor.execute(insert + ", ".join([row] * len(rows)), values)


async def _read_ids(raw: Any, names: Sequence[str]) -> dict[str, int]:
    binds = ", ".join(["%s"] * len(names))
    sql = f"SELECT external_id, id FROM workflow WHERE external_id IN ({binds})"
    return {row[0]: row[1] for row in await fetch_rows(raw, sql, names)}
