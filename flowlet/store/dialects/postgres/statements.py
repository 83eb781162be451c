"""The engine's statements for PostgreSQL: a batch is one statement, and so is a create."""

from __future__ import annotations

from collections.abc import Iterable

from flowlet.instance.action import ActionKind
from flowlet.store.columns import Column, ColumnType, list_names
from flowlet.store.counter_buckets import COUNTER_COLUMNS, COUNTER_KEY, COUNTER_ROW_NAMES, END_COLUMNS, MINUTE
from flowlet.store.dialects.postgres.connection import NOW_SQL
from flowlet.store.dialects.postgres.row_binds import RowBinds
from flowlet.store.limits.table import LANE_PAUSE
from flowlet.store.people.tables import INBOX, VOTE
from flowlet.store.rows import (
    ACTION_COLUMNS,
    NEW_INSTANCE_ENCODER,
    NEW_ROW_NAMES,
    TRANSITION_ENCODER,
    build_new_values_sql,
)
from flowlet.store.tables import ACTION, COUNTER, EXECUTOR, EXTERNAL_ID, MESSAGE, SPAWN, WORKFLOW

__all__ = [
    "ACTION_BINDS",
    "ADD_COUNTS",
    "BATCH_BINDS",
    "COMMIT",
    "CREATE",
    "CREATE_WHERE_NONE_IS_KEPT",
    "DELETE_ENTRIES",
    "DELETE_INSTANCES",
    "DELETE_PRUNED",
    "END_CHILDREN",
    "FIND_KNOWN",
    "FIND_PRUNED",
    "LIMIT_TABLE_LOCK",
    "LOCK_EXTERNAL_IDS",
    "LOCK_KEPT_EXTERNAL_ID",
    "LOCK_PARENTS",
    "MESSAGE_WAIT_NAMES",
    "NEW_INSTANCE_BINDS",
    "NOTIFY",
    "NOTIFY_AT_ONCE",
    "RAISE_NEXT_ID",
    "READ_CHANNEL",
    "READ_LAST_ID",
    "RENEW_LEASE",
    "RESET_LOCK_LIMIT",
    "WAIT_FOR_MESSAGES",
    "WAKE",
    "format_notification",
    "format_notifications",
]

# A table's number is another one in each database and each schema, and needs no look-up: it is known when the statement
# is parsed.
_CHANNEL = f"'flowlet_' || '{WORKFLOW}'::regclass::oid"
READ_CHANNEL = f"SELECT {_CHANNEL}"
"""The statement that reads the name of the channel: two Flowlets of one server or one database never share it."""
MAX_GROUP_LENGTH = 1_000
"""Characters of a group's name in a notification, which has at most 8,000 bytes."""
_BATCH_COLUMNS = (
    Column("moves", ColumnType.INTEGER),
    Column("failures", ColumnType.INTEGER),
    *TRANSITION_ENCODER.columns,
)
BATCH_BINDS = RowBinds(_BATCH_COLUMNS, key="id")
"""The transitions of a batch: what ``count_activations`` gives, then the transition."""
ACTION_BINDS = RowBinds(ACTION_COLUMNS, key="workflow_id")
"""The lines of history of a batch."""
NEW_INSTANCE_BINDS = RowBinds(NEW_INSTANCE_ENCODER.columns, key="external_id")

_INSERT_COUNTS = f"INSERT INTO {COUNTER} ({', '.join(COUNTER_ROW_NAMES)})"
_ON_CONFLICT_ADD = f"""ON CONFLICT ({", ".join(COUNTER_KEY)}) DO UPDATE
    SET {", ".join(f"{column} = {COUNTER}.{column} + excluded.{column}" for column in COUNTER_COLUMNS)}"""
