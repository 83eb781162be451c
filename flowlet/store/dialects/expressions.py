"""Pieces of SQL in which the databases differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["ExpressionDialect"]


class ExpressionDialect(Protocol):
    """What the store's portable statements are completed with."""

    for_update_sql: str
    """What locks the rows of a SELECT; empty where writers lock the whole database."""
    skip_locked_sql: str
    """What locks the rows of a SELECT and leaves out those that others have locked; empty as above."""
    take_write_lock_sql: str
    """What takes the write lock in a transaction that another program has begun, before rows are read; empty where rows
    are locked."""
    newest_first_sql: str
    """What sorts one instance's history by the newest line first, after ORDER BY."""
    due_type_column: str
    """The column of the due index that has the workflow."""
    due_column: str
    """The column of the due index that has the time of the next activation."""
    is_scheduled_sql: str
    """The condition of the rows that the due index lists with a time, in words that let it be used."""
    is_queued_sql: str
    """The condition of the rows that the due index lists, for a statement that has another one of the time."""
    due_index_has_all_groups: bool
    """Whether the due index also lists the groups of instances that have ended."""
    next_group_sql: str
    """The statement that reads the first group behind ``:last`` in the due index, by one probe; NULL for none."""
    due_index_sql: str
    """The table of instances after FROM, read by the due index where the statement has its condition."""
    gate_index_sql: str
    """The table of instances after FROM, read by the index of gates where the statement has a gate."""
    gated_status_column: str
    """The column of that index that has the status."""
    gated_due_column: str
    """The column of that index that has the time of the next activation."""
    lanes_sql: str
    """The statement that reads the lanes of ``:group``, as rows of ``Lane``, in order: those of at most ``:limit``
    workflows whose names come behind ``:after``; on MySQL at most so many lanes."""
    failing_status_column: str
    """The column of the index of failures that has the status."""
    ended_index_sql: str
    """The table of instances after FROM, read by the index of ended roots where the statement has its condition."""
    ended_status_column: str
    """The column of that index that has the status."""
    has_slow_json: bool
    """Whether reading a text as JSON takes several times as long as searching it for a piece of text."""

    def build_ids_sql(self, bind: str) -> str:
        """Return the operand of ``IN (...)`` for a list of ids of any length, in one bind."""
        ...

    def encode_ids(self, ids: Sequence[int]) -> Any:
        """Return the value of that bind."""
        ...

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return the condition that a name begins with a text, as a range that the column's index answers."""
        ...

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return the values of its binds; a name is at most 255 characters long."""
        ...

    def build_variable_sql(self, bind: str) -> str:
        """Return the SQL of a top-level variable as JSON text; NULL where there is none. A bind names the variable."""
        ...

    def build_variable_path(self, name: str) -> str:
        """Return the value of that bind for a variable, whose name has no quote and no backslash."""
        ...
