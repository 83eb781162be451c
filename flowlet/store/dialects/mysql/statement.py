"""Statements on a raw connection of MariaDB or MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["execute_and_count", "fetch_rows", "insert_rows"]


async def fetch_rows(raw: Any, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    """Run a statement and return its rows."""
    async with raw.cursor() as cursor:
        await cursor.execute(sql, values or None)
        found: Sequence[Any] = await cursor.fetchall()
        return found


async def execute_and_count(raw: Any, sql: str, values: Sequence[Any]) -> int:
    """Run a statement and return how many rows its condition found."""
    async with raw.cursor() as cursor:
        await cursor.execute(sql, values)
        count: int = cursor.rowcount
        return count


async def insert_rows(raw: Any, insert: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with one statement, which ends with VALUES; none for no rows."""
    if not rows:
        return
    binds = f"({', '.join(['%s'] * len(rows[0]))})"
    values = [value for row in rows for value in row]
    await fetch_rows(raw, insert + ", ".join([binds] * len(rows)), values)
