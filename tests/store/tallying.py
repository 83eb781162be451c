"""What the counts have to say, by the instances and their history: read the slow way."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowlet.clock import SECOND
from flowlet.store.counts import COUNTED
from flowlet.store.opening import Store

__all__ = ["MINUTE", "rows", "tallied", "told"]

MINUTE = 60 * SECOND
Numbers = dict[tuple[str, str], int]


async def tallied(store: Store) -> Numbers:
    """Return what has been counted of each type, spans and writers added up."""
    sums = ", ".join(f"SUM({column}) AS {column}" for column in COUNTED)
    found = await rows(store, f"SELECT workflow_type, {sums} FROM workflow_tally GROUP BY workflow_type")
    return {
        (type, what): int(number)
        for type, *numbers in found
        for what, number in zip(COUNTED, numbers, strict=True)
        if number
    }


async def told(store: Store) -> Numbers:
    """Return the same as every line of history and every instance tells it."""
    found: Counter[tuple[str, str]] = Counter()
    lines = (
        "SELECT w.workflow_type, a.kind, COUNT(*) FROM workflow_action a JOIN workflow w ON w.id = a.workflow_id "
        "WHERE a.kind IN ('TRANSITION', 'ERROR') GROUP BY w.workflow_type, a.kind"
    )
    for type, kind, number in await rows(store, lines):
        found[type, "transitions" if kind == "TRANSITION" else "failures"] += number
    ends = "SELECT workflow_type, status, COUNT(*) FROM workflow WHERE ended IS NOT NULL GROUP BY workflow_type, status"
    for type, status, number in await rows(store, ends):
        found[type, status.lower()] += number
    return dict(found)


async def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return await store.connections.read(lambda session: session.rows(sql))
