"""What an error of PostgreSQL means."""

from __future__ import annotations

import asyncpg

__all__ = ["PostgresErrors"]


class PostgresErrors:
    """PostgreSQL's part for errors."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the connection is lost or cannot be had."""
        if isinstance(error, asyncpg.InterfaceError):
            return "closed" in str(error) or "connection" in str(error)
        gone = (
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.ReadOnlySQLTransactionError,
            asyncpg.InternalClientError,
            OSError,
            TimeoutError,
        )
        return isinstance(error, gone) and not isinstance(error, asyncpg.QueryCanceledError)

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a serialisation failure."""
        kinds = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
        return isinstance(error, kinds)

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether it was a deadlock, or a serialisation failure."""
        return isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError)

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        kinds = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
        return isinstance(error, (*kinds, UnicodeEncodeError, OverflowError))
