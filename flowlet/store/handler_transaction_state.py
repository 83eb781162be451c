"""Whether an activation holds a transaction of its own open, known to all tasks that it starts."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["HandlerTransactionState", "handler_transaction", "track_transaction"]


@dataclass(slots=True)
class HandlerTransactionState:
    """Whether an activation holds a transaction open, known to all tasks that it starts."""

    is_open: bool = False


handler_transaction: ContextVar[HandlerTransactionState | None] = ContextVar("flowlet_held_transaction", default=None)


def track_transaction() -> None:
    """Share one state of transactions with all tasks that this task starts from here on; each has its own context."""
    handler_transaction.set(HandlerTransactionState())
