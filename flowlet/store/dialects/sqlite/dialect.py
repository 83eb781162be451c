"""The dialect of SQLite 3.35 and later."""

from __future__ import annotations

from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.sqlite.caller import SQLiteCallers
from flowlet.store.dialects.sqlite.connection import SQLiteConnections
from flowlet.store.dialects.sqlite.errors import SQLiteErrors
from flowlet.store.dialects.sqlite.expressions import SQLiteExpressions
from flowlet.store.dialects.sqlite.schema import SQLiteSchema
from flowlet.store.dialects.sqlite.signals import SQLiteSignals
from flowlet.store.dialects.sqlite.writes import SQLiteWrites

__all__ = ["build_sqlite_dialect"]


def build_sqlite_dialect() -> Dialect:
    """Return the dialect of SQLite."""
    return Dialect(
        name="sqlite",
        connections=SQLiteConnections(),
        schema=SQLiteSchema(),
        writes=SQLiteWrites(),
        expressions=SQLiteExpressions(),
        errors=SQLiteErrors(),
        callers=SQLiteCallers(),
        signals=SQLiteSignals(),
    )
