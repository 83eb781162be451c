"""Pieces of SQL as PostgreSQL needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.store.dialects.lanes import build_group_lanes_sql
from flowlet.store.dialects.prefix_range import build_range_condition, compute_prefix_end
from flowlet.store.tables import IS_QUEUED, WORKFLOW

__all__ = ["PostgresExpressions"]


class PostgresExpressions:
    """PostgreSQL's part for expressions."""

    for_update_sql = "FOR UPDATE"
    skip_locked_sql = "FOR UPDATE SKIP LOCKED"
    take_write_lock_sql = ""
    # A sum has no index. By the primary key, backwards, an old long history would cost reading all lines that were
    # written since: 250 ms for three million lines, where sorting its own 20,000 takes 10.
    newest_first_sql = "id + 0 DESC"
    due_type_column = "workflow_type"
    due_column = "next_activation"
    is_scheduled_sql = f"{IS_QUEUED} AND next_activation > 0"
    is_queued_sql = IS_QUEUED
    due_index_has_all_groups = False
    next_group_sql = f"SELECT MIN(executor_group) FROM {WORKFLOW} WHERE {is_scheduled_sql} AND executor_group > :last"
    due_index_sql = WORKFLOW.name
    gate_index_sql = WORKFLOW.name
    gated_status_column = "status"
    gated_due_column = "next_activation"
    lanes_sql = build_group_lanes_sql("CAST(:group AS text)", "CAST(:after AS text)", ":limit")
    failing_status_column = "status"
    ended_index_sql = WORKFLOW.name
    ended_status_column = "status"
    has_slow_json = True

    def build_ids_sql(self, bind: str) -> str:
        """Return the elements of an array."""
        return f"SELECT unnest(CAST(:{bind} AS bigint[]))"

    def encode_ids(self, ids: Sequence[int]) -> list[int]:
        """Return the ids as an array."""
        return list(ids)

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return a range: the column is compared by code points."""
        return build_range_condition(column, bind)

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return the first text of the range, and the first one beyond it."""
        return {bind: prefix, f"{bind}_end": compute_prefix_end(prefix)}

    def build_variable_sql(self, bind: str) -> str:
        """Return the variable as it is written.

        PostgreSQL refuses to read a document in which a text has an escaped NUL: such an instance is left out.
        """
        value = f"CAST(CAST(vars AS json) -> CAST(:{bind} AS text) AS text)"
        return f"CASE WHEN strpos(vars, '\\u0000') = 0 THEN {value} END"

    def build_variable_path(self, name: str) -> str:
        """Return the name: it is the path."""
        return name
