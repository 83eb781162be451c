"""What an error of SQLite means."""

from __future__ import annotations

import sqlite3

__all__ = ["SQLiteErrors"]


class SQLiteErrors:
    """SQLite's part for errors."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the file cannot be opened, read or written now, or another process holds the write lock."""
        texts = ("unable to open", "disk i/o error", "is full", "readonly database", "is locked", "busy")
        return isinstance(error, sqlite3.OperationalError) and any(text in str(error).lower() for text in texts)

    def is_conflict(self, error: BaseException) -> bool:
        """Return False: there is one writer."""
        return False

    def is_deadlock(self, error: BaseException) -> bool:
        """Return False: there is one writer."""
        return False

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether a value cannot be stored."""
        kinds = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)
        return isinstance(error, kinds)
