"""Group commit: items that arrive at about the same time are written in one transaction.

A writer takes every item that waits, writes them, and only then answers their callers. While it writes, the next batch
gathers by itself; a lone item waits for no company.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from flowlet.errors import StoreUnavailableError
from flowlet.shutdown import cancel_and_wait

__all__ = ["BatchTotals", "Batcher", "BatcherClosedError"]

T = TypeVar("T")
R = TypeVar("R")


class BatcherClosedError(RuntimeError):
    """The batcher is closed: the item was not written."""


@dataclass(slots=True)
class BatchTotals:
    """What a batcher has written: batches, the items in them, and the size of the largest batch."""

    batches: int = 0
    items: int = 0
    largest: int = 0

    def add_batch(self, size: int) -> None:
        """Count a batch."""
        self.batches += 1
        self.items += size
        self.largest = max(self.largest, size)


class _Pending(NamedTuple, Generic[T, R]):
    item: T
    done: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Writes items in batches.

    Args:
        write: Writes a batch, all of it or nothing, and returns one result for each item, in their order. Where it
            raises, the batch is halved and written again until the item that is refused is alone: its caller gets the
            error, and no other does. ``StoreUnavailableError`` goes to every caller of the batch.
        max_batch_size: How many items a batch has at most.
        max_batch_weight: How heavy a batch may become, give or take its last item; None means without limit.
        weigh: Returns the weight of an item.
        writer_count: How many batches may be under way at once.
        keeps_cancelled: Whether an item is written although its caller was cancelled before its batch began.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        max_batch_size: int,
        max_batch_weight: int | None = None,
        weigh: Callable[[T], int] = lambda _: 0,
        writer_count: int = 1,
        keeps_cancelled: bool = False,
    ) -> None:
        self._write = write
        self._max_batch_size = max_batch_size
        self._max_batch_weight = max_batch_weight
        self._weigh = weigh
        self._writer_count = writer_count
        self._keeps_cancelled = keeps_cancelled
        self._pending: deque[_Pending[T, R]] = deque()
        self._writer_tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.totals = BatchTotals()

    async def put(self, item: T) -> R:
        """Return the result of an item when its batch is written.

        Raises:
            BatcherClosedError: If the batcher is closed, or abandoned before the item is written.
            StoreUnavailableError: If ``write`` raises it.
            Exception: What ``write`` raises for this item alone.
        """
        if self._is_closed:
            raise BatcherClosedError("the batcher is closed")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(item, done))
        if len(self._writer_tasks) < self._writer_count:
            # A context of its own: the log fields of the first caller are not those of the whole batch.
            self._writer_tasks.add(asyncio.create_task(self._write_batches(), context=contextvars.Context()))
        return await done

    async def close(self) -> None:
        """Refuse further items, write those that wait, and return when no batch is under way."""
        self._is_closed = True
        while self._writer_tasks:
            await asyncio.wait(self._writer_tasks)

    async def abandon(self) -> None:
        """Refuse further items, and stop without writing those that wait."""
        self._is_closed = True
        await cancel_and_wait(*self._writer_tasks)
        self._writer_tasks.clear()
        _fail_all(self._pending, BatcherClosedError("the batcher was abandoned"))
        self._pending.clear()

    async def _write_batches(self) -> None:
        try:
            while batch := self._take_batch():
                self.totals.add_batch(len(batch))
                await self._write_batch(batch)
        finally:
            # In the same step as the last look at the queue: ``put`` then sees that it needs another writer.
            self._writer_tasks.discard(asyncio.current_task())

    def _take_batch(self) -> list[_Pending[T, R]]:
        batch: list[_Pending[T, R]] = []
        limit = self._max_batch_weight
        weight = 0
        while self._pending and len(batch) < self._max_batch_size and (limit is None or weight < limit):
            pending = self._pending.popleft()
            if self._keeps_cancelled or not pending.done.done():
                batch.append(pending)
                if limit is not None:
                    weight += self._weigh(pending.item)
        return batch

    async def _write_batch(self, batch: Sequence[_Pending[T, R]]) -> None:
        try:
            results = await self._write([pending.item for pending in batch])
        except asyncio.CancelledError:
            _fail_all(batch, BatcherClosedError("the batcher was abandoned"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever the driver raises belongs to the callers
            if len(batch) == 1 or isinstance(error, StoreUnavailableError):
                _fail_all(batch, error)
                return
            middle = len(batch) // 2
            await self._write_batch(batch[:middle])
            await self._write_batch(batch[middle:])
            return
        for pending, result in zip(batch, results, strict=True):
            if not pending.done.done():  # its caller may have been cancelled meanwhile
                pending.done.set_result(result)


def _fail_all(batch: Sequence[_Pending[T, R]] | deque[_Pending[T, R]], error: Exception) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)
