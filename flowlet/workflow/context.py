"""The context of an activation, as a handler receives it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from flowlet.clock import Clock, to_datetime
from flowlet.instance.instance import Instance

__all__ = ["Context", "Transaction"]


class Transaction(Protocol):
    """A connection with an open transaction, as in the ``databases`` library. Parameters are written ``:name``."""

    async def execute(self, query: Any, values: dict[str, Any] | None = None) -> Any:
        """Run one statement."""
        ...

    async def execute_many(self, query: Any, values: list[dict[str, Any]]) -> None:
        """Run one statement once for each item of ``values``."""
        ...

    async def fetch_all(self, query: Any, values: dict[str, Any] | None = None) -> list[Any]:
        """Return every row."""
        ...

    async def fetch_one(self, query: Any, values: dict[str, Any] | None = None) -> Any:
        """Return the first row, or None."""
        ...


class TransactionSource(Protocol):
    """A function that opens the transaction of ``Context.transaction``."""

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        """Return the activation's transaction, which is opened on first use."""
        ...


@dataclass(slots=True)
class Context:
    """One activation: its instance, its attempt, and what the handler can do besides returning a state.

    Attributes:
        workflow: The instance as it was when the activation began; read only.
        vars: The variables as a dict, if the workflow has no ``vars`` model. Saved only if the attempt succeeds.
        attempt: The attempt of this visit of the state, counted from 1.
        idempotency_key: Equal for all attempts of this visit of this state, and unique to it. Pass it to services that
            recognise a repeated request.
        children: The instances that this one has spawned, oldest first, as they were when the activation began.
        parent: The instance that spawned this one, or None.
        choice: In a manual state, the name of the chosen state; else None.
        username: In a manual state, the user who answered; else None.
    """

    workflow: Instance
    vars: dict[str, Any]
    attempt: int
    idempotency_key: str
    children: tuple[Instance, ...]
    parent: Instance | None
    choice: str | None
    username: str | None
    _clock: Clock
    _transaction: TransactionSource
    _log_lines: list[tuple[int, str]] = field(default_factory=list)

    def log(self, text: str) -> None:
        """Add a line to the instance's history. It is kept if the attempt fails."""
        self._log_lines.append((self._clock.now(), str(text)))

    def now(self) -> datetime:
        """Return the store's time, in UTC."""
        return to_datetime(self._clock.now())

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Return a connection whose writes are committed together with the transition, or not at all.

        ``async with ctx.transaction() as connection: await connection.execute(...)``. The transaction stays open until
        the handler has ended: keep the rest of the handler short. On SQLite it holds the database's only write lock.

        Raises:
            RuntimeError: In a plain ``def`` handler, which runs in a thread.
        """
        return self._transaction()
