"""What an error of a database's driver means."""

from __future__ import annotations

from typing import Protocol

__all__ = ["ErrorDialect", "is_driver_error"]

_DRIVERS = frozenset({"aiomysql", "aiosqlite", "asyncpg", "pymysql", "sqlalchemy", "sqlite3"})


class ErrorDialect(Protocol):
    """How the errors of a driver are classified. Each method answers for any exception."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the database went away, or has stopped the statement: the same call may work later."""
        ...

    def is_wrong_server(self, error: BaseException) -> bool:
        """Return whether the server takes no writes: after a switchover the right one has to be looked for."""
        ...

    def is_disk_full(self, error: BaseException) -> bool:
        """Return whether the database has no space for what is written: it is unavailable until it has."""
        ...

    def is_missing_right(self, error: BaseException) -> bool:
        """Return whether the database denies its user a right."""
        ...

    def is_connection_loss(self, error: BaseException) -> bool:
        """Return whether the connection ended without a reason, or the statement was stopped.

        The server may be away, or what was sent may be the cause.
        """
        ...

    def is_too_large(self, error: BaseException) -> bool:
        """Return whether the database does not accept a value because of its size."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether the transaction lost against another one and was rolled back: it can be tried again."""
        ...

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether the database rolled this transaction back because several waited for each other.

        Unlike other conflicts it cannot repeat for ever: another transaction has been let through.
        """
        ...

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Return whether a row was locked by another transaction for longer than a session waits."""
        ...

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether the database refuses a value of a row: it will refuse it again."""
        ...


def is_driver_error(error: BaseException) -> bool:
    """Return whether an error is one of a database's driver, without loading any driver."""
    return any(base.__module__.partition(".")[0] in _DRIVERS for base in type(error).__mro__)
