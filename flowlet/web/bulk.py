"""Bulk operations, shared by the API and the console.

Each instance is a transaction of its own, so that a refusal does not affect the others. Finished operations stay if the
client disconnects or the database becomes unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from flowlet.errors import NotFoundError, RefusedError
from flowlet.instance.instance import Instance
from flowlet.operations.service import Operations
from flowlet.store.opening import Store
from flowlet.store.search.query import SearchQuery

__all__ = [
    "MAX_INSTANCES",
    "BulkOperation",
    "InstanceOperation",
    "RefusalError",
    "bind_operation",
    "run_operation",
    "search_pages",
]

MAX_INSTANCES = 10_000
PAGE_SIZE = 500
MAX_CONCURRENT_OPERATIONS = 8
"""How many operations run at once; more would only wait for a database connection."""

BulkOperation: TypeAlias = Literal["pause", "resume", "cancel", "retry", "wake", "move", "acknowledge"]
InstanceOperation: TypeAlias = Callable[[int], Awaitable[Instance]]
RefusalError: TypeAlias = RefusedError | NotFoundError


def bind_operation(
    operations: Operations,
    name: BulkOperation,
    *,
    username: str,
    reason: str | None = None,
    with_children: bool = False,
    state: str = "",
) -> InstanceOperation:
    """Return an operation as a function of the instance's id.

    Args:
        operations: The operations of this process.
        name: The name of the operation.
        username: The user who performs it.
        reason: For pause, cancel, move and acknowledge; the last one requires it.
        with_children: For cancel.
        state: The target state of a move; along transitions only.
    """
    match name:
        case "pause":
            return lambda id: operations.pause(id, username=username, reason=reason)
        case "resume":
            return lambda id: operations.resume(id, username=username)
        case "cancel":
            return lambda id: operations.cancel(id, username=username, reason=reason, with_children=with_children)
        case "retry":
            return lambda id: operations.retry(id, username=username)
        case "wake":
            return lambda id: operations.wake(id, username=username)
        case "move":
            return lambda id: operations.move(id, state, username=username, reason=reason)
        case "acknowledge":
            return lambda id: operations.acknowledge(id, username=username, reason=reason or "")


async def search_pages(
    store: Store, query: SearchQuery, *, limit: int = MAX_INSTANCES
) -> AsyncIterator[tuple[Instance, ...]]:
    """Yield the instances that match, in pages, and at most ``limit`` of them.

    Args:
        store: The database.
        query: The query. In the order of ids no instance is missed or found twice, whatever changes meanwhile.
        limit: The largest number of instances.
    """
    left, cursor = limit, query.cursor
    while left:
        found = await store.queries.search(replace(query, limit=min(PAGE_SIZE, left), cursor=cursor))
        yield found.instances
        left, cursor = left - len(found.instances), found.next_cursor
        if cursor is None:
            return


async def run_operation(
    operate: InstanceOperation, ids: AsyncIterable[Sequence[int]]
) -> AsyncIterator[tuple[int, RefusalError | None]]:
    """Apply an operation to each instance, a few at a time; yield each id, with the refusal if there is one.

    Raises:
        Exception: Any other error of an operation; the operations before it stay done.
    """
    async for page in ids:
        for first in range(0, len(page), MAX_CONCURRENT_OPERATIONS):
            batch = page[first : first + MAX_CONCURRENT_OPERATIONS]
            outcomes = await asyncio.gather(*(operate(id) for id in batch), return_exceptions=True)
            for id, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, RefusedError | NotFoundError):
                    raise outcome
                yield id, outcome if isinstance(outcome, RefusedError | NotFoundError) else None
