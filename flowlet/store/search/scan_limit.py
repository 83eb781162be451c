"""The scan limit of a search: how many instances it reads where no index finds the matches.

Most search terms change with each transition, and an index of them would cost every transition a write. So a person who
searches for a state, a reason or a variable gets matches among the newest instances first, and can search further; a
program that sets no limit searches all instances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowlet.store.database_session import DatabaseSession
from flowlet.store.search.cursor import encode_cursor
from flowlet.store.tables import WORKFLOW

__all__ = ["UNLIMITED", "ScanRequest", "ScanWindow", "compute_scan_window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """The order in which a search scans instances, and those of its conditions that an index answers in that order.

    Attributes:
        order: The order's name, as in a cursor.
        key: The sort key; for any but "id" and "created" there is no index, and the newest instances are sorted.
        is_descending: Whether the scan begins with the last instance.
        start: The key and the id after which the scan begins, as in a cursor; None for the first.
        limit: How many instances are scanned at most.
    """

    order: str
    key: str
    is_descending: bool
    start: tuple[int, int] | None
    workflow_type: str | None
    created_from: int | None
    created_to: int | None
    limit: int

    @property
    def has_created_range(self) -> bool:
        """Whether the time of creation is limited."""
        return self.created_from is not None or self.created_to is not None


@dataclass(frozen=True, slots=True)
class ScanWindow:
    """The instances that a search scans.

    Attributes:
        conditions: The conditions that they fulfil; empty for all instances.
        binds: The conditions' binds.
        next_cursor: The cursor of the instances beyond; None if there are none, or if the sort key has no index.
    """

    conditions: tuple[str, ...] = ()
    binds: Mapping[str, int] = field(default_factory=dict)
    next_cursor: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether there are instances beyond."""
        return bool(self.conditions)


UNLIMITED = ScanWindow()


async def compute_scan_window(session: DatabaseSession, scan: ScanRequest) -> ScanWindow:
    """Return which instances a search scans.

    If no more than ``limit`` instances have the type, or the time of creation, all of them are scanned.
    """
    if scan.workflow_type is not None and scan.key != "created":
        edge = await _find_edge(session, scan, "id", ["workflow_type = :edge_type"], {"edge_type": scan.workflow_type})
        if edge is None or not scan.has_created_range:
            return UNLIMITED if edge is None else _build_id_window(scan, edge[1])
    if scan.key == "created" or scan.has_created_range:
        return await _compute_created_window(session, scan)
    found = await _find_id_edge(session, scan)
    return UNLIMITED if found is None else _build_id_window(scan, found)


async def _compute_created_window(session: DatabaseSession, scan: ScanRequest) -> ScanWindow:
    given = {"from": (">=", scan.created_from), "to": ("<", scan.created_to)}
    parts = [f"created {sign} :edge_{end}" for end, (sign, value) in given.items() if value is not None]
    values = {f"edge_{end}": value for end, (_, value) in given.items() if value is not None}
    edge = await _find_edge(session, scan, "created", parts, values)
    if edge is None:
        return UNLIMITED
    where, values = _add_start_condition(scan, "created", parts, values)
    sign = ">" if scan.is_descending else "<"
    condition = f"created {sign}= :edge_key AND (created {sign} :edge_key OR id {sign}= :edge_id)"
    # Rows lie in the order of their ids: with a range of ids PostgreSQL does not read the whole table. "+ 0" keeps it
    # from walking the primary key until a row matches, for the least and the greatest id: 0.2 s.
    ((least, most),) = await session.fetch_rows(
        f"SELECT MIN(id + 0), MAX(id + 0) FROM {WORKFLOW} WHERE {where} AND {condition}",
        {**values, "edge_key": edge[0], "edge_id": edge[1]},
    )
    if scan.key == "id":
        return _build_id_window(scan, least if scan.is_descending else most)
    further = encode_cursor(scan.order, *edge) if scan.key == "created" else None
    bounds = {"edge_key": edge[0], "edge_id": edge[1], "edge_least": least, "edge_most": most}
    return ScanWindow((condition, "id BETWEEN :edge_least AND :edge_most"), bounds, further)


async def _find_edge(
    session: DatabaseSession, scan: ScanRequest, key: str, parts: list[str], values: dict[str, Any]
) -> tuple[int, int] | None:
    """Return the key and the id of the last instance within the limit, if others follow. It reads only an index."""
    where, values = _add_start_condition(scan, key, parts, values)
    way = "DESC" if scan.is_descending else "ASC"
    order = "id" if key == "id" else f"{key} {way}, id"
    sql = f"SELECT {key}, id FROM {WORKFLOW} WHERE {where} ORDER BY {order} {way} LIMIT 2 OFFSET :edge_reach"
    rows = await session.fetch_rows(sql, {**values, "edge_reach": scan.limit - 1})
    return (int(rows[0][0]), int(rows[0][1])) if len(rows) == 2 else None


def _add_start_condition(
    scan: ScanRequest, key: str, parts: list[str], values: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the condition of the instances from the start on, and its binds."""
    if scan.start is not None and scan.key == "id" != key:
        parts = [*parts, f"id {'<' if scan.is_descending else '>'} :start_id"]
        values = {**values, "start_id": scan.start[1]}
    elif scan.start is not None and key == scan.key:
        sign = "<" if scan.is_descending else ">"
        parts = [*parts, f"{key} {sign}= :start_key AND ({key} {sign} :start_key OR id {sign} :start_id)"]
        values = {**values, "start_key": scan.start[0], "start_id": scan.start[1]}
    return " AND ".join(parts) or "1 = 1", values


async def _find_id_edge(session: DatabaseSession, scan: ScanRequest) -> int | None:
    """Return the last id within the limit, if others follow. Missing ids count as well."""
    ((least, most),) = await session.fetch_rows(f"SELECT MIN(id), MAX(id) FROM {WORKFLOW}")
    if least is None:
        return None
    if scan.is_descending:
        edge = (most + 1 if scan.start is None or scan.key != "id" else scan.start[1]) - scan.limit
    else:
        edge = (least - 1 if scan.start is None else scan.start[1]) + scan.limit
    return int(edge) if (least < edge if scan.is_descending else edge < most) else None


def _build_id_window(scan: ScanRequest, edge: int) -> ScanWindow:
    further = encode_cursor(scan.order, edge, edge) if scan.key == "id" else None
    return ScanWindow((f"id {'>=' if scan.is_descending else '<='} :edge",), {"edge": edge}, further)
