"""The executors: how busy each one is, and when it was last heard of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from flowlet.store.connection import Connections

__all__ = ["ExecutorReport", "read_executors"]

_COLUMNS = "id, name, host, pid, executor_groups, workflow_types, slots, status, started, beat, lease_until, claimed"


@dataclass(frozen=True, slots=True)
class ExecutorReport:
    """An executor. Times in microseconds since 1970 UTC.

    Attributes:
        name: What its operator calls it.
        groups: Whose instances it runs.
        types: Which workflows it has loaded.
        slots: How many activations it runs at once.
        status: RUNNING, DRAINING, STOPPED (it left in order) or LOST: its lease has run out, noticed by another
            executor or not.
        beat: When it last prolonged its lease.
        claimed: When it last asked for due instances, or was full, as of its last beat; None if never. Far behind the
            beat, something blocks it.
        busy: How many instances it holds.
    """

    id: str
    name: str
    host: str
    pid: int
    groups: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    status: str
    started: int
    beat: int
    lease_until: int
    claimed: int | None
    busy: int

    @property
    def is_live(self) -> bool:
        """Whether it runs instances: RUNNING, or DRAINING."""
        return self.status in ("RUNNING", "DRAINING")


async def read_executors(connections: Connections, *, now: int, limit: int = 100) -> list[ExecutorReport]:
    """Return the executors, the live ones first, then those that were last heard of.

    Args:
        connections: The database's.
        now: By which leases are judged, in microseconds since 1970 UTC.
        limit: How many at most; of each kind the last ones.
    """
    # What each one holds is counted by the index of held instances: as many as it has slots.
    sql = (
        f"SELECT {_COLUMNS}, (SELECT COUNT(*) FROM workflow WHERE workflow.executor_id = shown.id) AS busy "
        f"FROM (SELECT {_COLUMNS} FROM executor "
        "ORDER BY CASE WHEN status IN ('RUNNING', 'DRAINING') THEN 0 ELSE 1 END, lease_until DESC, id LIMIT :limit"
        ") shown "
        "ORDER BY name, started DESC, id"
    )
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
    found = [_build_report(row, now) for row in rows]
    gone = sorted((one for one in found if not one.is_live), key=lambda one: -one.beat)
    return [one for one in found if one.is_live] + gone


def _build_report(row: Sequence[Any], now: int) -> ExecutorReport:
    id, name, host, pid, groups, types, slots, status, started, beat, lease_until, claimed, busy = row
    silent = status in ("RUNNING", "DRAINING") and lease_until < now
    return ExecutorReport(
        id=id,
        name=name,
        host=host,
        pid=pid,
        groups=tuple(orjson.loads(groups)),
        types=tuple(orjson.loads(types)),
        slots=slots,
        status="LOST" if silent else status,
        started=started,
        beat=beat,
        lease_until=lease_until,
        claimed=claimed,
        busy=int(busy),
    )
