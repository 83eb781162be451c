"""How far a search looks: a bound on what it reads where no index tells which instances fit.

Most of what instances are looked for by changes with each transition, and an index of it would cost every transition a
write. So a person who looks for a state, a reason or a variable is answered from the newest instances first, and can
look further; a program, that gives no bound, is answered from all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowlet.store.connection import Session
from flowlet.store.cursor import cursor_at

__all__ = ["EVERYTHING", "Walk", "Window", "window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """In which order a search walks through instances, and what of its conditions an index answers in that order.

    Attributes:
        order: The order's name, as a cursor holds it.
        key: What it goes by; by anything but "id" and "created" there is no index, and the newest are sorted.
        backward: Whether it begins with the last.
        start: The key and the id behind which it begins, as a cursor holds them; None for the first.
        reach: How many instances at most.
    """

    order: str
    key: str
    backward: bool
    start: tuple[int, int] | None
    workflow_type: str | None
    created_from: int | None
    created_to: int | None
    reach: int

    @property
    def has_times(self) -> bool:
        """Whether the time of the creation is bound."""
        return self.created_from is not None or self.created_to is not None


@dataclass(frozen=True, slots=True)
class Window:
    """The instances that are looked at.

    Attributes:
        parts: What they have in common, as conditions; none for all of them.
        values: Their binds.
        further: The cursor of what lies beyond; None if there is nothing, or if the order goes by something else.
    """

    parts: tuple[str, ...] = ()
    values: Mapping[str, int] = field(default_factory=dict)
    further: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether there are instances beyond."""
        return bool(self.parts)


EVERYTHING = Window()


async def window(session: Session, walk: Walk) -> Window:
    """Return which instances are within reach.

    A type, or a time of creation, that no more than ``reach`` instances have narrows it: these are looked at wherever
    they are.
    """
    if walk.workflow_type is not None and walk.key != "created":
        edge = await _edge(session, walk, "id", ["workflow_type = :edge_type"], {"edge_type": walk.workflow_type})
        if edge is None or not walk.has_times:
            return EVERYTHING if edge is None else _ids(walk, edge[1])
    if walk.key == "created" or walk.has_times:
        return await _created(session, walk)
    found = await _edge_of_ids(session, walk)
    return EVERYTHING if found is None else _ids(walk, found)


async def _created(session: Session, walk: Walk) -> Window:
    given = {"from": (">=", walk.created_from), "to": ("<", walk.created_to)}
    parts = [f"created {sign} :edge_{end}" for end, (sign, value) in given.items() if value is not None]
    values = {f"edge_{end}": value for end, (_, value) in given.items() if value is not None}
    edge = await _edge(session, walk, "created", parts, values)
    if edge is None:
        return EVERYTHING
    where, values = _from_start(walk, "created", parts, values)
    sign = ">" if walk.backward else "<"
    condition = f"created {sign}= :edge_key AND (created {sign} :edge_key OR id {sign}= :edge_id)"
    # Rows lie in the order of their ids: told between which ids these are, PostgreSQL does not read the whole table.
    # "+ 0" keeps it, for the least and the greatest, from walking the primary key until a row fits: 0.2 s.
    ((least, most),) = await session.rows(
        f"SELECT MIN(id + 0), MAX(id + 0) FROM workflow WHERE {where} AND {condition}",
        {**values, "edge_key": edge[0], "edge_id": edge[1]},
    )
    if walk.key == "id":
        return _ids(walk, least if walk.backward else most)
    further = cursor_at(walk.order, *edge) if walk.key == "created" else None
    bounds = {"edge_key": edge[0], "edge_id": edge[1], "edge_least": least, "edge_most": most}
    return Window((condition, "id BETWEEN :edge_least AND :edge_most"), bounds, further)


async def _edge(
    session: Session, walk: Walk, key: str, parts: list[str], values: dict[str, Any]
) -> tuple[int, int] | None:
    """Return the key and the id of the last instance within reach, if others follow. It reads nothing but an index."""
    where, values = _from_start(walk, key, parts, values)
    way = "DESC" if walk.backward else "ASC"
    order = "id" if key == "id" else f"{key} {way}, id"
    sql = f"SELECT {key}, id FROM workflow WHERE {where} ORDER BY {order} {way} LIMIT 2 OFFSET :edge_reach"
    rows = await session.rows(sql, {**values, "edge_reach": walk.reach - 1})
    return (int(rows[0][0]), int(rows[0][1])) if len(rows) == 2 else None


def _from_start(walk: Walk, key: str, parts: list[str], values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the condition of what comes from the start on, and its binds."""
    if walk.start is not None and walk.key == "id" != key:
        parts = [*parts, f"id {'<' if walk.backward else '>'} :start_id"]
        values = {**values, "start_id": walk.start[1]}
    elif walk.start is not None and key == walk.key:
        sign = "<" if walk.backward else ">"
        parts = [*parts, f"{key} {sign}= :start_key AND ({key} {sign} :start_key OR id {sign} :start_id)"]
        values = {**values, "start_key": walk.start[0], "start_id": walk.start[1]}
    return " AND ".join(parts) or "1 = 1", values


async def _edge_of_ids(session: Session, walk: Walk) -> int | None:
    """Return the last id within reach, if others follow. Ids that are missing count as well."""
    ((least, most),) = await session.rows("SELECT MIN(id), MAX(id) FROM workflow")
    if least is None:
        return None
    if walk.backward:
        edge = (most + 1 if walk.start is None or walk.key != "id" else walk.start[1]) - walk.reach
    else:
        edge = (least - 1 if walk.start is None else walk.start[1]) + walk.reach
    return int(edge) if (least < edge if walk.backward else edge < most) else None


def _ids(walk: Walk, edge: int) -> Window:
    further = cursor_at(walk.order, edge, edge) if walk.key == "id" else None
    return Window((f"id {'>=' if walk.backward else '<='} :edge",), {"edge": edge}, further)
