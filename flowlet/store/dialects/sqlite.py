"""SQLite: one connection that writes, batches applied row by row in one hop to its thread.

Measured against ``json_each`` through ``databases``: twice as fast (8,300 against 4,000 workflows a second).
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson

from flowlet.instance.instance import NewInstance
from flowlet.settings import get_sqlite_path
from flowlet.store.counter_buckets import (
    COUNTER_COLUMNS,
    COUNTER_KEY,
    SHARED_WRITER_ID,
    CounterBucket,
    count_transitions,
)
from flowlet.store.dialects.base import PRIORITIES, Batch, BatchResult, ClaimRequest, Followups, collect_followups
from flowlet.store.dialects.listening import ListenRequest
from flowlet.store.dialects.sqlite_watch import watch
from flowlet.store.rows import (
    ACTION_COLUMNS,
    COMMIT_COLUMNS,
    INSTANCE_COLUMNS,
    NEW_INSTANCE_COLUMNS,
    encode_action_rows,
    encode_commit_row,
    encode_created_action_row,
    encode_new_instance_row,
)
from flowlet.store.search.prefix import build_range_condition, compute_prefix_end

__all__ = ["SQLite"]

BUSY_SECONDS = 30.0


def _number_binds(sql: str, names: Sequence[str]) -> str:
    """Return a statement with ``:names`` as places: a tuple for each row costs less than a dict."""
    places = {name: f"?{place}" for place, name in enumerate(names, start=1)}
    return re.sub(r":(\w+)", lambda bind: places[bind[1]], sql)


_INSERT_ACTION = (
    f"INSERT INTO workflow_action ({', '.join(ACTION_COLUMNS)}) VALUES ({', '.join('?' * len(ACTION_COLUMNS))})"
)
_INSERT_NEW = (
    f"INSERT INTO workflow ({', '.join(NEW_INSTANCE_COLUMNS)}) VALUES ({', '.join('?' * len(NEW_INSTANCE_COLUMNS))}) "
    "ON CONFLICT (external_id) DO NOTHING RETURNING id"
)
# The fence is the WHERE: who holds it, under which token, at which version, and whether a pause came meanwhile.
_COMMIT = _number_binds(
    """
UPDATE workflow SET status = :status, state = :state, vars = COALESCE(:vars, vars),
    next_activation = CASE WHEN (:rests AND woken) OR (:waits AND open_children + :spawned = 0)
        THEN :at ELSE :next_activation END,
    attempt = :attempt, visit = :visit, streak = :streak, crashes = 0,
    executor_id = CASE WHEN :status = 'EXECUTING' THEN executor_id END, version = version + 1,
    children = children + :spawned, open_children = open_children + :spawned,
    waits_for_children = (:waits AND open_children + :spawned > 0 AND NOT woken), pause_requested = 0,
    held_status = :held_status, answer = :answer, reason = :reason, modified = :at, ended = :ended,
    fingerprint = :fingerprint, failed = :failed
WHERE id = :id AND executor_id = :executor_id AND token = :token AND version = :version AND pause_requested = :pausing
""",
    (*COMMIT_COLUMNS, "executor_id"),
)
_END_CHILD = """
UPDATE workflow SET open_children = open_children - :ended,
    next_activation = CASE WHEN waits_for_children AND open_children <= :ended THEN :now ELSE next_activation END,
    waits_for_children = (waits_for_children AND open_children > :ended)
