"""Claims on SQLite: the lanes, then in one transaction the longest due of each, and their lease."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from flowlet.store.dialects.batch import ClaimRequest, LeasedRows
from flowlet.store.dialects.lanes import ClaimPlan, Draw, Lane, build_lanes_sql, build_next_due_sql
from flowlet.store.dialects.sqlite.statement import PlacedStatement
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import CLAIMED_REASON, IS_QUEUED, WORKFLOW

__all__ = ["claim_instances", "find_next_due", "run_in_transaction"]

_PAIRS = "json_each(:groups) g CROSS JOIN json_each(:types) t"
_FIND_LANES = PlacedStatement(build_lanes_sql(_PAIRS), ("groups", "types"))
_FIND_NEXT_DUE = PlacedStatement(build_next_due_sql(_PAIRS, ":now"), ("groups", "types", "now"))
# Of each lane one range of the due index, read from its oldest entry. One statement for all lanes takes half as long as
# one for each.
_PICK = f"""
SELECT l.key, w.next_activation, w.id FROM json_each(?) l CROSS JOIN {WORKFLOW} w WHERE w.id IN (
    SELECT id FROM {WORKFLOW} WHERE executor_group = json_extract(l.value, '$[0]')
    AND workflow_type = json_extract(l.value, '$[1]') AND priority = ? AND {IS_QUEUED}
    AND next_activation <= ? ORDER BY next_activation LIMIT ?
)
"""
_LEASE = f"""
UPDATE {WORKFLOW} SET status = 'EXECUTING', executor_id = ?, token = token + 1, started = COALESCE(started, ?),
    claimed = ?, wake_at_open_children = NULL, woken = 0, reason = {CLAIMED_REASON}
WHERE id IN (SELECT value FROM json_each(?)) RETURNING {INSTANCE_READER.select_list}
"""


def claim_instances(connection: sqlite3.Connection, request: ClaimRequest, turn: int) -> LeasedRows:
    """Lease due instances of the highest priority, and return them. One transaction, if anything is due."""
    lanes = _find_lanes(connection, request.groups, request.types)
    plan = ClaimPlan(lanes, request, turn=turn)
    if plan.find_next_draw() is not None:
        run_in_transaction(connection, lambda: _draw_all(connection, plan, request))
    return plan.build_result()


def find_next_due(connection: sqlite3.Connection, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
    """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
    values = _FIND_NEXT_DUE.bind((_encode_names(groups), _encode_names(types), now))
    ((due,),) = connection.execute(_FIND_NEXT_DUE.sql, values).fetchall()
    found: int | None = due
    return found


def run_in_transaction(connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
    """Run the work in a transaction that may write, and return its result."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _find_lanes(connection: sqlite3.Connection, groups: Sequence[str], types: Sequence[str]) -> list[Lane]:
    values = _FIND_LANES.bind((_encode_names(groups), _encode_names(types)))
    rows = connection.execute(_FIND_LANES.sql, values).fetchall()
    return [Lane(*row) for row in rows]


def _encode_names(names: Sequence[str]) -> str:
    return orjson.dumps(names).decode()


def _draw_all(connection: sqlite3.Connection, plan: ClaimPlan, request: ClaimRequest) -> None:
    while draw := plan.find_next_draw():
        ids = orjson.dumps(_pick_ids(connection, draw, request.now)).decode()
        plan.record_rows(
            draw, connection.execute(_LEASE, (request.executor_id, request.now, request.now, ids)).fetchall()
        )


def _pick_ids(connection: sqlite3.Connection, draw: Draw, now: int) -> list[int]:
    """Return the ids to lease: the first one of each lane, the second one of each, and so on."""
    lanes = orjson.dumps([(lane.group, lane.type) for lane in draw.lanes]).decode()
    picked = sorted(connection.execute(_PICK, (lanes, draw.priority, now, draw.share)))
    turns = sorted(
        (turn, place, id) for place, rows in groupby(picked, key=itemgetter(0)) for turn, (_, _, id) in enumerate(rows)
    )
    return [id for _, _, id in turns[: draw.limit]]
