"""The context of an activation, as a handler receives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any, NamedTuple, Protocol, TypeVar, overload

from flowlet.clock import Clock, to_datetime
from flowlet.instance.instance import Instance
from flowlet.instance.message import Message
from flowlet.workflow.children import ChildCounts, Children

__all__ = ["NO_RELATIVES", "Context", "Failure", "Relatives", "Transaction"]


Connection = TypeVar("Connection")


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

    def __call__(self, open_connection: Callable[[], Any] | None = None) -> AbstractAsyncContextManager[Any]:
        """Return the activation's transaction, which is opened on first use.

        Args:
            open_connection: Opens a connection of the application's own; None for one of Flowlet.
        """
        ...


class Relatives(NamedTuple):
    """The relatives of an instance that were read for an activation.

    Attributes:
        children: Its children; None if it has some that were not read.
        parent: Its parent; None if there is none, or it was not read.
        is_parent_unread: Whether it has a parent that was not read.
        child_counts: How many children it has; None if they were not counted.
    """

    children: tuple[Instance, ...] | None = ()
    parent: Instance | None = None
    is_parent_unread: bool = False
    child_counts: ChildCounts | None = None


NO_RELATIVES = Relatives()


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of the last attempt in a state, after which its ``on_error`` was followed.

    Attributes:
        type: The name of the exception's class, such as ``TimeoutError``.
        message: The exception's text; empty if it has none. Passwords in it are masked, as in the history.
        state: The state in which the attempts failed.
        attempts: How many attempts were made there.
    """

    type: str
    message: str
    state: str
    attempts: int


@dataclass(slots=True)
class Context:
    """One activation: its instance, its attempt, and what the handler can do besides returning a state.

    Attributes:
        workflow: The instance as it was when the activation began; read only.
        vars: The variables as a dict, if the workflow has no ``vars`` model. Saved only if the attempt succeeds.
        attempt: The attempt of this visit of the state, counted from 1.
        idempotency_key: Equal for all attempts of this visit of this state, and unique to it. Pass it to services that
            recognise a repeated request.
        choice: In a manual state, the name of the chosen state; else None.
        username: In a manual state, the user who answered; else None.
        message: In a receive state, the message that this attempt consumes if it succeeds; else None.
        error: In a state that was entered by ``on_error``, the failure that led there; else None. It stays the same
            while the state's own attempts fail. It is read if the handler contains ``ctx.error``, or hands ``ctx`` on
            to another function.
    """

    workflow: Instance
    vars: dict[str, Any]
    attempt: int
    idempotency_key: str
    choice: str | None
    username: str | None
    error: Failure | None
    message: Message | None
    _clock: Clock
    _transaction: TransactionSource
    _read_vars: Callable[[Instance], Any]
    _relatives: Relatives = NO_RELATIVES
    _log_lines: list[tuple[int, str]] = field(default_factory=list)
    _stop_requested: Event | None = None

    @property
    def children(self) -> Children:
        """The instances that this one has spawned, oldest first, as they were when this lease first used them.

        They are read if the handler uses them: if it contains ``ctx.children``, or hands ``ctx`` on to another
        function. They are read once per lease, and again when the instance has spawned more. Every wait ends a lease.
        Those of a spawn of more than 200 that are still to be made are not among them.

        ``ctx.children.of(box.workflow)`` are those of one workflow, with variables of its model.

        Raises:
            RuntimeError: If they are reached in a way that the handler's code does not show, such as by a method of
                the context that the handler has handed on.
        """
        if self._relatives.children is None:
            raise _build_unread_error("children")
        return Children.build(self._relatives.children, self._read_vars)

    @property
    def child_counts(self) -> ChildCounts:
        """How many children this instance has, by status, without reading each of them: as this activation began.

        They are counted if the handler uses them, as ``children`` are read.

        Raises:
            RuntimeError: As for ``children``.
        """
        counts, children = self._relatives.child_counts, self._relatives.children
        if counts is None and children is None:
            raise _build_unread_error("child_counts")
        return counts or ChildCounts.of(Counter(child.status for child in children or ()), self.workflow.children)

    @property
    def parent(self) -> Instance | None:
        """The instance that spawned this one, or None; read as ``children`` are.

        Raises:
            RuntimeError: As for ``children``.
        """
        if self._relatives.is_parent_unread:
            raise _build_unread_error("parent")
        return self._relatives.parent

    @property
    def is_cancelled(self) -> bool:
        """Whether this attempt is over: its timeout has passed, or its lease is lost. What it returns has no effect.

        For plain ``def`` handlers, which run in a thread that nothing can stop: one that takes long looks from time to
        time, and returns. An ``async def`` handler is cancelled, and sees False.
        """
        return self._stop_requested is not None and self._stop_requested.is_set()

    def log(self, text: str) -> None:
        """Add a line to the instance's history. It is kept if the attempt fails."""
        self._log_lines.append((self._clock.now(), str(text)))

    def now(self) -> datetime:
        """Return the store's time, in UTC."""
        return to_datetime(self._clock.now())

    @overload
    def transaction(self) -> AbstractAsyncContextManager[Transaction]: ...

    @overload
    def transaction(
        self, open_connection: Callable[[], AbstractAsyncContextManager[Connection]]
    ) -> AbstractAsyncContextManager[Connection]: ...

    @overload
    def transaction(
        self, open_connection: Callable[[], AbstractContextManager[Connection]]
    ) -> AbstractAsyncContextManager[Connection]: ...

    def transaction(self, open_connection: Callable[[], Any] | None = None) -> AbstractAsyncContextManager[Any]:
        """Return a connection whose writes are committed together with the transition, or not at all.

        ``async with ctx.transaction() as connection: await connection.execute(...)``. The transaction stays open until
        the handler has ended: keep the rest of the handler short. On SQLite it holds the database's only write lock.

        ``async with ctx.transaction(open_session) as session: session.add(...)`` does the same with a session or a
        connection of the application's own, which Flowlet opens, commits and closes.

        Args:
            open_connection: A session factory of SQLAlchemy, ``engine.connect``, a pool's method that opens a
                connection of asyncpg or psycopg, and the like, on the same database; None for a connection of Flowlet.

        Raises:
            RuntimeError: In a plain ``def`` handler, which runs in a thread.
        """
        return self._transaction(open_connection)


def _build_unread_error(name: str) -> RuntimeError:
    return RuntimeError(
        f"ctx.{name} was not read, because the handler seemed not to use it: name ctx.{name} in the handler itself, or "
        "hand ctx on to the function that uses it"
    )
