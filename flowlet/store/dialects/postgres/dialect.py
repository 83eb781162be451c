"""The dialect of PostgreSQL 12 and later."""

from __future__ import annotations

import uuid

from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.postgres.connection import PostgresConnections
from flowlet.store.dialects.postgres.errors import PostgresErrors
from flowlet.store.dialects.postgres.expressions import PostgresExpressions
from flowlet.store.dialects.postgres.schema import PostgresSchema
from flowlet.store.dialects.postgres.signals import PostgresSignals
from flowlet.store.dialects.postgres.writes import PostgresWrites

__all__ = ["build_postgres_dialect"]


def build_postgres_dialect() -> Dialect:
    """Return the dialect of PostgreSQL, as one process uses it."""
    process_name = uuid.uuid4().hex
    return Dialect(
        name="postgresql",
        connections=PostgresConnections(),
        schema=PostgresSchema(),
        writes=PostgresWrites(process_name),
        expressions=PostgresExpressions(),
        errors=PostgresErrors(),
        signals=PostgresSignals(process_name),
    )
