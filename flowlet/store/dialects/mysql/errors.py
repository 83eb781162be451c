"""What an error of MariaDB or MySQL means."""

from __future__ import annotations

import asyncio
from typing import Any

import pymysql

from flowlet.store.dialects.mysql.cluster import NOT_READY
from flowlet.store.dialects.mysql.session import READ_ONLY

__all__ = ["MySQLErrors"]

DEADLOCK, LOCK_TIMEOUT, RECORD_CHANGED, ROLLED_BACK, DUPLICATE = 1213, 1205, 1020, 3101, 1062
_WRONG_SERVER_CODES = frozenset({READ_ONLY, 1792, 1836, NOT_READY, 3032})
"""A server that takes no writes; a node of Galera that has lost its cluster; a server in offline mode."""
_DISK_FULL_CODES = frozenset({1021, 1114})
_UNAVAILABLE_CODES = _WRONG_SERVER_CODES | {
    *(1040, 1053, 1077, 1079, 1080, 1129, 1135, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927),
    *(1317, 1969, 3024),  # the server has stopped the statement: by an operator, or at a time limit
    *(2002, 2003, 2006, 2013, 2014, 2026, 2055, 4031),
}

_COMMIT_FAILED, _PROVIDER_FAILED = 1180, "provider status"
"""The error of a COMMIT has many reasons. With this text it is that of a node of Galera that has lost its cluster while
it sent the transaction to the others."""
_DENIED_CODES = frozenset({1044, 1142, 1143, 1227})
"""Access denied to a database, a command denied for a table or a column, and a privilege of the server."""
_LOSS_CODES = frozenset({2006, 2013, 2014, 2055, 1317, 1969, 3024})
_SIZE_CODES = frozenset({1118, 1153, 1301})
"""A row, or the texts of a transaction, beyond InnoDB's limit; a packet, or a value, beyond ``max_allowed_packet``."""


class MySQLErrors:
    """The part of MariaDB and MySQL for errors."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the connection is lost or cannot be had, or the server has stopped the statement."""
        if isinstance(error, pymysql.err.OperationalError | pymysql.err.InternalError):
            is_known = _get_code(error) in _UNAVAILABLE_CODES
            return is_known or self.is_disk_full(error) or _has_lost_cluster(error)
        if isinstance(error, RuntimeError):
            return "closed" in str(error) or "readuntil" in str(error)
        return isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError | pymysql.err.InterfaceError)

    def is_wrong_server(self, error: BaseException) -> bool:
        """Return whether the server takes no writes: it is not, or no longer, the one that does."""
        return _get_code(error) in _WRONG_SERVER_CODES or _has_lost_cluster(error)

    def is_disk_full(self, error: BaseException) -> bool:
        """Return whether the server's disk has no space: files and engines have their own errors, with the system's."""
        return isinstance(error, pymysql.err.MySQLError) and (
            _get_code(error) in _DISK_FULL_CODES or "No space left on device" in str(error)
        )

    def is_missing_right(self, error: BaseException) -> bool:
        """Return whether the user lacks a right."""
        return _get_code(error) in _DENIED_CODES

    def is_connection_loss(self, error: BaseException) -> bool:
        """Return whether what was sent may be the cause: a packet too large, or a statement too slow."""
        if isinstance(error, pymysql.err.OperationalError | pymysql.err.InternalError):
            return _get_code(error) in _LOSS_CODES
        return self.is_unavailable(error) and not isinstance(error, TimeoutError | ConnectionRefusedError)

    def is_too_large(self, error: BaseException) -> bool:
        """Return whether a row, a packet or a transaction is too large."""
        return _get_code(error) in _SIZE_CODES

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, a lock timeout, or a create that lost against another one's."""
        if isinstance(error, pymysql.err.IntegrityError):
            return _get_code(error) == DUPLICATE and "external_id" in str(error)
        return _get_code(error) in (DEADLOCK, LOCK_TIMEOUT, RECORD_CHANGED, ROLLED_BACK)

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a row that another one has changed, on this server or in its group."""
        return _get_code(error) in (DEADLOCK, RECORD_CHANGED, ROLLED_BACK)

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Return whether ``innodb_lock_wait_timeout`` has passed."""
        return bool(_get_code(error) == LOCK_TIMEOUT)

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        return isinstance(error, pymysql.err.DataError | pymysql.err.IntegrityError | UnicodeEncodeError)


def _has_lost_cluster(error: BaseException) -> bool:
    """Return whether a node of Galera could not send a transaction: it is committed nowhere, or everywhere but here."""
    return _get_code(error) == _COMMIT_FAILED and _PROVIDER_FAILED in str(error)


def _get_code(error: BaseException) -> Any:
    """Return the server's number of an error; None for any other error."""
    return error.args[0] if isinstance(error, pymysql.err.MySQLError) and error.args else None
