"""A database's dialect: all that differs between the databases, in parts.

Each part is a protocol in a module of its own, which the packages ``sqlite``, ``postgres`` and ``mysql`` implement.
Methods that take a raw connection run statements that have no portable form.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.dialects.connection import ConnectionDialect
from flowlet.store.dialects.errors import ErrorDialect
from flowlet.store.dialects.expressions import ExpressionDialect
from flowlet.store.dialects.schema import SchemaDialect
from flowlet.store.dialects.signals import SignalDialect
from flowlet.store.dialects.writes import WriteDialect

__all__ = ["Dialect"]


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
        signals: How processes hear of each other's commits.
    """

    name: str
    connections: ConnectionDialect
    schema: SchemaDialect
    writes: WriteDialect
    expressions: ExpressionDialect
    errors: ErrorDialect
    signals: SignalDialect
