"""PostgreSQL 12 and later: a batch is one statement, other processes hear of work by NOTIFY."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import asyncpg

from flowlet.instance.instance import ActionKind, NewInstance
from flowlet.store.counter_buckets import (
    COUNTER_COLUMNS,
    COUNTER_KEY,
    END_COLUMNS,
    MINUTE,
    CounterBucket,
    count_activations,
)
from flowlet.store.dialects.base import (
    PRIORITIES,
    Batch,
    BatchResult,
    ClaimRequest,
    Followups,
    begin_transaction,
    collect_followups,
)
from flowlet.store.dialects.listening import ListenRequest
from flowlet.store.dialects.postgres_listen import CHANNEL, MAX_GROUP_LENGTH, format_notification, listen
from flowlet.store.rows import (
    ACTION_COLUMNS,
    INSTANCE_COLUMNS,
    NEW_INSTANCE_COLUMNS,
    encode_action_rows,
    encode_commit_row,
    encode_new_instance_row,
)
from flowlet.store.search.prefix import build_range_condition, compute_prefix_end

__all__ = ["Postgres"]

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 7_306_086_967_395  # "flowlet" read as a number, nearly; only has to be ours
_READY = "status IN ('NEW', 'IN_PROGRESS', 'WAITING')"
_COMMIT_TYPES = (
    *("bigint", "bigint", "bigint", "int", "text", "text", "text", "bigint", "int", "bigint", "int"),
    *("text", "text", "text", "bigint", "int", "int", "int", "bigint", "text", "bigint"),
)
_ACTIVATION_COUNT_TYPES = ("int", "int")
_ACTION_TYPES = (
    *("bigint", "text", "bigint", "text", "text", "text", "int", "bigint", "text", "text", "text", "text", "int"),
)
_NEW_TYPES = ("text", "int", "text", "text", "bigint", "text", "int", "text", "text", "text", "bigint", "text")


def _build_array_binds(types: Sequence[str], first: int) -> str:
    return ", ".join(f"${first + index}::{kind}[]" for index, kind in enumerate(types))


# One leg for each priority and group walks the due index from its oldest entry, leaves out what another executor is
# about to lease, and stops at the limit; a leg runs only while those before it have not filled the limit. A group is
# compared with "=" because "= ANY" makes the planner sort everything that is due.
_CLAIM_LEG = """SELECT id FROM (SELECT id FROM workflow
    WHERE executor_group = ($2::text[])[{group}] AND priority = {level} AND {ready} AND next_activation <= $3
        AND workflow_type = ANY($4::text[])
    ORDER BY next_activation LIMIT $5 FOR UPDATE SKIP LOCKED) leg_{level}_{group}"""
_INSERT_TALLY = f"INSERT INTO workflow_tally ({', '.join((*COUNTER_KEY, *COUNTER_COLUMNS))})"
_ON_CONFLICT_ADD = f"""ON CONFLICT ({", ".join(COUNTER_KEY)}) DO UPDATE
    SET {", ".join(f"{column} = workflow_tally.{column} + excluded.{column}" for column in COUNTER_COLUMNS)}"""
_END_COUNTS = ", ".join(f"count(*) FILTER (WHERE u.status = '{status}')" for status in END_COLUMNS)
# The whole batch in one round trip and one transaction: the rows whose fence holds, their history, the counts.
# "IS TRUE" steers the planner: the rows are found by their primary key (not by all that the executor holds, compared
# with each), and which lines of history to keep by a hash (a nested loop cost 15 of the 21 ms of a batch of 256).
_COMMIT = f"""
WITH b AS (
    SELECT * FROM unnest({_build_array_binds((*_ACTIVATION_COUNT_TYPES, *_COMMIT_TYPES), 2)}) AS b(moves, failures,
        id, token, version, pausing, status, state, vars, next_activation, attempt, visit, streak, held_status, answer,
        reason, at, spawned, waits, rests, ended, fingerprint, failed)
), u AS (
    UPDATE workflow w SET status = b.status, state = b.state, vars = COALESCE(b.vars, w.vars),
        next_activation = CASE WHEN (b.rests = 1 AND w.woken = 1) OR (b.waits = 1 AND w.open_children + b.spawned = 0)
            THEN b.at ELSE b.next_activation END,
        attempt = b.attempt, visit = b.visit, streak = b.streak, crashes = 0,
        executor_id = CASE WHEN b.status = 'EXECUTING' THEN w.executor_id END, version = w.version + 1,
        children = w.children + b.spawned, open_children = w.open_children + b.spawned,
        waits_for_children = (b.waits = 1 AND w.open_children + b.spawned > 0 AND w.woken = 0)::int,
        pause_requested = 0, held_status = b.held_status, answer = b.answer, reason = b.reason,
        modified = b.at, ended = b.ended, fingerprint = b.fingerprint, failed = b.failed
    FROM b WHERE w.id = b.id AND (w.executor_id = $1) IS TRUE AND w.token = b.token AND w.version = b.version
        AND w.pause_requested = b.pausing
    RETURNING w.id, w.workflow_type, w.status, b.at, b.moves, b.failures
), a AS (
    INSERT INTO workflow_action ({", ".join(ACTION_COLUMNS)})
    SELECT a.workflow_id, {", ".join(f"a.{column}" for column in ACTION_COLUMNS[1:])}
    FROM unnest({_build_array_binds(_ACTION_TYPES, 2 + len(_ACTIVATION_COUNT_TYPES) + len(_COMMIT_TYPES))}) WITH ORDINALITY
        AS a({", ".join(ACTION_COLUMNS)}, place)
    WHERE (a.workflow_id IN (SELECT id FROM u)) IS TRUE ORDER BY a.place
), t AS (
    {_INSERT_TALLY}
    SELECT 1, u.at - u.at % {MINUTE}, pg_backend_pid(), u.workflow_type, sum(u.moves), sum(u.failures), {_END_COUNTS}
    FROM u WHERE u.moves + u.failures > 0 OR u.status IN ({", ".join(f"'{status}'" for status in END_COLUMNS)})
    GROUP BY 2, 4
    {_ON_CONFLICT_ADD}
)
SELECT id FROM u
"""
_END_CHILDREN = """
UPDATE workflow w SET open_children = w.open_children - b.ended,
    next_activation = CASE WHEN w.waits_for_children = 1 AND w.open_children <= b.ended
        THEN $3 ELSE w.next_activation END,
    waits_for_children = (w.waits_for_children = 1 AND w.open_children > b.ended)::int
