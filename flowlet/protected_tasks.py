"""Tasks that no handler can cancel: those of Flowlet, and those that run the handlers of other instances.

``for task in asyncio.all_tasks(): task.cancel()`` in a handler would end the executor and the web server otherwise. A
context variable says whose code calls ``cancel``: that of Flowlet, that of a handler, or any other, as that of a test
or of the program that Flowlet is part of. Only handlers are refused. Tasks that handlers and resources start are usual
ones.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = [
    "HandlerScope",
    "ProtectedTask",
    "build_own_context",
    "create_protected_task",
    "enter_handler_scope",
    "leave_own_code",
    "protect_awaitable",
    "protect_loop",
    "raise_refused_cancellations",
    "take_refused_cancellations",
]

T = TypeVar("T")
logger = logging.getLogger(__name__)


class HandlerScope:
    """The code of the handlers that run under one lease.

    Attributes:
        refused_count: How many tasks they have tried to cancel that are not theirs.
    """

    __slots__ = ("refused_count",)

    def __init__(self) -> None:
        self.refused_count = 0


class _OwnScope:
    """The code of Flowlet."""


_OWN = _OwnScope()
_scope: contextvars.ContextVar[HandlerScope | _OwnScope | None] = contextvars.ContextVar("flowlet_scope", default=None)


class ProtectedTask(asyncio.Task[T]):
    """A task that handlers cannot cancel, but those that run in it.

    Args:
        coro: What it runs.
        scope: The scope of the handlers that run in it; None where none does.
        options: As for ``asyncio.Task``.
    """

    def __init__(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        scope: HandlerScope | None = None,
        **options: Any,
    ) -> None:
        super().__init__(coro, **options)
        self._handler_scope = scope

    def cancel(self, msg: Any | None = None) -> bool:
        """Request a cancellation; refuse it where the handler of another task calls this, whose attempt then fails."""
        caller = _scope.get()
        if not isinstance(caller, HandlerScope) or caller is self._handler_scope:
            return super().cancel(msg)
        if not caller.refused_count and not self.done():
            logger.error("a handler cancels tasks that are not its own, as %r: they run on", self.get_name())
        caller.refused_count += not self.done()
        return False


def create_protected_task(
    work: Coroutine[Any, Any, T],
    *,
    name: str | None = None,
    scope: HandlerScope | None = None,
    context: contextvars.Context | None = None,
) -> ProtectedTask[T]:
    """Start a task in the running loop that handlers cannot cancel.

    Args:
        work: What it runs.
        name: Its name.
        scope: The scope of the handlers that run in it; None where none does.
        context: Its context variables; a copy of the current ones if None.
    """
    return ProtectedTask(work, loop=asyncio.get_running_loop(), name=name, scope=scope, context=context)


def protect_awaitable(work: Awaitable[T]) -> asyncio.Future[T]:
    """Return what waits for some work: a protected task for a coroutine, as ``asyncio.ensure_future`` else."""
    return create_protected_task(work) if asyncio.iscoroutine(work) else asyncio.ensure_future(work)


def enter_handler_scope(scope: HandlerScope) -> None:
    """Note that the current task, and the tasks that it starts, run handlers from now on."""
    _scope.set(scope)


def take_refused_cancellations(cause: BaseException | None = None) -> RuntimeError | None:
    """Return the error of a handler that has tried to cancel tasks that are not its own; None if it has not.

    Args:
        cause: What the handler has raised.
    """
    scope = _scope.get()
    if not isinstance(scope, HandlerScope) or not scope.refused_count:
        return None
    count, scope.refused_count = scope.refused_count, 0
    error = RuntimeError(
        f"the handler has cancelled {count} tasks that are not its own: they run on. Cancel only what it has started"
    )
    error.__cause__ = cause
    return error


def raise_refused_cancellations() -> None:
    """Raise the error of a handler that has tried to cancel tasks that are not its own.

    Raises:
        RuntimeError: If it has.
    """
    if error := take_refused_cancellations():
        raise error


def build_own_context(base: contextvars.Context | None = None) -> contextvars.Context:
    """Return a context for code of Flowlet: a copy of the current one, or the one that is given."""
    context = contextvars.copy_context() if base is None else base
    context.run(_scope.set, _OWN)
    return context


@contextmanager
def leave_own_code() -> Iterator[None]:
    """Let tasks that are started in the block be usual ones: a program's own code runs in it."""
    token = _scope.set(None)
    try:
        yield
    finally:
        _scope.reset(token)


def protect_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make a loop protect every task that code of Flowlet starts, those of the web server included."""
    loop.set_task_factory(_create_task)


def _create_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    context = options.get("context")
    scope = _scope.get() if context is None else context.get(_scope)
    kind = ProtectedTask if scope is _OWN else asyncio.Task
    return kind(coro, loop=loop, **options)
