"""A database's dialect: all that differs between the databases, in parts.

Each part is a protocol in a module of its own, which the packages ``sqlite``, ``postgres`` and ``mysql`` implement.
Methods that take a raw connection run statements that have no portable form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from flowlet.store.dialects.caller import CallerDialect
from flowlet.store.dialects.connection import ConnectionDialect
from flowlet.store.dialects.errors import ErrorDialect
from flowlet.store.dialects.expressions import ExpressionDialect
from flowlet.store.dialects.schema import SchemaDialect
from flowlet.store.dialects.signals import SignalDialect
from flowlet.store.dialects.writes import WriteDialect

__all__ = ["Dialect", "TableQualifier"]


class TableQualifier(Protocol):
    """Names the schema of Flowlet's tables in statements."""

    def qualify_sql(self, sql: str) -> str:
        """Return a statement in which each table has its schema."""
        ...

    def wrap_connection(self, raw: Any) -> Any:
        """Return the driver's connection as one that does so with the statements that it is given."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One database.

    Attributes:
        name: ``sqlite``, ``postgresql`` or ``mysql``. For people and tests: code uses the parts.
        connections: Pools and sessions.
        schema: Tables, and the lock of migrations.
        writes: Claims, commits, creates, leases and counters.
        expressions: Pieces of SQL that statements of the store are made with.
        errors: What an error of the driver means.
        callers: Connections that an application has opened with a library of its own.
        signals: How processes hear of each other's commits.
        qualifier: Names the schema of the tables; None where a table's name alone finds it.
    """

    name: str
    connections: ConnectionDialect
    schema: SchemaDialect
    writes: WriteDialect
    expressions: ExpressionDialect
    errors: ErrorDialect
    callers: CallerDialect
    signals: SignalDialect
    qualifier: TableQualifier | None = None