WHERE id = :id
"""
# A parent that is executing is about to wait: it finds the mark when it does.
_WAKE = """
UPDATE workflow SET woken = (status = 'EXECUTING'), waits_for_children = 0,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE :now END
WHERE id = :id AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
"""
_ADD_COUNTS_SQL = f"""
INSERT INTO workflow_tally ({", ".join((*COUNTER_KEY, *COUNTER_COLUMNS))})
VALUES ({", ".join("?" * (len(COUNTER_KEY) + len(COUNTER_COLUMNS)))})
ON CONFLICT ({", ".join(COUNTER_KEY)}) DO UPDATE
SET {", ".join(f"{column} = {column} + excluded.{column}" for column in COUNTER_COLUMNS)}
"""
_READY = "status IN ('NEW', 'IN_PROGRESS', 'WAITING')"


class SQLite:
    """The dialect of SQLite 3.35 and later."""

    name = "sqlite"
    begin_sql = "BEGIN IMMEDIATE"
    version_sql = "SELECT sqlite_version()"
    for_update_sql = ""
    skip_locked_sql = ""
    newest_first_sql = "id DESC"
    has_pool = False
    needs_notifications = False
    has_slow_json = True

    def build_database_url(self, url: str) -> str:
        """Return the URL unchanged."""
        return url

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the options of a connection: a busy timeout, and the pragmas of ``_Connection``."""
        return {"timeout": BUSY_SECONDS, "factory": _Connection, "cached_statements": 256}

    async def check_database(self, url: str) -> None:
        """Open the file once: a connection of aiosqlite that fails leaves a thread behind, which outlives the loop."""
        await asyncio.to_thread(_probe_database, url)

    async def read_time(self, raw: Any) -> int:
        """Return this machine's time: all processes of a SQLite database run on it."""
        return time.time_ns() // 1000  # noqa: TID251 - this is the store's clock

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease by this machine's time."""
        beat: int | None = await raw._execute(_renew_lease, raw._conn, executor_id, lease_microseconds, claimed_at)
        return beat

    async def lock_migrations(self, raw: Any) -> None:
        """Do nothing: BEGIN IMMEDIATE has locked the database."""

    async def unlock_migrations(self, raw: Any) -> None:
        """Do nothing: the end of the transaction unlocks."""

    async def claim(self, raw: Any, request: ClaimRequest) -> list[Sequence[Any]]:
        """Lease due instances, the higher priority first, and return their rows."""
        rows: list[Sequence[Any]] = await raw._execute(_claim_instances, raw._conn, request)
        return rows

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch in one hop to the connection's thread."""
        return BatchResult(await raw._execute(_commit_batch, raw._conn, batch, in_transaction), set())

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[tuple[int, bool]]:
        """Create instances in one hop to the connection's thread."""
        create = _insert_instances if in_transaction else _create_instances
        created: list[tuple[int, bool]] = await raw._execute(create, raw._conn, new_instances, now)
        return created

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents."""
        await raw._execute(_apply_followups, raw._conn, batch_followups, now)
        return set()

    def get_writer_id(self, raw: Any) -> int:
        """Return the number of the common rows: only one writes at a time."""
        return SHARED_WRITER_ID

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts."""
        await raw._execute(_add_counts, raw._conn, writer_id, counts)

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes watch the file."""

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Do nothing: other processes watch the file."""

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Watch the file."""
        await watch(listen_request)

    def build_ids_sql(self, bind: str) -> str:
        """Return the elements of a JSON array."""
        return f"SELECT value FROM json_each(:{bind})"

    def encode_ids(self, ids: Sequence[int]) -> str:
        """Return the ids as the text of a JSON array."""
        return orjson.dumps(ids).decode()

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return a range: the column is compared letter by letter."""
        return build_range_condition(column, bind)

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return where the range begins, and where it has ended."""
        return {bind: prefix, f"{bind}_end": compute_prefix_end(prefix)}

    def build_variable_sql(self, bind: str) -> str:
        """Return the variable as it is written, cut out of an array of it and of what no object has.

        By itself ``json_extract`` gives a number rounded to 15 digits, and 1 for true; ``->`` came with SQLite 3.38.
        """
        pair = f"json_extract(vars, :{bind}, '$[0]')"
        return f"CASE WHEN json_type(vars, :{bind}) IS NOT NULL THEN substr({pair}, 2, length({pair}) - 7) END"

    def build_variable_path(self, name: str) -> str:
        """Return the path of the variable."""
        return f'$."{name}"'

    def is_closed(self, raw: Any) -> bool:
        """Return False: a file is not lost."""
        return False

    async def reset_connection(self, raw: Any) -> None:
        """Do nothing: a handler's connection is the only one that writes."""

    def drop_connection(self, raw: Any) -> None:
        """Do nothing: the connections are few, and kept."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the file cannot be opened, read or written now, or another process holds the write lock."""
        texts = ("unable to open", "disk i/o error", "is full", "readonly database", "is locked", "busy")
        return isinstance(error, sqlite3.OperationalError) and any(text in str(error).lower() for text in texts)

    def is_conflict(self, error: BaseException) -> bool:
        """Return False: there is one writer."""
        return False

    def is_deadlock(self, error: BaseException) -> bool:
        """Return False: there is one writer."""
        return False

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        kinds = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)
        return isinstance(error, kinds)


def _probe_database(url: str) -> None:
    sqlite3.connect(get_sqlite_path(url), timeout=BUSY_SECONDS, factory=_Connection).close()


