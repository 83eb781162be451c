"""Group commit: items that arrive at about the same time are written in one transaction.

A writer takes the items that wait, writes them, and only then answers their callers. While it writes, the next batch
gathers by itself; a lone item waits for no company. An item of a higher priority than all that is being written waits
for none of it: it has a writer besides. However a writer ends, no caller is left without an answer: what it has not
answered is written by the next one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from flowlet.engine.batches.waiting_items import NO_RANK, Rank, WaitingItems
from flowlet.errors import StoreUnavailableError
from flowlet.protected_tasks import build_own_context, create_protected_task
from flowlet.shutdown import cancel_and_wait

__all__ = ["ALONE", "BatchTotals", "Batcher", "BatcherClosedError"]

T = TypeVar("T")
R = TypeVar("R")

ALONE = math.inf
"""The weight of an item that is to be a batch by itself."""

logger = logging.getLogger(__name__)


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
    weight: float
    rank: Rank
    done: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Writes items in batches.

    Args:
        write: Writes a batch, and returns one result for each item, in their order; an item whose result is an
            ``Exception`` was not written, and its caller gets it. Where ``write`` raises, nothing was written, and the
            batch is halved and written again until the item that is refused is alone: its caller gets the error, and no
            other does. ``StoreUnavailableError`` goes to every caller of the batch.
        max_batch_size: How many items a batch has at most.
        limit_size: Returns how many of a priority it has at most, of the number given; at least one. Beside items of
            higher priorities it has no more than these.
        max_batch_weight: How heavy a batch of several items may become; None means without limit. A heavier item is a
            batch by itself.
        weigh: Returns the weight of an item; ``ALONE`` for one that is to be a batch by itself.
        rank: Returns the priority and the source of an item.
        writer_count: How many batches may be under way at once, besides one of a higher priority than these.
        keeps_cancelled: Whether an item is written although its caller was cancelled before its batch began.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch_size: int,
        max_batch_weight: int | None = None,
        weigh: Callable[[T], float] = lambda _: 0,
        rank: Callable[[T], Rank] = lambda _: NO_RANK,
        limit_size: Callable[[int, int], int] = lambda _, size: size,
        writer_count: int = 1,
        keeps_cancelled: bool = False,
    ) -> None:
        self._write = write
        self._max_batch_size = max_batch_size
        self._max_batch_weight = math.inf if max_batch_weight is None else max_batch_weight
        self._weigh = weigh
        self._rank = rank
        self._limit_size = limit_size
        self._writer_count = writer_count
        self._keeps_cancelled = keeps_cancelled
        self._pending: WaitingItems[_Pending[T, R]] = WaitingItems()
        self._writer_tasks: set[asyncio.Task[None]] = set()
        self._urgent_tasks: set[asyncio.Task[None]] = set()
        self._written_priorities: dict[asyncio.Task[Any] | None, int] = {}
        self._is_closed = self._is_abandoned = False
        self.totals = BatchTotals()

    def put(self, item: T) -> asyncio.Future[R]:
        """Add an item, and return a future with its result when its batch is written.

        The future raises ``StoreUnavailableError`` if ``write`` does, or what ``write`` raises for this item alone, or
        ``BatcherClosedError`` if the batcher is abandoned before.

        Raises:
            BatcherClosedError: If the batcher is closed.
        """
        if self._is_closed:
            raise BatcherClosedError("the batcher is closed")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        rank = self._rank(item)
        self._pending.add(rank, _Pending(item, self._weigh(item), rank, done))
        if len(self._writer_tasks) < self._writer_count:
            self._start_writer()
        elif rank.priority > 0 and not self._urgent_tasks and self._is_above_written(rank.priority):
            self._start_task(self._write_urgent(), self._urgent_tasks)
        return done

    async def close(self) -> None:
        """Refuse further items, write those that wait, and return when no batch is under way."""
        self._is_closed = True
        while self._pending or self._writer_tasks or self._urgent_tasks:
            self._start_writer()
            await asyncio.wait(self._writer_tasks | self._urgent_tasks)

    async def abandon(self) -> None:
        """Refuse further items, and stop without writing those that wait."""
        self._is_closed = self._is_abandoned = True
        await cancel_and_wait(*self._writer_tasks, *self._urgent_tasks)
        self._writer_tasks.clear()
        self._urgent_tasks.clear()
        _fail_all(self._pending.clear(), BatcherClosedError("the batcher was abandoned"))

    def _start_writer(self) -> None:
        """Start a writer, unless as many run as may."""
        if len(self._writer_tasks) < self._writer_count:
            self._start_task(self._write_batches(), self._writer_tasks)

    def _start_task(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        # A context of its own: the log fields of the first caller are not those of the whole batch.
        task = create_protected_task(work, context=build_own_context(contextvars.Context()))
        tasks.add(task)
        task.add_done_callback(self._replace_writer)

    def _is_above_written(self, priority: int) -> bool:
        """Return whether every writer has a batch, all of lower priorities."""
        written = self._written_priorities
        return len(written) == self._writer_count and priority > max(written.values())

    def _replace_writer(self, task: asyncio.Task[None]) -> None:
        """Start another writer for what this one has left: it may have been cancelled before its first step."""
        self._writer_tasks.discard(task)
        self._urgent_tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a writer of batches has ended, another one takes over", exc_info=error)
        if self._pending and not self._is_abandoned:
            self._start_writer()

    async def _write_batches(self) -> None:
        task = asyncio.current_task()
        try:
            while batch := self._take_batch():
                self._written_priorities[task] = max(pending.rank.priority for pending in batch)
                self.totals.add_batch(len(batch))
                await self._answer_batch(batch)
        finally:
            # In the same step as the last look at the queue: ``put`` then sees that it needs another writer.
            self._written_priorities.pop(task, None)
            self._writer_tasks.discard(task)

    async def _write_urgent(self) -> None:
        """Write what has a higher priority than the batches under way, until nothing has."""
        try:
            while self._written_priorities and (
                batch := self._take_batch(above=max(self._written_priorities.values()))
            ):
                self.totals.add_batch(len(batch))
                await self._answer_batch(batch)
        finally:
            self._urgent_tasks.discard(asyncio.current_task())

    async def _answer_batch(self, batch: Sequence[_Pending[T, R]]) -> None:
        """Write a batch. If this writer is cancelled, although nothing was abandoned, the next one writes the rest."""
        try:
            await self._write_batch(batch)
        except asyncio.CancelledError:
            left = [pending for pending in batch if not pending.done.done() or pending.done.cancelled()]
            if self._is_abandoned:
                _fail_all(left, BatcherClosedError("the batcher was abandoned"))
            else:
                logger.error("a writer of batches was cancelled, another one writes its %d items", len(left))
                for pending in reversed(left):
                    self._pending.put_back(pending.rank, pending)
            raise
        except Exception as error:
            _fail_all(batch, error)
            raise

    def _take_batch(self, *, above: int | None = None) -> list[_Pending[T, R]]:
        batch: list[_Pending[T, R]] = []
        weight, room = 0.0, dict[int, int]()
        while len(batch) < self._max_batch_size and (pending := self._pending.pop(above=above)):
            if not self._keeps_cancelled and pending.done.done():
                continue
            weight += pending.weight
            priority = pending.rank.priority
            left = room.get(priority)
            if left is None:
                left = self._limit_size(priority, self._max_batch_size)
                if batch and priority < batch[0].rank.priority:
                    left = min(left, len(batch))  # those of higher priorities wait for them
            if not left or (batch and (weight > self._max_batch_weight or weight == ALONE)):
                self._pending.put_back(pending.rank, pending)
                break
            room[priority] = left - 1
            batch.append(pending)
        return batch

    async def _write_batch(self, batch: Sequence[_Pending[T, R]]) -> None:
        try:
            results = await self._write([pending.item for pending in batch])
        except Exception as error:  # noqa: BLE001 - whatever the driver raises belongs to the callers
            if len(batch) == 1 or isinstance(error, StoreUnavailableError):
                _fail_all(batch, error)
                return
            middle = len(batch) // 2
            await self._write_batch(batch[:middle])
            await self._write_batch(batch[middle:])
            return
        if len(results) != len(batch):
            raise RuntimeError(f"a batch of {len(batch)} items was written with {len(results)} results")
        for pending, result in zip(batch, results, strict=True):
            if pending.done.done():  # its caller was cancelled meanwhile
                continue
            if isinstance(result, Exception):
                pending.done.set_exception(result)
            else:
                pending.done.set_result(result)


def _fail_all(batch: Iterable[_Pending[T, R]], error: Exception) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)
