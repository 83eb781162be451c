"""What an error of PostgreSQL means."""

from __future__ import annotations

import asyncpg

__all__ = ["PostgresErrors"]


class PostgresErrors:
    """PostgreSQL's part for errors."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the connection is lost or cannot be had, or the server has stopped the statement."""
        if isinstance(error, asyncpg.InterfaceError):
            return "closed" in str(error) or "connection" in str(error)
        gone = (
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.ReadOnlySQLTransactionError,
            asyncpg.PostgresSystemError,
            asyncpg.InternalClientError,
            OSError,
            TimeoutError,
        )
        return isinstance(error, gone)

    def is_wrong_server(self, error: BaseException) -> bool:
        """Return whether the server takes no writes: it is not, or no longer, the one that does."""
        return isinstance(error, asyncpg.ReadOnlySQLTransactionError)

    def is_disk_full(self, error: BaseException) -> bool:
        """Return whether the server's disk has no space."""
        return isinstance(error, asyncpg.DiskFullError)

    def is_missing_right(self, error: BaseException) -> bool:
        """Return whether the role lacks a right."""
        return isinstance(error, asyncpg.InsufficientPrivilegeError)

    def is_connection_loss(self, error: BaseException) -> bool:
        """Return whether what was sent may be the cause: it took too much time or memory, or nothing is known."""
        kinds = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
        if isinstance(error, TimeoutError | ConnectionRefusedError):
            return False
        return isinstance(
            error, (*kinds, asyncpg.OutOfMemoryError, asyncpg.QueryCanceledError)
        ) and self.is_unavailable(error)

    def is_too_large(self, error: BaseException) -> bool:
        """Return whether a value is larger than 1 GB, or too large for an index."""
        return isinstance(error, asyncpg.ProgramLimitExceededError)

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a serialisation failure."""
        kinds = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
        return isinstance(error, kinds)

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a serialisation failure."""
        return isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError)

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Return whether ``lock_timeout`` has passed."""
        return isinstance(error, asyncpg.LockNotAvailableError)

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        kinds = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
        return isinstance(error, (*kinds, UnicodeEncodeError, OverflowError))
