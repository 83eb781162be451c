"""One operation on many workflows, as the API and the console carry it out.

Each instance is a transaction of its own, so that one that refuses holds up no other; what was done stays done if the
client goes away or the database does.
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
"""How many operations run at once: more only wait for each other's connections."""

BulkOperation: TypeAlias = Literal["pause", "resume", "cancel", "retry", "wake", "move"]
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
        operations: What carries it out.
        name: Which one.
        username: Who does it.
        reason: For pause, cancel and move.
        with_children: For cancel.
        state: Where to, for a move; along transitions only.
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


async def search_pages(
    store: Store, query: SearchQuery, *, limit: int = MAX_INSTANCES
) -> AsyncIterator[tuple[Instance, ...]]:
    """Yield the instances that fit, page by page, and at most ``limit`` of them.

    Args:
        store: Where they are.
        query: What is looked for. In the order of ids no instance is missed or found twice, whatever changes meanwhile.
        limit: How many at most.
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
    """Do an operation with each instance, a few at a time; yield each id, with its refusal where it refused.

    Raises:
        Exception: Whatever else an operation raises; those before it stay done.
    """
    async for page in ids:
        for first in range(0, len(page), MAX_CONCURRENT_OPERATIONS):
            some = page[first : first + MAX_CONCURRENT_OPERATIONS]
            outcomes = await asyncio.gather(*(operate(id) for id in some), return_exceptions=True)
            for id, outcome in zip(some, outcomes, strict=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, RefusedError | NotFoundError):
                    raise outcome
                yield id, outcome if isinstance(outcome, RefusedError | NotFoundError) else None
