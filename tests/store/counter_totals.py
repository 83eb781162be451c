"""What the counts have to say, by the instances and their history: read the slow way."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.store.counter_buckets import COUNTER_COLUMNS
from flowlet.store.opening import Store

__all__ = ["MINUTE_MICROSECONDS", "count_from_history", "fetch_rows", "read_counters"]

MINUTE_MICROSECONDS = 60 * MICROSECONDS_PER_SECOND
CountsByType = dict[tuple[str, str], int]


async def read_counters(store: Store) -> CountsByType:
    """Return what has been counted of each type, spans and writers added up."""
    sums = ", ".join(f"SUM({column}) AS {column}" for column in COUNTER_COLUMNS)
    found = await fetch_rows(store, f"SELECT workflow_type, {sums} FROM flowlet_counter GROUP BY workflow_type")
    return {
        (type, what): int(number)
        for type, *numbers in found
        for what, number in zip(COUNTER_COLUMNS, numbers, strict=True)
        if number
    }


async def count_from_history(store: Store) -> CountsByType:
    """Return the same as every line of history and every instance tells it."""
    found: Counter[tuple[str, str]] = Counter()
    lines = (
        "SELECT w.workflow_type, a.kind, COUNT(*) FROM flowlet_action a "
        "JOIN flowlet_workflow w ON w.id = a.workflow_id "
        "WHERE a.kind IN ('CREATED', 'TRANSITION', 'ERROR') GROUP BY w.workflow_type, a.kind"
    )
    for type, kind, number in await fetch_rows(store, lines):
        found[type, {"CREATED": "opened", "TRANSITION": "transitions", "ERROR": "failures"}[kind]] += number
    ends = (
        "SELECT workflow_type, status, COUNT(*) FROM flowlet_workflow "
        "WHERE ended IS NOT NULL GROUP BY workflow_type, status"
    )
    for type, status, number in await fetch_rows(store, ends):
        found[type, status.lower()] += number
    return dict(found)


async def fetch_rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return await store.connections.read(lambda session: session.fetch_rows(sql))