_END_COUNTS = ", ".join(f"count(*) FILTER (WHERE u.status = '{status}')" for status in END_COLUMNS)
# The whole batch in one round trip and one transaction: the rows whose fence holds, their history, the counts, and,
# once in a while, the notifications.
# "IS TRUE" steers the planner: the rows are found by their primary key (not by all that the executor holds, compared
# with each), and which lines of history to keep by a hash (a nested loop cost 15 of the 21 ms of a batch of 256).
COMMIT = f"""
WITH b AS (
    {BATCH_BINDS.build_sql(3)}
), u AS (
    UPDATE {WORKFLOW} w SET status = b.status, state = b.state, vars = COALESCE(b.vars, w.vars),
        next_activation = CASE WHEN (b.rests = 1 AND w.woken = 1)
            OR w.open_children + b.spawned <= b.wake_at_open_children THEN b.at ELSE b.next_activation END,
        attempt = b.attempt, visit = b.visit, streak = b.streak, crashes = 0,
        executor_id = CASE WHEN b.status = 'EXECUTING' THEN w.executor_id END, version = w.version + 1,
        children = w.children + b.spawned, open_children = w.open_children + b.spawned,
        wake_at_open_children = CASE WHEN w.open_children + b.spawned > b.wake_at_open_children AND w.woken = 0
            THEN b.wake_at_open_children END,
        pause_requested = 0, held_status = b.held_status, answer = b.answer, reason = b.reason,
        modified = b.at, ended = b.ended, fingerprint = b.fingerprint, failed = b.failed,
        unsnapped_characters = COALESCE(b.unsnapped_characters, w.unsnapped_characters),
        gate = b.gate, vars_version = COALESCE(b.vars_version, w.vars_version)
    FROM b WHERE w.id = b.id AND (w.executor_id = $1) IS TRUE AND w.token = b.token AND w.version = b.version
        AND w.pause_requested = b.pausing
    RETURNING w.id, w.workflow_type, w.status, b.at, b.moves, b.failures
), a AS (
    INSERT INTO {ACTION} ({list_names(ACTION_COLUMNS)})
    SELECT {list_names(ACTION_COLUMNS, "a")}
    FROM ({ACTION_BINDS.build_sql(3 + BATCH_BINDS.count)}) a
    WHERE (a.workflow_id IN (SELECT id FROM u)) IS TRUE ORDER BY a.place
), t AS (
    {_INSERT_COUNTS}
    SELECT pg_backend_pid(), 1, u.at - u.at % {MINUTE}, u.workflow_type, sum(u.moves), sum(u.failures), {_END_COUNTS}, 0
    FROM u WHERE u.moves + u.failures > 0 OR u.status IN ({", ".join(f"'{status}'" for status in END_COLUMNS)})
    GROUP BY 3, 4
    {_ON_CONFLICT_ADD}
)
SELECT id, (SELECT count(pg_notify({_CHANNEL}, text)) FROM unnest($2::text[]) text) FROM u
"""
END_CHILDREN = f"""
UPDATE {WORKFLOW} w SET open_children = w.open_children - b.ended,
    next_activation = CASE WHEN w.open_children - b.ended <= w.wake_at_open_children
        THEN $3 ELSE w.next_activation END,
    wake_at_open_children = CASE WHEN w.open_children - b.ended > w.wake_at_open_children
        THEN w.wake_at_open_children END
FROM unnest($1::bigint[], $2::int[]) AS b(id, ended) WHERE w.id = b.id
RETURNING w.executor_group, w.next_activation = $3 AND w.status = 'IN_PROGRESS'
"""
# Locked in the order of their ids first: two batches that end children of the same parents cannot deadlock.
LOCK_PARENTS = f"SELECT id FROM {WORKFLOW} WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
# A parent that is executing is about to wait: its next commit finds the mark.
WAKE = f"""
UPDATE {WORKFLOW} SET woken = (status = 'EXECUTING')::int, wake_at_open_children = NULL,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE $2 END
WHERE id = ANY($1::bigint[]) AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
RETURNING executor_group, status = 'IN_PROGRESS'
"""
# The commit's own UPDATE has locked the rows: what was sent before is counted in them, and nothing comes between.
MESSAGE_WAIT_NAMES = ("id", "awaits", "unread_seen", "message_id", "consumed_id", "consumed_at", "consumed_count")
_MESSAGE_WAITS = (
    "unnest($1::bigint[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int[]) "
    f"AS b({', '.join(MESSAGE_WAIT_NAMES)})"
)
WAIT_FOR_MESSAGES = f"""
WITH b AS (SELECT * FROM {_MESSAGE_WAITS}), m AS (
    UPDATE {MESSAGE} g SET consumed = b.consumed_at FROM b WHERE g.id = b.consumed_id
)
UPDATE {WORKFLOW} w SET
    next_activation = CASE WHEN w.unread - b.consumed_count > b.unread_seen THEN $8 ELSE w.next_activation END,
    unread_seen = COALESCE(b.unread_seen, 0), awaits = b.awaits, message_id = b.message_id,
    unread = w.unread - b.consumed_count
FROM b WHERE w.id = b.id
RETURNING w.executor_group, w.status = 'WAITING' AND w.next_activation = $8
"""
# The time is read when the row's lock is held.
RENEW_LEASE = f"""
WITH live AS MATERIALIZED (
    SELECT id FROM {EXECUTOR} WHERE id = $1 AND status IN ('RUNNING', 'DRAINING') FOR UPDATE
)
UPDATE {EXECUTOR} e SET beat = {NOW_SQL}, lease_until = {NOW_SQL} + $2, claimed = COALESCE($3::bigint, e.claimed)
FROM live WHERE e.id = live.id RETURNING e.beat
"""
ADD_COUNTS = f"""
{_INSERT_COUNTS} VALUES ({", ".join(f"${place}" for place, _ in enumerate(COUNTER_ROW_NAMES, 1))})
{_ON_CONFLICT_ADD}
"""
# The instances, the first line of each one's history, the counts and the NOTIFY: one round trip, one transaction.
_NEW_TIME = f"${NEW_INSTANCE_BINDS.count + 1}::bigint"
_SENDER = f"${NEW_INSTANCE_BINDS.count + 2}::text"
_CREATE = f"""
WITH created AS (
    INSERT INTO {WORKFLOW} ({", ".join(NEW_ROW_NAMES)})
    SELECT {build_new_values_sql(_NEW_TIME, LANE_PAUSE)} FROM ({NEW_INSTANCE_BINDS.build_sql(1)}) b
    WHERE NOT EXISTS (SELECT FROM {EXTERNAL_ID} {{}})
    ON CONFLICT (external_id) DO NOTHING RETURNING *
), history AS (
    INSERT INTO {ACTION} (workflow_id, kind, at, to_state, text, executor_id, username, definition_version, vars)
    SELECT id, '{ActionKind.CREATED}', created, state, 'child of ' || parent_id, executor_id, created_by,
        definition_version, NULLIF(vars, '{{{{}}}}')
    FROM created ORDER BY id
), counted AS (
    {_INSERT_COUNTS}
    SELECT pg_backend_pid(), 1, created - created % {MINUTE}, workflow_type, 0, 0, 0, 0, 0, count(*)
    FROM created GROUP BY 3, 4
    {_ON_CONFLICT_ADD}
)
SELECT id, external_id, executor_id IS NOT NULL, pg_notify({_CHANNEL}, {_SENDER} || CASE WHEN executor_id IS NULL
    THEN left(executor_group, {MAX_GROUP_LENGTH}) ELSE '' END) FROM created
"""
CREATE = _CREATE.format("e WHERE e.external_id = b.external_id")
CREATE_WHERE_NONE_IS_KEPT = _CREATE.format("")
"""Creates all or, while any external id is kept, none."""
NOTIFY = f"SELECT pg_notify({_CHANNEL}, text) FROM unnest($1::text[]) text"
# The setting holds for this statement, which is a transaction by itself.
NOTIFY_AT_ONCE = f"""
SELECT pg_notify({_CHANNEL}, text), set_config('synchronous_commit', 'off', true) FROM unnest($1::text[]) text
"""
FIND_KNOWN = f"SELECT external_id, id FROM {WORKFLOW} WHERE external_id = ANY($1::text[])"
FIND_PRUNED = f"SELECT external_id, workflow_id FROM {EXTERNAL_ID} WHERE external_id = ANY($1::text[])"
LOCK_KEPT_EXTERNAL_ID = f"SELECT 1 FROM {EXTERNAL_ID} LIMIT 1 FOR KEY SHARE SKIP LOCKED"
LOCK_EXTERNAL_IDS = f"LOCK TABLE {EXTERNAL_ID} IN ACCESS EXCLUSIVE MODE"
LIMIT_TABLE_LOCK = "SET LOCAL lock_timeout = '100ms'"
RESET_LOCK_LIMIT = "SET LOCAL lock_timeout TO DEFAULT"
READ_LAST_ID = "SELECT pg_sequence_last_value(pg_get_serial_sequence('{table}', 'id')::regclass)"
RAISE_NEXT_ID = """
SELECT setval(sequence, GREATEST($1::bigint, pg_sequence_last_value(sequence)))
FROM (SELECT pg_get_serial_sequence('{table}', 'id')::regclass AS sequence) found
"""
DELETE_ENTRIES = f"DELETE FROM {INBOX} WHERE workflow_id = ANY($1::bigint[])"
DELETE_INSTANCES = f"""
WITH history AS (DELETE FROM {ACTION} WHERE workflow_id = ANY($1::bigint[])),
    messages AS (DELETE FROM {MESSAGE} WHERE workflow_id = ANY($1::bigint[])),
    entries AS ({DELETE_ENTRIES}),
    votes AS (DELETE FROM {VOTE} WHERE workflow_id = ANY($1::bigint[])),
    spawns AS (DELETE FROM {SPAWN} WHERE workflow_id = ANY($1::bigint[]))
DELETE FROM {WORKFLOW} WHERE id = ANY($1::bigint[])
"""
DELETE_PRUNED = f"""
WITH deleted AS (DELETE FROM {WORKFLOW} WHERE external_id = ANY($1::text[]) RETURNING id)
DELETE FROM {ACTION} USING deleted WHERE workflow_id = deleted.id
"""


def format_notifications(sender: str, groups: Iterable[str]) -> list[str]:
    """Return the texts of the notifications of a commit: one of each group with work due, or one without a group."""
    return [format_notification(sender, group) for group in sorted(groups) or ("",)]


def format_notification(sender: str, group: str = "") -> str:
    """Return a notification's text: the sender's name, a colon, and the executor group with work due, or nothing."""
    return f"{sender}:{group[:MAX_GROUP_LENGTH]}"
