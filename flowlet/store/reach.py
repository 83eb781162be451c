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
from flowlet.store.cursor import LARGEST, cursor_at

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
        part, value = "workflow_type = :edge_type", {"edge_type": walk.workflow_type}
        edge = await _edge(session, walk, "id", [part], value)
        if edge is None or not walk.has_times:
            return _window(walk, "id", edge)
    if walk.key == "created" or walk.has_times:
        given = {"from": (">=", walk.created_from), "to": ("<", walk.created_to)}
        parts = [f"created {sign} :edge_{end}" for end, (sign, value) in given.items() if value is not None]
        values = {f"edge_{end}": value for end, (_, value) in given.items() if value is not None}
        return _window(walk, "created", await _edge(session, walk, "created", parts, values))
    return _window(walk, "id", await _edge_of_ids(session, walk))


async def _edge(session: Session, walk: Walk, key: str, parts: list[str], values: dict[str, Any]) -> int | None:
    """Return the key of the last instance within reach; None if that is everything. It reads nothing but an index."""
    if walk.start is not None and key == walk.key:
        sign = "<" if walk.backward else ">"
        parts = [*parts, f"{key} {sign}= :edge_key AND ({key} {sign} :edge_key OR id {sign} :edge_id)"]
        values = {**values, "edge_key": walk.start[0], "edge_id": walk.start[1]}
    where, way = " AND ".join(parts) or "1 = 1", "DESC" if walk.backward else "ASC"
    sql = f"SELECT {key} FROM workflow WHERE {where} ORDER BY {key} {way} LIMIT 1 OFFSET :edge_reach"
    rows = await session.rows(sql, {**values, "edge_reach": walk.reach})
    return int(rows[0][0]) if rows else None


async def _edge_of_ids(session: Session, walk: Walk) -> int | None:
    """Return the id so many before the first one, or behind it; None if there are no others beyond."""
    ((least, most),) = await session.rows("SELECT MIN(id), MAX(id) FROM workflow")
    if least is None:
        return None
    first = walk.start[0] if walk.start is not None and walk.key == "id" else (most if walk.backward else least)
    edge = int(first) - walk.reach if walk.backward else int(first) + walk.reach
    return edge if least < edge < most else None


def _window(walk: Walk, key: str, edge: int | None) -> Window:
    if edge is None:
        return EVERYTHING
    further = cursor_at(walk.order, edge, 0 if walk.backward else LARGEST) if walk.key == key else None
    return Window((f"{key} {'>=' if walk.backward else '<='} :edge",), {"edge": edge}, further)
