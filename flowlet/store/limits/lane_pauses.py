"""The lanes that are paused: whole workflows and whole executor groups, whose instances stay as they are."""

from __future__ import annotations

from collections.abc import Callable

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.store.columns import RowEncoder, RowReader
from flowlet.store.commits import Commit
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.definitions import save_concurrently
from flowlet.store.limits.table import LANE_PAUSE, LaneKind, LanePause
from flowlet.store.people.audit import write_audit

__all__ = ["LanePauseStore"]

_READER = RowReader(LanePause, {"": LANE_PAUSE})
_ENCODER = RowEncoder(LANE_PAUSE.columns)
_SELECT = f"SELECT {_READER.select_list} FROM {LANE_PAUSE}"
_IN_LANE = "WHERE kind = :kind AND name = :name"


class LanePauseStore:
    """The table of paused lanes. One method is one transaction.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_all(self) -> list[LanePause]:
        """Return the paused lanes: the groups, then the workflows, by name.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        sql = f"{_SELECT} ORDER BY kind, name"
        return _READER.parse_all(await self._connections.read(lambda session: session.fetch_rows(sql)))

    async def pause(self, lane: LanePause, *, check: Callable[[LanePause | None], None]) -> None:
        """Pause a lane, and record it in the audit.

        ``check`` gets the pause that there is already, and raises what refuses another one.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """

        async def write(session: DatabaseSession) -> None:
            check(await _find(session, lane.kind, lane.name))
            await session.insert_many(LANE_PAUSE, LANE_PAUSE.columns, [_ENCODER.encode(lane)])
            entry = AuditEntry(lane.paused_by, AuditAction.LANE_PAUSED, lane.name, lane.kind)
            await write_audit(session, [entry], now=lane.paused_at)

        await save_concurrently(self._connections, write)

    async def resume(self, kind: LaneKind, name: str, *, now: int, username: str) -> LanePause | None:
        """End the pause of a lane, record it in the audit, and wake the executors.

        Return what was the pause; None if the lane is not paused.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """

        async def write(session: DatabaseSession) -> LanePause | None:
            found = await _find(session, kind, name)
            if found is None:
                return None
            await session.execute(f"DELETE FROM {LANE_PAUSE} {_IN_LANE}", {"kind": kind.value, "name": name})
            await write_audit(session, [AuditEntry(username, AuditAction.LANE_RESUMED, name, kind)], now=now)
            session.pending_commit = Commit(instances=())  # its instances may be due, in any group
            return found

        return await self._connections.write(write)


async def _find(session: DatabaseSession, kind: LaneKind, name: str) -> LanePause | None:
    sql = f"{_SELECT} {_IN_LANE} {session.dialect.expressions.for_update_sql}"
    found = _READER.parse_all(await session.fetch_rows(sql, {"kind": kind.value, "name": name}))
    return found[0] if found else None
