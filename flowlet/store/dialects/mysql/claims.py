"""Claims on MariaDB and MySQL: the lanes, then the longest due of each, which are locked, and their lease.

Neither has UPDATE ... RETURNING, and both use the due index only where the statement names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from flowlet.instance.instance import Instance
from flowlet.store.columns import Expression, RowReader
from flowlet.store.dialects.batch import ClaimRequest, LeasedRows
from flowlet.store.dialects.lanes import ClaimPlan, Draw, Lane
from flowlet.store.dialects.mysql.lanes import build_lanes_sql
from flowlet.store.dialects.mysql.schema import DUE_COLUMN, DUE_TYPE_COLUMN, ROOM_COLUMN
from flowlet.store.dialects.mysql.statement import fetch_rows, fill_in, run_together
from flowlet.store.dialects.transaction import end_transaction
from flowlet.store.tables import CLAIMED_REASON, DUE_INDEX, IS_QUEUED, WORKFLOW

__all__ = ["claim_instances", "find_next_due"]

MAX_TURNS = 4
"""Up to which share each turn of the lanes is read by a subquery, which reads all entries before its own."""

_LEASED = RowReader(
    Instance,
    {"": WORKFLOW},
    expressions={
        "status": Expression("'EXECUTING'"),
        "executor_id": Expression("%s"),
        "token": Expression("token + 1"),
        "wake_at_open_children": Expression("NULL"),
        "reason": Expression(CLAIMED_REASON),
        "started_us": Expression("COALESCE(started, %s)"),
        "claimed_us": Expression("%s"),
    },
).select_list
"""The columns of an instance as the UPDATE leaves them: the rows are read before, because they are locked first."""

_DUE_INDEX = f"{WORKFLOW} FORCE INDEX ({DUE_INDEX.name})"
_LANE = f"executor_group = %s AND {DUE_TYPE_COLUMN} = %s AND priority = %s"
# One range of the index, from its oldest entry, which leaves out what another executor is about to lease.
_LOCK_LANE = f"""FROM {_DUE_INDEX} WHERE {_LANE} AND {DUE_COLUMN} >= 0 AND {DUE_COLUMN} <= %s AND {IS_QUEUED}
    ORDER BY {DUE_COLUMN} LIMIT %s FOR UPDATE SKIP LOCKED"""
# The nth entry of a lane, whatever its time: a condition on the time would have it read every later entry of a lane in
# which less than n are due. The collation is the columns' own, not the database's, with which no index is used.
_NTH_ID = f"""(SELECT w.id FROM {WORKFLOW} w FORCE INDEX ({DUE_INDEX.name})
    WHERE w.executor_group = l.executor_group AND w.{DUE_TYPE_COLUMN} = l.due_type AND w.priority = %s
    ORDER BY w.{DUE_COLUMN} LIMIT 1 OFFSET {{turn}})"""
_NAME = "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_LANES = f"""JSON_TABLE(%s, '$[*]' COLUMNS(
    place int PATH '$[0]', executor_group {_NAME} PATH '$[1]', due_type {_NAME} PATH '$[2]')) l"""
_LOCK_IDS = f"""SELECT {_LEASED} FROM {WORKFLOW} WHERE id IN ({{ids}}) AND {IS_QUEUED} AND next_activation <= %s
    FOR UPDATE SKIP LOCKED"""
_LEASE = f"""
UPDATE {WORKFLOW} SET status = 'EXECUTING', executor_id = %s, token = token + 1, started = COALESCE(started, %s),
    claimed = %s, wake_at_open_children = NULL, woken = 0, reason = {CLAIMED_REASON}, {ROOM_COLUMN} = ''
WHERE id IN ({{ids}})
"""
_NEXT_DUE = f"SELECT MIN({DUE_COLUMN}) FROM {_DUE_INDEX} WHERE {_LANE} AND {DUE_COLUMN} > %s"


async def claim_instances(raw: Any, request: ClaimRequest, turn: int) -> LeasedRows:
    """Lease due instances of the highest priority, and return them. One transaction, if anything is due."""
    lanes = await _find_lanes(raw, request.groups, request.types)
    plan = ClaimPlan(lanes, request, turn=turn)
    if plan.find_next_draw() is None:
        return plan.build_result()
    first = ["BEGIN"]
    async with end_transaction(raw.query):
        while draw := plan.find_next_draw():
            plan.record_rows(draw, await _lease_drawn(raw, draw, request, first))
            first = []
    return plan.build_result()


async def find_next_due(raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
    """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
    lanes = await _find_lanes(raw, groups, types)
    found = [lane.earliest_due for lane in lanes if lane.earliest_due is not None and lane.earliest_due > now]
    begun = [lane for lane in lanes if lane.earliest_due is not None and lane.earliest_due <= now]
    if begun:
        values = [value for lane in begun for value in (*lane[:3], now)]
        rows = await fetch_rows(raw, " UNION ALL ".join([_NEXT_DUE] * len(begun)), values)
        found += [due for (due,) in rows if due is not None]
    return min(found, default=None)


