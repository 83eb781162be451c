"""Group creation: instances that are created at about the same time become durable in one transaction.

While one batch commits, the next one gathers by itself; a lone create waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import Created, NewInstance
from flowlet.store.opening import Store

__all__ = ["CreateBatcher"]


@dataclass(frozen=True, slots=True)
class _PendingCreate:
    new: NewInstance
    done: asyncio.Future[Created]


class CreateBatcher:
    """Creates instances of one process in batches. It has nothing to open or to close.

    Args:
        store: Where to.
        limit: How many instances a batch has at most.
    """

    def __init__(self, store: Store, *, max_batch_size: int = 256) -> None:
        self._store = store
        self._max_batch_size = max_batch_size
        self._pending: deque[_PendingCreate] = deque()
        self._write_task: asyncio.Task[None] | None = None

    async def create(self, new: NewInstance) -> Created:
        """Return when the instance is durable; a known external id gives the known instance.

        A caller that is cancelled before its batch has begun creates nothing.

        Raises:
            StoreUnavailableError: If the database is away; then nothing, or in the worst case all of it, was written.
            RuntimeError: On SQLite, inside a handler's own transaction, which holds the only write lock.
            Exception: What the driver raises when it refuses a value of this instance; nothing of it was written.
        """
        self._store.connections.refuse_nesting()
        done: asyncio.Future[Created] = asyncio.get_running_loop().create_future()
        self._pending.append(_PendingCreate(new, done))
        if self._write_task is None or self._write_task.done():
            # In a context of its own: what the first caller's log lines are bound to is not true of the whole batch.
            self._write_task = asyncio.create_task(self._write_batches(), context=contextvars.Context())
        return await done

    async def _write_batches(self) -> None:
        while self._pending:
            batch = [self._pending.popleft() for _ in range(min(self._max_batch_size, len(self._pending)))]
            await self._write_batch([pending for pending in batch if not pending.done.done()])

    async def _write_batch(self, batch: Sequence[_PendingCreate]) -> None:
        """Create a batch; where the database refuses a row, find it, so that it fails its own caller and no other."""
        if not batch:
            return
        try:
            created = await self._store.instances.create(
                [pending.new for pending in batch], now=self._store.clock.now()
            )
        except Exception as error:  # noqa: BLE001 - whatever the driver raises belongs to the callers
            if len(batch) == 1 or isinstance(error, StoreUnavailableError):
                _fail_batch(batch, error)
                return
            middle = len(batch) // 2
            await self._write_batch(batch[:middle])
            await self._write_batch(batch[middle:])
            return
        for pending, made in zip(batch, created, strict=True):
            if not pending.done.done():  # its caller may have been cancelled meanwhile
                pending.done.set_result(made)


def _fail_batch(batch: Sequence[_PendingCreate], error: Exception) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)
