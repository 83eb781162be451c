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
    has_next_sql: tuple[str, ...]
    """Conditions of which each instance that has a next activation meets one, in words that let an index be used."""
    asking_index_sql: str
    """The table of instances after FROM, read by the index of what waits for a person."""
    is_asking_sql: str
    """The condition of what waits for a person, in words that let that index be used."""
    receiving_index_sql: str
    """The table of instances after FROM, read by the index of what waits for a message."""
    is_receiving_sql: str
    """The condition of what waits for a message, in words that let that index be used."""
    deadline_sql: str
    """The key of those two indexes: the deadline, or a number beyond all of them."""
    ordered_join_sql: str
    """What stands between two tables after FROM, of which the first one is read first."""
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
    gate_lines_sql: dict[str, str]
    """By comparison, ">" or ">=", the statement that reads the gates behind ``:last`` and before ``:end``, as rows of
    gate, status, priority and the time at which the first of these is due; NULL for none. At most ``:limit`` gates; on
    MySQL at most so many rows, perhaps without the last ones of the last gate."""
    lanes_sql: str
    """The statement that reads the lanes of ``:group``, as rows of ``Lane``, in order: those of at most ``:limit``
    workflows whose names come behind ``:after``; on MySQL at most so many lanes."""
    failing_status_column: str
    """The column of the index of failures that has the status."""
    ended_index_sql: str
    """The table of instances after FROM, read by the index of ended roots where the statement has its condition."""
    ended_status_column: str
    """The column of that index that has the status."""
    has_local_locks: bool
    """Whether other transactions may not see that a row is locked, but only that it was written: those at other nodes
    of a cluster."""
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
        """Return the SQL of a variable as JSON text; NULL where there is none. A bind has its path."""
        ...

    def build_range_sql(self, bind: str, sign: str, *, is_number: bool) -> str:
        """Return the condition that a variable is a number, or a text, on one side of a bound.

        Args:
            bind: The bind of the variable's path; that of the bound, as text, has ``_bound`` behind it.
            sign: ``<``, ``<=``, ``>`` or ``>=``.
            is_number: Whether numbers are compared; otherwise texts, by code points. Other values never match.
        """
        ...

    def build_part_sql(self, bind: str, pattern: str) -> str:
        """Return the condition that a variable is a text like a pattern, in upper or lower case.

        Args:
            bind: The bind of the variable's path.
            pattern: The bind of the pattern of LIKE, with ``!`` as its escape character.
        """
        ...

    def build_variable_path(self, path: Sequence[str]) -> Any:
        """Return the value of that bind: the name of a variable and those within it, or positions in lists.

        No name has a quote or a backslash.
        """
        ...
