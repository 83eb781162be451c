"""A transaction on a raw connection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

__all__ = ["begin_transaction", "end_transaction"]


@contextlib.asynccontextmanager
async def begin_transaction(execute: Callable[[str], Awaitable[Any]]) -> AsyncIterator[None]:
    """Run a block between BEGIN and COMMIT on a raw connection; roll back where it raises."""
    await execute("BEGIN")
    async with end_transaction(execute):
        yield


@contextlib.asynccontextmanager
async def end_transaction(execute: Callable[[str], Awaitable[Any]]) -> AsyncIterator[None]:
    """Commit at the end of a block, whose first statement is BEGIN; roll back where it raises."""
    try:
        yield
        await execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):
            await execute("ROLLBACK")
        raise
