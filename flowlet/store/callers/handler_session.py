"""A handler's own transaction on a connection of a library of its own, in which the transition is committed too."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from flowlet.errors import StoreError
from flowlet.store.callers.session import open_caller_session
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.caller import is_of_library

__all__ = ["open_handler_session"]


@contextlib.asynccontextmanager
async def open_handler_session(
    open_connection: Callable[[], Any], connections: Connections
) -> AsyncIterator[tuple[Any, DatabaseSession]]:
    """Yield a handler's own connection or session, and ours on it; the block's end commits, an exception rolls back.

    Args:
        open_connection: Returns what the handler writes with, as a context manager: a session factory of SQLAlchemy,
            ``engine.connect``, ``pool.acquire`` of asyncpg, ``pool.connection`` of psycopg, and the like.
        connections: Those of Flowlet's database.

    Raises:
        StoreError: If what it returns cannot be shared.
    """
    async with AsyncExitStack() as stack:
        owner = await _enter(stack, open_connection())
        await _begin_transaction(stack, owner)
        session = await stack.enter_async_context(open_caller_session(owner, connections.dialect))
        yield owner, session
        pending = session.pending_commit
        if pending is not None and pending.due_groups:
            await connections.dialect.signals.notify_all(session.raw, sorted(pending.due_groups))
    if pending is not None:
        connections.report_commit(pending)


async def _enter(stack: AsyncExitStack, opened: Any) -> Any:
    """Enter a context manager, asynchronous or not, and return what it yields."""
    if hasattr(opened, "__aenter__"):
        return await stack.enter_async_context(opened)
    if inspect.isawaitable(opened):
        return await _enter(stack, await opened)
    if hasattr(opened, "__enter__"):
        return stack.enter_context(opened)
    raise StoreError(
        f"ctx.transaction() was given a function that returns {type(opened).__qualname__}, no context manager. "
        "Give a session factory, engine.connect, or a pool's method that opens a connection."
    )


async def _begin_transaction(stack: AsyncExitStack, owner: Any) -> None:
    """Begin a transaction in the library's own way, which commits at the end of the stack; keep one that is begun."""
    if is_of_library(owner, "sqlalchemy"):
        if not owner.in_transaction():
            await _enter(stack, owner.begin())
    elif hasattr(owner, "transaction"):
        await _enter(stack, owner.transaction())
    else:
        raise StoreError(
            f"ctx.transaction() cannot begin a transaction on {type(owner).__module__}.{type(owner).__qualname__}. "
            "Give a function that opens a connection or a session of SQLAlchemy, asyncpg, psycopg 3 or databases."
        )
