"""The reason of due instances that no live executor runs: written and removed in small steps.

There may be hundreds of thousands. One statement for all of them took 2 to 12 seconds, in which nothing else could be
written to SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.instance.instance import Status
from flowlet.store.commits import Commit
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.dialects.lanes import Lane
from flowlet.store.executors import read_served_types
from flowlet.store.tables import UNSERVED_REASON, WORKFLOW

__all__ = ["STEP_ROWS", "UnservedReasons"]

STEP_ROWS = 100
"""How many instances one step reads, and writes, at most."""
MAX_TYPES = 64
"""How many workflows of a group one step looks for at most; on MySQL, how many lanes."""
TOLERANCE_MICROSECONDS = 1_000_000
"""How long an instance has been due before it is explained."""
LAPS_PER_REWALK = 20
"""After how many laps that left nothing the instances are read from the first one again: a resumed one may be behind
those read."""

_EXPLAINED = frozenset({Status.NEW, Status.IN_PROGRESS})
"""The statuses of instances that are explained: a WAITING one has its question, even if its deadline has passed."""


@dataclass(slots=True)
class _LaneProgress:
    """How far a lane has been walked through: to which instance, by its time and its id.

    Attributes:
        reason: The reason to write; None where the lane is served and reasons are removed.
        is_complete: Whether the walk has reached the last instance that is due.
    """

    reason: str | None
    due: int = 0
    id: int = 0
    is_complete: bool = False


class UnservedReasons:
    """Writes why due instances do not run, and removes it where an executor has come.

    A lap looks at every lane of the due index, and takes one step in each, so that none waits for a long one. In a lane
    that no live executor serves the next lap goes on behind the last instance that was explained; one that is served
    is walked through once. Each step is one short transaction.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._progress: dict[tuple[str, str, int], _LaneProgress] = {}
        self._served: dict[str, set[str]] = {}
        self._waiting: list[Lane] = []
        self._group, self._type = "", ""
        self._has_more_types = self._is_walking = self._has_left_some = False
        self._lap_count = 0

    async def begin_lap(self) -> None:
        """Begin a lap, unless one is under way.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        if not self._is_walking:
            await self._begin()

    async def _begin(self) -> None:
        self._served = await self._connections.read(read_served_types)
        if not self._has_left_some:
            if self._lap_count % LAPS_PER_REWALK == 0:
                self._progress.clear()
            self._lap_count += 1
        self._group, self._type = "", ""
        self._has_more_types, self._is_walking, self._has_left_some = False, True, False

    async def run_step(self, *, now: int) -> bool:
        """Read the next instances or lanes and write reasons; return whether there is more to do. One transaction.

        A lap that has left instances behind is followed by another one.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        if not self._is_walking:
            return False
        if self._waiting:
            await self._walk_lane(self._waiting[-1], now - TOLERANCE_MICROSECONDS)
        else:
            await self._connections.read(lambda session: self._find_lanes(session, now - TOLERANCE_MICROSECONDS))
        if not self._is_walking and self._has_left_some:
            await self._begin()
        return self._is_walking

    async def _find_lanes(self, session: DatabaseSession, until: int) -> None:
        """Find the next lanes that have something due; end the lap behind the last group."""
        group, after, expressions = self._group, self._type, session.dialect.expressions
        if not self._has_more_types:
            ((group,),) = await session.fetch_rows(expressions.next_group_sql, {"last": self._group})
            after = ""
        if group is None:
            self._is_walking = False
            return
        values = {"group": group, "after": after, "limit": MAX_TYPES}
        lanes = [Lane(*row) for row in await session.fetch_rows(expressions.lanes_sql, values)]
        types = sorted({lane.type for lane in lanes})
        self._has_more_types = len(lanes) >= MAX_TYPES
        if self._has_more_types and len(types) > 1:
            types.pop()  # perhaps without its lower priorities
        self._group, self._type = group, types[-1] if types else ""
        self._waiting = [lane for lane in lanes if lane.type in types and self._needs_walk(lane, until)]

    def _needs_walk(self, lane: Lane, until: int) -> bool:
        """Return whether something in the lane is due and has not been walked through."""
        if lane.earliest_due is None or lane.earliest_due > until:
            return False
        reason, progress = self._find_reason(lane), self._progress.get(lane[:3])
        if progress is None or progress.reason != reason:
            progress = self._progress[lane[:3]] = _LaneProgress(reason)
        return reason is not None or not progress.is_complete

    def _find_reason(self, lane: Lane) -> str | None:
        """Return why no live executor runs the lane's instances; None if one does."""
        types = self._served.get(lane.group)
        if types is None:
            return f"{UNSERVED_REASON}serves the group {lane.group!r}"
        return None if lane.type in types else f"{UNSERVED_REASON}of the group {lane.group!r} knows this workflow"

    async def _walk_lane(self, lane: Lane, until: int) -> None:
        """Write or remove the reason of the next instances of a lane."""
        progress = self._progress[lane[:3]]
        page = await self._connections.read(lambda session: _read_page(session, lane, progress, until))
        if ids := [id for id, _, reason, status in page if _is_wrong(reason, status, progress.reason)]:
            await self._connections.write(lambda session: _write_reason(session, ids, lane.group, progress.reason))
        if page:
            progress.id, progress.due, *_ = page[-1]
        self._waiting.pop()
        progress.is_complete = len(page) < STEP_ROWS
        self._has_left_some |= not progress.is_complete


