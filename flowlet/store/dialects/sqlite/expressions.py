"""Pieces of SQL as SQLite needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from flowlet.store.dialects.gate_lines import build_gate_lines_sql
from flowlet.store.dialects.json_path import build_json_path
from flowlet.store.dialects.lanes import build_group_lanes_sql
from flowlet.store.dialects.prefix_range import build_range_condition, compute_prefix_end
from flowlet.store.people.tables import ASKING_INDEX, DEADLINE, IS_ASKING, IS_RECEIVING, RECEIVING_INDEX
from flowlet.store.tables import DUE_INDEX, ENDED_INDEX, GATE_INDEX, IS_NOT_DONE, IS_QUEUED, IS_READY, WORKFLOW

__all__ = ["SQLiteExpressions"]


class SQLiteExpressions:
    """SQLite's part for expressions."""

    for_update_sql = ""
    skip_locked_sql = ""
    take_write_lock_sql = f"UPDATE {WORKFLOW} SET version = version WHERE id = 0"
    newest_first_sql = "id DESC"
    due_type_column = "workflow_type"
    due_column = "next_activation"
    is_scheduled_sql = f"{IS_QUEUED} AND next_activation > 0"
    is_queued_sql = IS_QUEUED
    has_next_sql: tuple[str, ...] = (f"{IS_READY} AND {IS_NOT_DONE} AND next_activation IS NOT NULL",)
    asking_index_sql = f"{WORKFLOW} INDEXED BY {ASKING_INDEX.name}"
    receiving_index_sql = f"{WORKFLOW} INDEXED BY {RECEIVING_INDEX.name}"
    is_asking_sql, is_receiving_sql, deadline_sql = IS_ASKING, IS_RECEIVING, DEADLINE
    ordered_join_sql = "CROSS JOIN"
    due_index_has_all_groups = False
    next_group_sql = f"SELECT MIN(executor_group) FROM {WORKFLOW} WHERE {is_scheduled_sql} AND executor_group > :last"
    due_index_sql = f"{WORKFLOW} INDEXED BY {DUE_INDEX.name}"
    gate_index_sql = f"{WORKFLOW} INDEXED BY {GATE_INDEX.name}"
    gated_status_column = "status"
    gated_due_column = "next_activation"
    gate_lines_sql = {one: build_gate_lines_sql(one) for one in (">", ">=")}  # noqa: RUF012
    lanes_sql = build_group_lanes_sql(":group", ":after", ":limit")
    failing_status_column = "status"
    ended_index_sql = f"{WORKFLOW} INDEXED BY {ENDED_INDEX.name}"
    ended_status_column = "status"
    has_local_locks = False
    has_slow_json = True

    def build_ids_sql(self, bind: str) -> str:
        """Return the elements of a JSON array."""
        return f"SELECT value FROM json_each(:{bind})"

    def encode_ids(self, ids: Sequence[int]) -> str:
        """Return the ids as the text of a JSON array."""
        return orjson.dumps(ids).decode()

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return a range: the column is compared by code points."""
        return build_range_condition(column, bind)

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return the first text of the range, and the first one beyond it."""
        return {bind: prefix, f"{bind}_end": compute_prefix_end(prefix)}

    def build_variable_sql(self, bind: str) -> str:
        """Return the variable as it is written, cut out of a JSON array of it and of a path that no object has.

        By itself ``json_extract`` gives a number rounded to 15 digits, and 1 for true; ``->`` came with SQLite 3.38.
        """
        pair = f"json_extract(vars, :{bind}, '$[0]')"
        return f"CASE WHEN json_type(vars, :{bind}) IS NOT NULL THEN substr({pair}, 2, length({pair}) - 7) END"

    def build_range_sql(self, bind: str, sign: str, *, is_number: bool) -> str:
        """Return the condition; the bound is text."""
        kinds, bound = ("'integer', 'real'", f"json(:{bind}_bound)") if is_number else ("'text'", f":{bind}_bound")
        bound = f"json_extract({bound}, '$')" if is_number else bound
        is_kind = f"json_type(vars, :{bind}) IN ({kinds})"
        return f"CASE WHEN {is_kind} THEN json_extract(vars, :{bind}) {sign} {bound} END"

    def build_part_sql(self, bind: str, pattern: str) -> str:
        """Return the condition; only the letters A to Z are compared in upper or lower case."""
        compared = f"LOWER(json_extract(vars, :{bind})) LIKE LOWER(:{pattern}) ESCAPE '!'"
        return f"CASE WHEN json_type(vars, :{bind}) = 'text' THEN {compared} END"

    def build_variable_path(self, path: Sequence[str]) -> str:
        """Return the path of the variable."""
        return build_json_path(path)