async def _find_lanes(raw: Any, groups: Sequence[str], types: Sequence[str]) -> list[Lane]:
    known = f"{DUE_TYPE_COLUMN} IN ({', '.join(['%s'] * len(types))})"
    sql = build_lanes_sql(groups=", ".join(["%s"] * len(groups)), types=known)
    return [Lane(*row) for row in await fetch_rows(raw, sql, [*groups, *types])]


async def _lease_drawn(raw: Any, draw: Draw, request: ClaimRequest, first: Sequence[str]) -> Sequence[Any]:
    rows = await _lock_drawn(raw, draw, request, first)
    if rows:
        leased = (request.executor_id, request.now, request.now)
        await fetch_rows(raw, _LEASE.format(ids=_list_ids([id for id, *_ in rows])), leased)
    return rows


async def _lock_drawn(raw: Any, draw: Draw, request: ClaimRequest, first: Sequence[str]) -> Sequence[Any]:
    """Lock what is drawn and return its rows: the first one of each lane, the second one of each, and so on.

    A small share of many lanes is read by one subquery for each turn, and then locked: a UNION of the lanes would be
    planned part by part, 0.12 ms for each. If others have locked some of it, the UNION finds what is behind. The first
    statements of the transaction are sent before.
    """
    leased = (request.executor_id, request.now, request.now)
    if len(draw.lanes) == 1:
        values = (*leased, *draw.lanes[0][:3], request.now, draw.limit)
        lock = fill_in(raw, f"SELECT {_LEASED} {_LOCK_LANE}", values)
        return (await run_together(raw, [*first, lock]))[-1].rows
    await run_together(raw, first)
    if draw.share <= MAX_TURNS:
        picked = await _pick_ids(raw, draw)
        rows = await fetch_rows(raw, _LOCK_IDS.format(ids=_list_ids(picked)), (*leased, request.now))
        if not await _are_taken(raw, set(picked).difference(id for id, *_ in rows), request.now):
            order = {id: place for place, id in enumerate(picked)}
            return sorted(rows, key=lambda row: order[row[0]])[: draw.limit]
    ids = await _lock_lanes(raw, draw, request.now)
    return await fetch_rows(raw, f"SELECT {_LEASED} FROM {WORKFLOW} WHERE id IN ({_list_ids(ids)})", leased)


async def _pick_ids(raw: Any, draw: Draw) -> list[int]:
    """Return the share of each lane in turns, perhaps with some that are due later."""
    turns = range(draw.share)
    sql = f"SELECT {', '.join(_NTH_ID.format(turn=turn) for turn in turns)} FROM {_LANES} ORDER BY l.place"
    lanes = orjson.dumps([[place, lane.group, lane.type] for place, lane in enumerate(draw.lanes)]).decode()
    rows = await fetch_rows(raw, sql, [*(draw.priority for _ in turns), lanes])
    return [row[turn] for turn in turns for row in rows if row[turn] is not None]


async def _are_taken(raw: Any, ids: Collection[int], now: int) -> bool:
    """Return whether others have locked or leased some of the instances; those that are due later are left."""
    sql = f"SELECT COUNT(*) FROM {WORKFLOW} WHERE id IN ({_list_ids(ids)}) AND {IS_QUEUED} AND next_activation > %s"
    ((later,),) = await fetch_rows(raw, sql, (now,)) if ids else ((0,),)
    return bool(later < len(ids))


async def _lock_lanes(raw: Any, draw: Draw, now: int) -> list[int]:
    legs = (f"(SELECT {place}, {DUE_COLUMN}, id {_LOCK_LANE})" for place in range(len(draw.lanes)))
    values = [value for lane in draw.lanes for value in (*lane[:3], now, draw.share)]
    picked = sorted(await fetch_rows(raw, " UNION ALL ".join(legs), values))
    turns = sorted(
        (turn, place, id) for place, rows in groupby(picked, key=itemgetter(0)) for turn, (_, _, id) in enumerate(rows)
    )
    return [id for _, _, id in turns[: draw.limit]]


def _list_ids(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids)) or "NULL"
