"""The engine's statements for PostgreSQL: a batch is one statement, and so is a claim, and a create."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from flowlet.instance.instance import ActionKind, Instance
from flowlet.store.columns import Column, ColumnType, RowReader, list_names
from flowlet.store.counter_buckets import COUNTER_COLUMNS, COUNTER_KEY, COUNTER_ROW_NAMES, END_COLUMNS, MINUTE
from flowlet.store.dialects.batch import PRIORITY_ORDER
from flowlet.store.dialects.postgres.connection import NOW_SQL
from flowlet.store.rows import ACTION_COLUMNS, CREATION_TIME_NAMES, NEW_INSTANCE_ENCODER, TRANSITION_ENCODER
from flowlet.store.tables import ACTION, COUNTER, EXECUTOR, IS_READY, WORKFLOW

__all__ = [
    "ADD_COUNTS",
    "CHANNEL",
    "COMMIT",
    "CREATE",
    "END_CHILDREN",
    "FIND_KNOWN",
    "LOCK_PARENTS",
    "NOTIFY",
    "NOTIFY_AT_ONCE",
    "RENEW_LEASE",
    "WAKE",
    "build_claim_sql",
    "format_notification",
]

CHANNEL = "flowlet"
"""The channel of all notifications."""
MAX_GROUP_LENGTH = 1_000
"""Characters of a group's name in a notification, which has at most 8,000 bytes."""
_BIND_TYPES = {
    **dict.fromkeys(ColumnType, "text"),
    **dict.fromkeys((ColumnType.FLAG, ColumnType.SMALL, ColumnType.INTEGER), "int"),
    **dict.fromkeys((ColumnType.IDENTITY, ColumnType.BIG), "bigint"),
}
_BATCH_COLUMNS = (
    Column("moves", ColumnType.INTEGER),
    Column("failures", ColumnType.INTEGER),
    *TRANSITION_ENCODER.columns,
)
"""The columns of a batch: what ``count_activations`` gives, then the transition."""


def _build_array_binds(columns: Sequence[Column], first: int) -> str:
    """Return a bind for each column, each an array of values, beginning with the number ``first``."""
    return ", ".join(f"${first + place}::{_BIND_TYPES[column.type]}[]" for place, column in enumerate(columns))


# One leg for each priority and group walks the due index from its oldest entry, leaves out what another executor is
# about to lease, and stops at the limit; a leg runs only while those before it have not filled the limit. A group is
# compared with "=" because "= ANY" makes the planner sort everything that is due.
_CLAIM_LEG = """SELECT id FROM (SELECT id FROM {workflow}
    WHERE executor_group = ($2::text[])[{group}] AND priority = {level} AND {ready} AND next_activation <= $3
        AND workflow_type = ANY($4::text[])
    ORDER BY next_activation LIMIT $5 FOR UPDATE SKIP LOCKED) leg_{level}_{group}"""
_LEASED = RowReader(Instance, {"w": WORKFLOW}).select_list
_INSERT_COUNTS = f"INSERT INTO {COUNTER} ({', '.join(COUNTER_ROW_NAMES)})"
_ON_CONFLICT_ADD = f"""ON CONFLICT ({", ".join(COUNTER_KEY)}) DO UPDATE
    SET {", ".join(f"{column} = {COUNTER}.{column} + excluded.{column}" for column in COUNTER_COLUMNS)}"""
