"""The dialect of PostgreSQL 12 and later."""

from __future__ import annotations

import uuid

from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.postgres.caller import PostgresCallers
from flowlet.store.dialects.postgres.connection import PostgresConnections
from flowlet.store.dialects.postgres.errors import PostgresErrors
from flowlet.store.dialects.postgres.expressions import PostgresExpressions
from flowlet.store.dialects.postgres.qualifier import SchemaQualifier
from flowlet.store.dialects.postgres.schema import PostgresSchema
from flowlet.store.dialects.postgres.signals import PostgresSignals
from flowlet.store.dialects.postgres.writes import PostgresWrites

__all__ = ["build_postgres_dialect"]


def build_postgres_dialect(schema: str | None = None) -> Dialect:
    """Return the dialect of PostgreSQL, as one process uses it.

    Args:
        schema: The schema of the tables; None for the one that the role's search path finds.
    """
    process_name = uuid.uuid4().hex
    qualifier = SchemaQualifier(schema) if schema else None
    return Dialect(
        name="postgresql",
        connections=PostgresConnections(),
        schema=PostgresSchema(schema),
        writes=PostgresWrites(process_name),
        expressions=PostgresExpressions(),
        errors=PostgresErrors(),
        callers=PostgresCallers(),
        signals=PostgresSignals(process_name, qualifier),
        qualifier=qualifier,
    )
