"""What an error of a database's driver means."""

from __future__ import annotations

from typing import Protocol

__all__ = ["ErrorDialect"]


class ErrorDialect(Protocol):
    """How the errors of a driver are classified. Each method answers for any exception."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the database went away: the same call may work later."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether the transaction lost against another one and was rolled back: it can be tried again."""
        ...

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether the database rolled this transaction back because several waited for each other.

        Unlike other conflicts it cannot repeat for ever: another transaction has been let through.
        """
        ...

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether the database refuses a value of a row: it will refuse it again."""
        ...