_END_COUNTS = ", ".join(f"count(*) FILTER (WHERE u.status = '{status}')" for status in END_COLUMNS)
# The whole batch in one round trip and one transaction: the rows whose fence holds, their history, the counts.
# "IS TRUE" steers the planner: the rows are found by their primary key (not by all that the executor holds, compared
# with each), and which lines of history to keep by a hash (a nested loop cost 15 of the 21 ms of a batch of 256).
COMMIT = f"""
WITH b AS (
    SELECT * FROM unnest({_build_array_binds(_BATCH_COLUMNS, 2)}) AS b({list_names(_BATCH_COLUMNS)})
), u AS (
    UPDATE {WORKFLOW} w SET status = b.status, state = b.state, vars = COALESCE(b.vars, w.vars),
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
    INSERT INTO {ACTION} ({list_names(ACTION_COLUMNS)})
    SELECT {list_names(ACTION_COLUMNS, "a")}
    FROM unnest({_build_array_binds(ACTION_COLUMNS, 2 + len(_BATCH_COLUMNS))}) WITH ORDINALITY
        AS a({list_names(ACTION_COLUMNS)}, place)
    WHERE (a.workflow_id IN (SELECT id FROM u)) IS TRUE ORDER BY a.place
), t AS (
    {_INSERT_COUNTS}
    SELECT pg_backend_pid(), 1, u.at - u.at % {MINUTE}, u.workflow_type, sum(u.moves), sum(u.failures), {_END_COUNTS}
    FROM u WHERE u.moves + u.failures > 0 OR u.status IN ({", ".join(f"'{status}'" for status in END_COLUMNS)})
    GROUP BY 3, 4
    {_ON_CONFLICT_ADD}
)
SELECT id FROM u
"""
END_CHILDREN = f"""
UPDATE {WORKFLOW} w SET open_children = w.open_children - b.ended,
    next_activation = CASE WHEN w.waits_for_children = 1 AND w.open_children <= b.ended
        THEN $3 ELSE w.next_activation END,
    waits_for_children = (w.waits_for_children = 1 AND w.open_children > b.ended)::int
FROM unnest($1::bigint[], $2::int[]) AS b(id, ended) WHERE w.id = b.id
RETURNING w.executor_group, w.next_activation = $3 AND w.status = 'IN_PROGRESS'
"""
# Locked in the order of their ids first: two batches that end children of the same parents cannot deadlock.
LOCK_PARENTS = f"SELECT id FROM {WORKFLOW} WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"
# A parent that is executing is about to wait: its next commit finds the mark.
WAKE = f"""
UPDATE {WORKFLOW} SET woken = (status = 'EXECUTING')::int, waits_for_children = 0,
    next_activation = CASE status WHEN 'EXECUTING' THEN next_activation ELSE $2 END
WHERE id = ANY($1::bigint[]) AND (status IN ('EXECUTING', 'IN_PROGRESS') OR held_status = 'IN_PROGRESS')
RETURNING executor_group, status = 'IN_PROGRESS'
"""


@lru_cache(maxsize=16)
def build_claim_sql(groups: int) -> str:
    """Return the statement of a claim for so many executor groups."""
    legs = [
        _CLAIM_LEG.format(group=group, level=level, ready=IS_READY, workflow=WORKFLOW)
        for level in PRIORITY_ORDER
        for group in range(1, groups + 1)
    ]
    return f"""
    WITH due AS MATERIALIZED (SELECT id FROM ({" UNION ALL ".join(legs)}) legs LIMIT $5)
    UPDATE {WORKFLOW} w SET status = 'EXECUTING', executor_id = $1, token = w.token + 1,
        started = COALESCE(w.started, $3), waits_for_children = 0, woken = 0
    FROM due WHERE w.id = due.id RETURNING {_LEASED}
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
# The instances, the first line of each one's history and the NOTIFY: one round trip, one transaction.
_NEW_TIME = f"${len(NEW_INSTANCE_ENCODER.columns) + 1}::bigint"
_SENDER = f"${len(NEW_INSTANCE_ENCODER.columns) + 2}::text"
CREATE = f"""
WITH created AS (
    INSERT INTO {WORKFLOW} ({", ".join((*NEW_INSTANCE_ENCODER.names, *CREATION_TIME_NAMES))})
    SELECT *, {_NEW_TIME}, {_NEW_TIME} FROM unnest({_build_array_binds(NEW_INSTANCE_ENCODER.columns, 1)})
    ON CONFLICT (external_id) DO NOTHING RETURNING *
), history AS (
    INSERT INTO {ACTION} (workflow_id, kind, at, to_state, text, username, changes, definition_version)
    SELECT id, '{ActionKind.CREATED}', created, state, 'child of ' || parent_id, created_by,
        CASE WHEN vars <> '{{}}' THEN '{{"set":' || vars || ',"unset":[]}}' END, definition_version
    FROM created ORDER BY id
)
SELECT id, external_id, pg_notify('{CHANNEL}', {_SENDER} || left(executor_group, {MAX_GROUP_LENGTH})) FROM created
"""
NOTIFY = f"SELECT pg_notify('{CHANNEL}', text) FROM unnest($1::text[]) text"
# The setting holds for this statement, which is a transaction by itself.
NOTIFY_AT_ONCE = f"""
SELECT pg_notify('{CHANNEL}', text), set_config('synchronous_commit', 'off', true) FROM unnest($1::text[]) text
"""
FIND_KNOWN = f"SELECT external_id, id FROM {WORKFLOW} WHERE external_id = ANY($1::text[])"


def format_notification(sender: str, group: str = "") -> str:
    """Return a notification's text: the sender's name, a colon, and the executor group with work due, or nothing."""
    return f"{sender}:{group[:MAX_GROUP_LENGTH]}"
