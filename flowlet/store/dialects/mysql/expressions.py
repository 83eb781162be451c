"""Pieces of SQL as MariaDB and MySQL need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from flowlet.store.dialects.json_path import build_json_path
from flowlet.store.dialects.mysql.lanes import build_gate_lines_sql, build_lanes_sql
from flowlet.store.dialects.mysql.schema import (
    ASKS_COLUMN,
    DEADLINE_COLUMN,
    DUE_COLUMN,
    DUE_TYPE_COLUMN,
    ENDED_STATUS_COLUMN,
    FAILING_COLUMN,
    GATED_DUE_COLUMN,
    GATED_STATUS_COLUMN,
)
from flowlet.store.dialects.prefix_range import build_range_condition, compute_prefix_end
from flowlet.store.people.tables import ASKING_INDEX
from flowlet.store.tables import DUE_INDEX, ENDED_INDEX, GATE_INDEX, IS_NOT_DONE, IS_READY, WORKFLOW

__all__ = ["MySQLExpressions"]

MAX_NUMBER_LENGTH = 300
"""How many characters a number has at most that is compared exactly; a longer one is an integer beyond all others."""


class MySQLExpressions:
    """The part of MariaDB and MySQL for expressions."""

    for_update_sql = "FOR UPDATE"
    skip_locked_sql = "FOR UPDATE SKIP LOCKED"
    take_write_lock_sql = ""
    newest_first_sql = "id DESC"
    due_type_column = DUE_TYPE_COLUMN
    due_column = DUE_COLUMN
    is_scheduled_sql = f"{DUE_COLUMN} > 0"
    is_queued_sql = f"{DUE_COLUMN} IS NOT NULL"
    has_next_sql: tuple[str, ...] = (f"{IS_READY} AND {IS_NOT_DONE} AND next_activation IS NOT NULL",)
    asking_index_sql = receiving_index_sql = f"{WORKFLOW} FORCE INDEX ({ASKING_INDEX.name})"
    is_asking_sql, is_receiving_sql = f"{ASKS_COLUMN} = 1", f"{ASKS_COLUMN} = 0"
    deadline_sql = DEADLINE_COLUMN
    ordered_join_sql = "STRAIGHT_JOIN"
    due_index_has_all_groups = True
    next_group_sql = f"SELECT MIN(executor_group) FROM {WORKFLOW} WHERE executor_group > :last"
    due_index_sql = f"{WORKFLOW} FORCE INDEX ({DUE_INDEX.name})"
    gate_index_sql = f"{WORKFLOW} FORCE INDEX ({GATE_INDEX.name})"
    gated_status_column = GATED_STATUS_COLUMN
    gated_due_column = GATED_DUE_COLUMN
    gate_lines_sql = {one: build_gate_lines_sql(one) for one in (">", ">=")}  # noqa: RUF012
    lanes_sql = build_lanes_sql(
        groups=":group", types=f"{DUE_TYPE_COLUMN} > :after", tail=f"ORDER BY {DUE_TYPE_COLUMN}, priority LIMIT :limit"
    )
    failing_status_column = FAILING_COLUMN
    ended_index_sql = f"{WORKFLOW} FORCE INDEX ({ENDED_INDEX.name})"
    ended_status_column = ENDED_STATUS_COLUMN
    has_local_locks = True
    has_slow_json = False

    def build_ids_sql(self, bind: str) -> str:
        """Return the elements of a JSON array."""
        return f"SELECT b.id FROM JSON_TABLE(:{bind}, '$[*]' COLUMNS(id bigint PATH '$')) b"

    def encode_ids(self, ids: Sequence[int]) -> str:
        """Return the ids as the text of a JSON array."""
        return orjson.dumps(ids).decode()

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return a range without LIKE, which misses names that continue with a character beyond U+FFFF."""
        return f"{build_range_condition(column, bind)} AND CHAR_LENGTH({column}) >= :{bind}_length"

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return the range and the length: texts compare as if padded with spaces, and NUL sorts before a space."""
        return {bind: f"{prefix}\0", f"{bind}_end": f"{compute_prefix_end(prefix)}\0", f"{bind}_length": len(prefix)}

    def build_variable_sql(self, bind: str) -> str:
        """Return the variable as it is written; compared by code points, as the columns are."""
        return f"CAST(JSON_EXTRACT(vars, :{bind}) AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"

    def build_range_sql(self, bind: str, sign: str, *, is_number: bool) -> str:
        """Return the condition; numbers are compared as decimals, or as floats where they have an exponent."""
        value = f"JSON_EXTRACT(vars, :{bind})"
        if is_number:
            kinds = "'INTEGER', 'UNSIGNED INTEGER', 'DECIMAL', 'DOUBLE'"
            compared = f"{_build_number_sql(value)} {sign} {_build_number_sql(f':{bind}_bound')}"
            return f"CASE WHEN JSON_TYPE({value}) IN ({kinds}) THEN {compared} END"
        return f"CASE WHEN JSON_TYPE({value}) = 'STRING' THEN {_build_text_sql(value)} {sign} :{bind}_bound END"

    def build_part_sql(self, bind: str, pattern: str) -> str:
        """Return the condition; letters of every alphabet are compared in upper or lower case."""
        value = f"JSON_EXTRACT(vars, :{bind})"
        compared = f"LOWER({_build_text_sql(value)}) LIKE LOWER(:{pattern}) ESCAPE '!'"
        return f"CASE WHEN JSON_TYPE({value}) = 'STRING' THEN {compared} END"

    def build_variable_path(self, path: Sequence[str]) -> str:
        """Return the path of the variable."""
        return build_json_path(path)


def _build_text_sql(value: str) -> str:
    """Return the SQL of the text that a JSON value is, compared by code points."""
    return f"CAST(JSON_UNQUOTE({value}) AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"


def _build_number_sql(text: str) -> str:
    """Return the SQL of the number that a text spells.

    The server warns of an integer beyond the range of its floats, and one such variable would make the search an error.
    """
    limit = f"CASE WHEN {text} LIKE '-%' THEN -1.7e308 ELSE 1.7e308 END"
    return f"CASE WHEN CHAR_LENGTH({text}) <= {MAX_NUMBER_LENGTH} THEN {text} + 0 ELSE {limit} END"
