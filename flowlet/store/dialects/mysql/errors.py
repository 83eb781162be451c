"""What an error of MariaDB or MySQL means."""

from __future__ import annotations

import asyncio

import pymysql

__all__ = ["MySQLErrors"]

DEADLOCK, LOCK_TIMEOUT, RECORD_CHANGED, DUPLICATE = 1213, 1205, 1020, 1062
_UNAVAILABLE_CODES = frozenset(
    {1021, 1040, 1053, 1077, 1079, 1080, 1114, 1152, 1184, 1290, 1836, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031}
)


class MySQLErrors:
    """The part of MariaDB and MySQL for errors."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the connection is lost or cannot be had."""
        if isinstance(error, pymysql.err.OperationalError | pymysql.err.InternalError):
            return bool(error.args) and error.args[0] in _UNAVAILABLE_CODES
        if isinstance(error, RuntimeError):
            return "closed" in str(error) or "readuntil" in str(error)
        return isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError | pymysql.err.InterfaceError)

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, a lock timeout, or a create that lost against another one's."""
        lost = (DEADLOCK, LOCK_TIMEOUT, RECORD_CHANGED)
        if isinstance(error, pymysql.err.IntegrityError):
            return error.args[0] == DUPLICATE and "external_id" in str(error)
        return isinstance(error, pymysql.err.MySQLError) and bool(error.args) and error.args[0] in lost

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a row that another one has changed."""
        return isinstance(error, pymysql.err.MySQLError) and error.args[:1] in ((DEADLOCK,), (RECORD_CHANGED,))

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        return isinstance(error, pymysql.err.DataError | pymysql.err.IntegrityError | UnicodeEncodeError)