class _Connection(sqlite3.Connection):
    """A connection with the pragmas that every one needs: WAL, and durable commits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode = WAL").close()
        self.execute("PRAGMA synchronous = FULL").close()
        self.execute("PRAGMA foreign_keys = ON").close()
        self.execute("PRAGMA cache_size = -65536").close()


def _renew_lease(
    connection: sqlite3.Connection, executor_id: str, lease_microseconds: int, claimed_at: int | None
) -> int | None:
    sql = (
        "UPDATE executor SET beat = ?, lease_until = ?, claimed = COALESCE(?, claimed) "
        "WHERE id = ? AND status IN ('RUNNING', 'DRAINING')"
    )

    def update_lease() -> int | None:
        now = time.time_ns() // 1000  # noqa: TID251 - read once the write lock is held
        return (
            now if connection.execute(sql, (now, now + lease_microseconds, claimed_at, executor_id)).rowcount else None
        )

    taken: int | None = _run_in_transaction(connection, update_lease)
    return taken


def _claim_instances(connection: sqlite3.Connection, request: ClaimRequest) -> list[Sequence[Any]]:
    values: dict[str, Any] = {"executor_id": request.executor_id, "now": request.now, "limit": request.limit}
    values |= {f"group_{place}": group for place, group in enumerate(request.groups)}
    values |= {f"type_{place}": type for place, type in enumerate(request.types)}
    sql = _build_claim_sql(len(request.groups), len(request.types))
    rows: list[Sequence[Any]] = _run_in_transaction(connection, lambda: connection.execute(sql, values).fetchall())
    return rows


@lru_cache(maxsize=16)
def _build_claim_sql(group_count: int, type_count: int) -> str:
    # One leg for each priority and group walks the due index from its oldest entry and stops at the limit.
    known = ", ".join(f":type_{place}" for place in range(type_count))
    legs = [
        f"SELECT * FROM (SELECT id FROM workflow WHERE executor_group = :group_{group} AND priority = {level} "
        f"AND {_READY} AND next_activation <= :now AND workflow_type IN ({known}) "
        "ORDER BY next_activation LIMIT :limit)"
        for level in PRIORITIES
        for group in range(group_count)
    ]
    return (
        "UPDATE workflow SET status = 'EXECUTING', executor_id = :executor_id, token = token + 1, "
        "started = COALESCE(started, :now), waits_for_children = 0, woken = 0 "
        f"WHERE id IN (SELECT id FROM ({' UNION ALL '.join(legs)}) LIMIT :limit) "
        f"RETURNING {', '.join(INSTANCE_COLUMNS)}"
    )


def _run_in_transaction(connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _commit_batch(connection: sqlite3.Connection, batch: Batch, in_transaction: bool) -> set[int]:
    if in_transaction:
        return _apply_batch(connection, batch)
    applied: set[int] = _run_in_transaction(connection, lambda: _apply_batch(connection, batch))
    return applied


def _apply_batch(connection: sqlite3.Connection, batch: Batch) -> set[int]:
    write, executor_id = connection.execute, batch.executor_id
    held = [t for t in batch.transitions if write(_COMMIT, (*encode_commit_row(t), executor_id)).rowcount == 1]
    connection.executemany(_INSERT_ACTION, encode_action_rows(held))
    _apply_followups(connection, collect_followups(held), batch.now)
    _add_counts(connection, SHARED_WRITER_ID, count_transitions(held))
    return {transition.instance.id for transition in held}


def _apply_followups(connection: sqlite3.Connection, batch_followups: Followups, now: int) -> None:
    for _, is_new in _insert_instances(connection, batch_followups.children, now):
        if not is_new:
            raise sqlite3.IntegrityError("a child's external id exists already")
    connection.executemany(
        _END_CHILD, [{"id": id, "ended": ended, "now": now} for id, ended in batch_followups.ended_child_counts]
    )
    connection.executemany(_WAKE, [{"id": id, "now": now} for id in batch_followups.woken_parents])


def _add_counts(connection: sqlite3.Connection, writer_id: int, counts: Sequence[CounterBucket]) -> None:
    connection.executemany(_ADD_COUNTS_SQL, [(*count[:2], writer_id, *count[2:]) for count in counts])


def _create_instances(
    connection: sqlite3.Connection, new_instances: Sequence[NewInstance], now: int
) -> list[tuple[int, bool]]:
    created: list[tuple[int, bool]] = _run_in_transaction(
        connection, lambda: _insert_instances(connection, new_instances, now)
    )
    return created


def _insert_instances(
    connection: sqlite3.Connection, new_instances: Sequence[NewInstance], now: int
) -> list[tuple[int, bool]]:
    created = []
    actions = []
    for new in new_instances:
        row = connection.execute(_INSERT_NEW, encode_new_instance_row(new, now)).fetchone()
        if row is None:
            known = connection.execute("SELECT id FROM workflow WHERE external_id = ?", (new.external_id,)).fetchone()
            created.append((known[0], False))
            continue
        created.append((row[0], True))
        actions.append(encode_created_action_row(row[0], new, now))
    connection.executemany(_INSERT_ACTION, actions)
    return created
