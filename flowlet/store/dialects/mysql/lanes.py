"""The lanes of the due index on MariaDB and MySQL, which have a loose index scan of their own."""

from __future__ import annotations

from flowlet.store.dialects.mysql.schema import DUE_COLUMN, DUE_TYPE_COLUMN, GATED_DUE_COLUMN, GATED_STATUS_COLUMN
from flowlet.store.tables import DUE_INDEX, GATE_INDEX, WORKFLOW

__all__ = ["build_gate_lines_sql", "build_lanes_sql"]


def build_lanes_sql(*, groups: str, types: str, tail: str = "") -> str:
    """Return the statement that reads lanes, as rows of ``Lane``: of each one its first entry, by two or three probes.

    The columns are exactly those of the index, with MIN of the last one: any other select list makes both databases
    read every entry. A recursive query is no way there: a row comparison uses only its first column.

    Args:
        groups: The binds of the executor groups.
        types: The condition of the workflows.
        tail: What follows the statement.
    """
    return f"""
    SELECT executor_group, {DUE_TYPE_COLUMN}, priority, MIN({DUE_COLUMN})
    FROM {WORKFLOW} FORCE INDEX ({DUE_INDEX.name})
    WHERE executor_group IN ({groups}) AND {types}
    GROUP BY executor_group, {DUE_TYPE_COLUMN}, priority {tail}
    """


def build_gate_lines_sql(comparison: str) -> str:
    """Return the statement that reads the next ``:limit`` lines of gates before ``:end``, of every status.

    Args:
        comparison: ">" for the gates behind ``:last``, ">=" if that one is among them.
    """
    return f"""
    SELECT gate, {GATED_STATUS_COLUMN}, priority, MIN({GATED_DUE_COLUMN})
    FROM {WORKFLOW} FORCE INDEX ({GATE_INDEX.name})
    WHERE gate {comparison} :last AND gate < :end
    GROUP BY gate, {GATED_STATUS_COLUMN}, priority LIMIT :limit
    """