FROM unnest($1::bigint[], $2::int[]) AS b(id, ended) WHERE w.id = b.id
RETURNING w.executor_group, w.next_activation = $3 AND w.status = 'IN_PROGRESS'
"""
# Locked in the order of their ids first: two batches that end children of the same parents cannot deadlock.
_LOCK_PARENTS = "SELECT id FROM workflow WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
# A parent that is executing is about to wait: it finds the mark when it does.
_WAKE = """
UPDATE workflow SET woken = (status = 'EXECUTING')::int, waits_for_children = 0,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE $2 END
WHERE id = ANY($1::bigint[]) AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
RETURNING executor_group, status = 'IN_PROGRESS'
"""


@lru_cache(maxsize=16)
def _build_claim_sql(groups: int) -> str:
    legs = [
        _CLAIM_LEG.format(group=group, level=level, ready=_READY)
        for level in PRIORITIES
        for group in range(1, groups + 1)
    ]
    return f"""
    WITH due AS MATERIALIZED (SELECT id FROM ({" UNION ALL ".join(legs)}) legs LIMIT $5)
    UPDATE workflow w SET status = 'EXECUTING', executor_id = $1, token = w.token + 1,
        started = COALESCE(w.started, $3), waits_for_children = 0, woken = 0
    FROM due WHERE w.id = due.id RETURNING {", ".join(f"w.{column}" for column in INSTANCE_COLUMNS)}
    """


_NOW = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"
# The time is read when the row's lock is held.
_RENEW_LEASE = f"""
WITH live AS MATERIALIZED (
    SELECT id FROM executor WHERE id = $1 AND status IN ('RUNNING', 'DRAINING') FOR UPDATE
)
UPDATE executor e SET beat = {_NOW}, lease_until = {_NOW} + $2, claimed = COALESCE($3::bigint, e.claimed)
FROM live WHERE e.id = live.id RETURNING e.beat
"""
_ADD_COUNTS = f"""
{_INSERT_TALLY} VALUES ({", ".join(f"${place}" for place in range(1, 1 + len(COUNTER_KEY) + len(COUNTER_COLUMNS)))})
{_ON_CONFLICT_ADD}
"""
# The instances, the first line of each one's history and the notifications: one round trip, one transaction.
_CREATE = f"""
WITH created AS (
    INSERT INTO workflow ({", ".join(NEW_INSTANCE_COLUMNS)})
    SELECT *, $13::bigint, $13::bigint FROM unnest({_build_array_binds(_NEW_TYPES, 1)})
    ON CONFLICT (external_id) DO NOTHING RETURNING *
), history AS (
    INSERT INTO workflow_action (workflow_id, kind, at, to_state, text, username, changes, definition_version)
    SELECT id, '{ActionKind.CREATED}', created, state, 'child of ' || parent_id, created_by,
        CASE WHEN vars <> '{{}}' THEN '{{"set":' || vars || ',"unset":[]}}' END, definition_version
    FROM created ORDER BY id
)
SELECT id, external_id, pg_notify('{CHANNEL}', $14::text || left(executor_group, {MAX_GROUP_LENGTH})) FROM created
"""

_NOTIFY = f"SELECT pg_notify('{CHANNEL}', text) FROM unnest($1::text[]) text"
# The setting holds for this statement, which is a transaction by itself.
_NOTIFY_AT_ONCE = (
    f"SELECT pg_notify('{CHANNEL}', text), set_config('synchronous_commit', 'off', true) FROM unnest($1::text[]) text"
)


class Postgres:
    """The dialect of PostgreSQL."""

    name = "postgresql"
    begin_sql = "BEGIN"
    version_sql = "SHOW server_version"
    for_update_sql = "FOR UPDATE"
    skip_locked_sql = "FOR UPDATE SKIP LOCKED"
    # A sum has no index. By the primary key, backwards, a long history of long ago would cost all that was written
    # since: 250 ms for three million lines, where sorting its own 20,000 takes 10.
    newest_first_sql = "id + 0 DESC"
    has_pool = True
    needs_notifications = True
    has_slow_json = True

    def __init__(self) -> None:
        self._process_name = uuid.uuid4().hex

    def build_database_url(self, url: str) -> str:
        """Return the URL with ``sslmode`` called ``ssl``, as ``databases`` calls it."""
        return url.replace("?sslmode=", "?ssl=").replace("&sslmode=", "&ssl=")

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the pool's options.

        The engine's statements name rows by primary key or due index; with hash joins allowed the planner was seen to
        scan the whole of ``workflow`` for a batch of 100 (2.6 times slower). Statements of this package leave nothing
        behind on a connection: the reset of the pool, a round trip for each use, is only made by ``restore``.
        """
        common = {"timeout": 10, "max_inactive_connection_lifetime": 300, "reset": _skip_reset}
        if not for_engine:
            return {**common, "min_size": 0, "max_size": 10, "server_settings": {"jit": "off"}}
        plain = {"jit": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "enable_seqscan": "off"}
        return {**common, "min_size": 1, "max_size": 4, "server_settings": plain}

    async def check_database(self, url: str) -> None:
        """Do nothing: the pool says what is wrong."""

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        value: int = await raw.fetchval(f"SELECT {_NOW}")
        return value

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong the lease, in one statement."""
        value: int | None = await raw.fetchval(_RENEW_LEASE, executor_id, lease_microseconds, claimed_at)
        return value

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates; the end of the transaction unlocks."""
        await raw.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")

    async def unlock_migrations(self, raw: Any) -> None:
        """Do nothing: the end of the transaction unlocks."""

    async def claim(self, raw: Any, request: ClaimRequest) -> list[Sequence[Any]]:
        """Lease due instances, the higher priority first, in one statement, and return their rows."""
        sql = _build_claim_sql(len(request.groups))
        rows = await raw.fetch(sql, request.executor_id, request.groups, request.now, request.types, request.limit)
        return [tuple(row) for row in rows]

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the batch: one statement, or a transaction of several where other rows are touched."""
        if in_transaction:
            return await self._apply_batch(raw, batch)
        if collect_followups(batch.transitions).is_empty:
            return BatchResult(await _apply_rows(raw, batch), _list_released_groups(batch))
        async with begin_transaction(raw.execute):
            return await self._apply_batch(raw, batch)

    async def _apply_batch(self, raw: Any, batch: Batch) -> BatchResult:
        applied = await _apply_rows(raw, batch)
        held = [transition for transition in batch.transitions if transition.instance.id in applied]
        groups = await self.apply_followups(raw, collect_followups(held), batch.now)
        return BatchResult(applied, groups | _list_released_groups(batch))

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[tuple[int, bool]]:
        """Create instances and notify the processes of their groups: one statement, which is a transaction by itself.

        Inside of a transaction this process cannot say when they exist, and has to hear of its own notification.
        """
        sender = format_notification("" if in_transaction else self._process_name)
        columns = [
            list(column)
            for column in zip(*(encode_new_instance_row(new, now)[:12] for new in new_instances), strict=True)
        ]
        created = {row[1]: row[0] for row in await raw.fetch(_CREATE, *columns, now, sender)}
        known = dict(created)
        if len(created) < len(new_instances):
            missing = [new.external_id for new in new_instances if new.external_id not in created]
            rows = await raw.fetch("SELECT external_id, id FROM workflow WHERE external_id = ANY($1::text[])", missing)
            known.update((row[0], row[1]) for row in rows)
        return [(known[new.external_id], created.pop(new.external_id, None) is not None) for new in new_instances]

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents."""
        if batch_followups.children:
            created = await self.create(raw, batch_followups.children, now, in_transaction=True)
            if not all(is_new for _, is_new in created):
                raise asyncpg.UniqueViolationError("a child's external id exists already")
        if batch_followups.ended_child_counts or batch_followups.woken_parents:
            await raw.fetch(
                _LOCK_PARENTS,
                sorted({*(id for id, _ in batch_followups.ended_child_counts), *batch_followups.woken_parents}),
            )
        touched = []
        if batch_followups.ended_child_counts:
            ids, counts = (
                [id for id, _ in batch_followups.ended_child_counts],
                [ended for _, ended in batch_followups.ended_child_counts],
            )
            touched += await raw.fetch(_END_CHILDREN, ids, counts, now)
        if batch_followups.woken_parents:
            touched += await raw.fetch(_WAKE, list(batch_followups.woken_parents), now)
        return {row[0] for row in touched if row[1]}

    def get_writer_id(self, raw: Any) -> int:
        """Return the number of the server's process that serves the connection."""
        number: int = raw.get_server_pid()
        return number

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts."""
        await raw.executemany(_ADD_COUNTS, [(*count[:2], writer_id, *count[2:]) for count in counts])

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications, which arrive when the transaction commits."""
        await raw.execute(_NOTIFY, self._format_notifications(groups))

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Send notifications in a transaction of their own, which writes nothing and so waits for no disk."""
        await raw.execute(_NOTIFY_AT_ONCE, self._format_notifications(groups))

    def _format_notifications(self, groups: Iterable[str]) -> list[str]:
        return [format_notification(self._process_name, group) for group in sorted(groups) or ("",)]

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Listen on a connection of its own."""
        await listen(listen_request, self._process_name)

    def build_ids_sql(self, bind: str) -> str:
        """Return the elements of an array."""
        return f"SELECT unnest(CAST(:{bind} AS bigint[]))"

    def encode_ids(self, ids: Sequence[int]) -> list[int]:
        """Return the ids as an array."""
        return list(ids)

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return a range: the column is compared letter by letter."""
        return build_range_condition(column, bind)

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return where the range begins, and where it has ended."""
        return {bind: prefix, f"{bind}_end": compute_prefix_end(prefix)}

    def build_variable_sql(self, bind: str) -> str:
        """Return the variable as it is written.

        PostgreSQL refuses to read a document in which a text has an escaped NUL: such an instance is left out.
        """
        value = f"CAST(CAST(vars AS json) -> CAST(:{bind} AS text) AS text)"
        return f"CASE WHEN strpos(vars, '\\u0000') = 0 THEN {value} END"

    def build_variable_path(self, name: str) -> str:
        """Return the name: it is the path."""
        return name

    def is_closed(self, raw: Any) -> bool:
        """Return whether the connection is lost."""
        try:
            return bool(raw.is_closed())
        except asyncpg.InterfaceError:  # the pool has dropped it already
            return True

    async def reset_connection(self, raw: Any) -> None:
        """End what the session has set, opened or locked."""
        await raw.reset(timeout=10)

    def drop_connection(self, raw: Any) -> None:
        """Close the connection."""
        raw.terminate()

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the connection is lost or cannot be had."""
        if isinstance(error, asyncpg.InterfaceError):
            return "closed" in str(error) or "connection" in str(error)
        gone = (
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.ReadOnlySQLTransactionError,
            asyncpg.InternalClientError,
            OSError,
            TimeoutError,
        )
        return isinstance(error, gone) and not isinstance(error, asyncpg.QueryCanceledError)

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a serialisation failure."""
        kinds = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
        return isinstance(error, kinds)

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a serialisation failure."""
        return isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError)

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        kinds = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
        return isinstance(error, (*kinds, UnicodeEncodeError, OverflowError))


async def _skip_reset(connection: Any) -> None:
    """Keep the connection as it is."""


def _list_released_groups(batch: Batch) -> set[str]:
    """Return the groups of instances that are given up although they are due: others may take them."""
    given_up = [t for t in batch.transitions if t.status == "IN_PROGRESS" and t.next_activation_us is not None]
    return {t.instance.group for t in given_up if (t.next_activation_us or 0) <= batch.now}


async def _apply_rows(raw: Any, batch: Batch) -> set[int]:
    both = [(*count_activations(transition), *encode_commit_row(transition)) for transition in batch.transitions]
    columns = [list(column) for column in zip(*both, strict=True)]
    rows = encode_action_rows(batch.transitions)
    actions = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in ACTION_COLUMNS]
    return {row[0] for row in await raw.fetch(_COMMIT, batch.executor_id, *columns, *actions)}
