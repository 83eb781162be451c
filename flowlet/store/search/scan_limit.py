"""How far a search looks: a bound on what it reads where no index tells which instances fit.

Most of what instances are looked for by changes with each transition, and an index of it would cost every transition a
write. So a person who looks for a state, a reason or a variable is answered from the newest instances first, and can
look further; a program, that gives no bound, is answered from all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowlet.store.connection import DatabaseSession
from flowlet.store.search.cursor import encode_cursor
from flowlet.store.tables import WORKFLOW

__all__ = ["UNLIMITED", "ScanRequest", "ScanWindow", "compute_scan_window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """In which order a search walks through instances, and what of its conditions an index answers in that order.

    Attributes:
        order: The order's name, as a cursor holds it.
        key: What it goes by; by anything but "id" and "created" there is no index, and the newest are sorted.
        is_descending: Whether it begins with the last.
        start: The key and the id behind which it begins, as a cursor holds them; None for the first.
        limit: How many instances at most.
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
        """Whether the time of the creation is bound."""
        return self.created_from is not None or self.created_to is not None


@dataclass(frozen=True, slots=True)
class ScanWindow:
    """The instances that are looked at.

    Attributes:
        conditions: What they have in common, as conditions; none for all of them.
        binds: Their binds.
        next_cursor: The cursor of what lies beyond; None if there is nothing, or if the order goes by something else.
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
    """Return which instances are within reach.

    A type, or a time of creation, that no more than ``reach`` instances have narrows it: these are looked at wherever
    they are.
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
    # Rows lie in the order of their ids: told between which ids these are, PostgreSQL does not read the whole table.
    # "+ 0" keeps it, for the least and the greatest, from walking the primary key until a row fits: 0.2 s.
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
    """Return the key and the id of the last instance within reach, if others follow. It reads nothing but an index."""
    where, values = _add_start_condition(scan, key, parts, values)
    way = "DESC" if scan.is_descending else "ASC"
    order = "id" if key == "id" else f"{key} {way}, id"
    sql = f"SELECT {key}, id FROM {WORKFLOW} WHERE {where} ORDER BY {order} {way} LIMIT 2 OFFSET :edge_reach"
    rows = await session.fetch_rows(sql, {**values, "edge_reach": scan.limit - 1})
    return (int(rows[0][0]), int(rows[0][1])) if len(rows) == 2 else None


def _add_start_condition(
    scan: ScanRequest, key: str, parts: list[str], values: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the condition of what comes from the start on, and its binds."""
    if scan.start is not None and scan.key == "id" != key:
        parts = [*parts, f"id {'<' if scan.is_descending else '>'} :start_id"]
        values = {**values, "start_id": scan.start[1]}
    elif scan.start is not None and key == scan.key:
        sign = "<" if scan.is_descending else ">"
        parts = [*parts, f"{key} {sign}= :start_key AND ({key} {sign} :start_key OR id {sign} :start_id)"]
        values = {**values, "start_key": scan.start[0], "start_id": scan.start[1]}
    return " AND ".join(parts) or "1 = 1", values


async def _find_id_edge(session: DatabaseSession, scan: ScanRequest) -> int | None:
    """Return the last id within reach, if others follow. Ids that are missing count as well."""
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
