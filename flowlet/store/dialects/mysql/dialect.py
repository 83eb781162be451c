"""The dialect of MariaDB 10.6 and later, and MySQL 8."""

from __future__ import annotations

from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.mysql.caller import MySQLCallers
from flowlet.store.dialects.mysql.connection import MySQLConnections
from flowlet.store.dialects.mysql.errors import MySQLErrors
from flowlet.store.dialects.mysql.expressions import MySQLExpressions
from flowlet.store.dialects.mysql.schema import MySQLSchema
from flowlet.store.dialects.mysql.signals import MySQLSignals
from flowlet.store.dialects.mysql.writes import MySQLWrites

__all__ = ["build_mysql_dialect"]


def build_mysql_dialect() -> Dialect:
    """Return the dialect of MariaDB and MySQL."""
    return Dialect(
        name="mysql",
        connections=MySQLConnections(),
        schema=MySQLSchema(),
        writes=MySQLWrites(),
        expressions=MySQLExpressions(),
        errors=MySQLErrors(),
        callers=MySQLCallers(),
        signals=MySQLSignals(),
    )