def _is_wrong(found: str | None, status: str, reason: str | None) -> bool:
    """Return whether an instance's reason has to be changed; one that says anything else, such as an error, stays."""
    is_ours = found is not None and found.startswith(UNSERVED_REASON)
    return status in _EXPLAINED and found != reason and (found is None or is_ours)


async def _read_page(
    session: DatabaseSession, lane: Lane, progress: _LaneProgress, until: int
) -> list[tuple[int, int, str | None, str]]:
    """Return the next instances of a lane that are due: each one's id, due time, reason and status.

    Those of the last instance's own time come first, in a statement of their own: "due, id" as a row comparison would
    read all of one time again on SQLite and MySQL.
    """
    expressions = session.dialect.expressions
    due = expressions.due_column
    select = (
        f"SELECT id, {due}, reason, status FROM {expressions.due_index_sql} WHERE executor_group = :group "
        f"AND {expressions.due_type_column} = :type AND priority = :priority AND {expressions.is_queued_sql} "
    )
    values = {"group": lane.group, "type": lane.type, "priority": lane.priority, "due": progress.due}
    same = f"{select} AND {due} = :due AND id > :id ORDER BY id LIMIT {STEP_ROWS}"
    rows = await session.fetch_rows(same, {**values, "id": progress.id})
    later = f"{select} AND {due} > :due AND {due} <= :until ORDER BY {due}, id LIMIT {STEP_ROWS}"
    if len(rows) < STEP_ROWS:
        rows += (await session.fetch_rows(later, {**values, "until": until}))[: STEP_ROWS - len(rows)]
    return rows


async def _write_reason(session: DatabaseSession, ids: Sequence[int], group: str, reason: str | None) -> None:
    """Write the reason of those that still wait, except those that a claim or an operator has locked."""
    binds, values = build_in_list("id", ids)
    sql = f"SELECT id, reason, status FROM {WORKFLOW} WHERE id IN ({binds}) ORDER BY id"
    found = await session.fetch_rows(f"{sql} {session.dialect.expressions.skip_locked_sql}", values)
    binds, values = build_in_list("id", [id for id, old, status in found if _is_wrong(old, status, reason)])
    if values:
        await session.execute(
            f"UPDATE {WORKFLOW} SET reason = :reason WHERE id IN ({binds})", {**values, "reason": reason}
        )
        # A claim that came meanwhile has passed over the locked rows: let it look again.
        session.pending_commit = None if reason else Commit(frozenset({group}), ())
