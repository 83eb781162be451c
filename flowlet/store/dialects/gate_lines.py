"""The lines behind the gates of one scope on PostgreSQL and SQLite: a loose scan of the index of gates, by hand."""

from __future__ import annotations

from flowlet.instance.instance import PRIORITIES
from flowlet.store.tables import WORKFLOW

__all__ = ["WAITING_STATUSES", "build_gate_lines_sql"]

WAITING_STATUSES = ("IN_PROGRESS", "NEW")
"""The statuses of instances that wait behind a gate."""
_LINES = ", ".join(f"('{status}', {priority})" for priority in reversed(PRIORITIES) for status in WAITING_STATUSES)


def build_gate_lines_sql(comparison: str) -> str:
    """Return the statement that reads the next ``:limit`` gates before ``:end``, each with its lines.

    A row is a gate, a status, a priority, and when the first instance of that line is due. A gate of which nothing is
    to become due has one row, with NULL for the time. One probe of the index for each, however many instances there
    are.

    Args:
        comparison: ">" for the gates behind ``:last``, ">=" if that one is among them.
    """
    return f"""
    WITH RECURSIVE g (gate) AS (
        SELECT MIN(gate) FROM {WORKFLOW} WHERE gate {comparison} :last AND gate < :end
        UNION ALL
        SELECT (SELECT MIN(w.gate) FROM {WORKFLOW} w WHERE w.gate > g.gate AND w.gate < :end)
        FROM g WHERE g.gate IS NOT NULL
    ), s (gate) AS (SELECT gate FROM g WHERE gate IS NOT NULL LIMIT :limit), l (status, priority) AS (VALUES {_LINES})
    SELECT gate, status, priority, due FROM (
        SELECT s.gate, l.status, l.priority, (SELECT MIN(w.next_activation) FROM {WORKFLOW} w
            WHERE w.gate = s.gate AND w.status = l.status AND w.priority = l.priority) AS due
        FROM s CROSS JOIN l
    ) found WHERE due IS NOT NULL OR (status = 'NEW' AND priority = 0)
    ORDER BY gate, priority DESC, status
    """
