"""What an error of SQLite means."""

from __future__ import annotations

import sqlite3

from flowlet.store.dialects.sqlite.work_limit import INTERRUPTED

__all__ = ["SQLiteErrors"]


class SQLiteErrors:
    """SQLite's part for errors."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the file cannot be opened, read or written now, or something holds a lock for too long."""
        if isinstance(error, TimeoutError):
            return True
        texts = ("unable to open", "disk i/o error", "is full", "readonly database", "is locked", "busy")
        return isinstance(error, sqlite3.OperationalError) and any(text in str(error).lower() for text in texts)

    def is_wrong_server(self, error: BaseException) -> bool:
        """Return False: there is no server."""
        return False

    def is_disk_full(self, error: BaseException) -> bool:
        """Return whether the file's disk has no space."""
        return isinstance(error, sqlite3.OperationalError) and "is full" in str(error).lower()

    def is_missing_right(self, error: BaseException) -> bool:
        """Return False: a file that may not be written counts as unavailable."""
        return False

    def is_connection_loss(self, error: BaseException) -> bool:
        """Return False: there is no server."""
        return False

    def is_too_large(self, error: BaseException) -> bool:
        """Return whether a value, or a row, is too large."""
        is_refused = isinstance(error, sqlite3.DataError | OverflowError)
        return is_refused and ("too big" in str(error) or "longer than" in str(error))

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether the end of another unit of work has interrupted this one; there is one writer."""
        return isinstance(error, sqlite3.OperationalError) and str(error) == INTERRUPTED

    def is_deadlock(self, error: BaseException) -> bool:
        """Return False: there is one writer."""
        return False

    def is_lock_timeout(self, error: BaseException) -> bool:
        """Return False: no row is locked."""
        return False

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        kinds = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)
        return isinstance(error, kinds)
