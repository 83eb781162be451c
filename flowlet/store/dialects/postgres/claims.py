"""Claims on PostgreSQL: the lanes, then the longest due of each, locked and leased in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.instance.instance import Instance
from flowlet.store.columns import RowReader
from flowlet.store.dialects.batch import ClaimRequest, LeasedRows
from flowlet.store.dialects.lanes import ClaimPlan, Draw, Lane, build_lanes_sql, build_next_due_sql
from flowlet.store.dialects.transaction import begin_transaction
from flowlet.store.tables import CLAIMED_REASON, IS_QUEUED, WORKFLOW

__all__ = ["claim_instances", "find_next_due"]

_PAIRS = "unnest($1::text[]) g (value) CROSS JOIN unnest($2::text[]) t (value)"
_FIND_LANES = build_lanes_sql(_PAIRS)
_FIND_NEXT_DUE = build_next_due_sql(_PAIRS, "$3")
_LEASED = RowReader(Instance, {"w": WORKFLOW}).select_list
# For each lane one walk of the due index from its oldest entry, which leaves out what another executor is about to
# lease and stops at the share: LATERAL, because EXISTS and IN become a join that reads every entry of every lane. A
# row that was changed since the snapshot is read again when it is locked, with all conditions.
_LEASE = f"""
WITH due AS MATERIALIZED (
    SELECT picked.id
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS l (executor_group, workflow_type, place)
    CROSS JOIN LATERAL (
        SELECT locked.id, row_number() OVER () AS turn FROM (
            SELECT id FROM {WORKFLOW} WHERE executor_group = l.executor_group AND workflow_type = l.workflow_type
                AND priority = $3 AND {IS_QUEUED} AND next_activation <= $4
            ORDER BY next_activation LIMIT $5 FOR UPDATE SKIP LOCKED
        ) locked
    ) picked
    ORDER BY picked.turn, l.place LIMIT $6
)
UPDATE {WORKFLOW} w SET status = 'EXECUTING', executor_id = $7, token = w.token + 1,
    started = COALESCE(w.started, $4), claimed = $4, wake_at_open_children = NULL, woken = 0, reason = {CLAIMED_REASON}
FROM due WHERE w.id = due.id RETURNING {_LEASED}
"""


async def claim_instances(raw: Any, request: ClaimRequest, turn: int) -> LeasedRows:
    """Lease due instances of the highest priority, and return them. One transaction, if anything is due."""
    lanes = [Lane(*row) for row in await raw.fetch(_FIND_LANES, request.groups, request.types)]
    plan = ClaimPlan(lanes, request, turn=turn)
    if plan.lane_count > 1:
        async with begin_transaction(raw.execute):
            await _draw_all(raw, plan, request)
    else:
        await _draw_all(raw, plan, request)
    return plan.build_result()


async def find_next_due(raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
    """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
    due: int | None = await raw.fetchval(_FIND_NEXT_DUE, groups, types, now)
    return due


async def _draw_all(raw: Any, plan: ClaimPlan, request: ClaimRequest) -> None:
    while draw := plan.find_next_draw():
        plan.record_rows(draw, await _lease_drawn(raw, draw, request))


async def _lease_drawn(raw: Any, draw: Draw, request: ClaimRequest) -> list[Sequence[Any]]:
    groups, types = [lane.group for lane in draw.lanes], [lane.type for lane in draw.lanes]
    values = (groups, types, draw.priority, request.now, draw.share, draw.limit, request.executor_id)
    return [tuple(row) for row in await raw.fetch(_LEASE, *values)]
