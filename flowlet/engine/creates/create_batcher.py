"""Group creation: instances that are created at about the same time become durable in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from operator import attrgetter

from flowlet.engine.batcher import Batcher, BatcherClosedError
from flowlet.engine.creates.direct_leases import DirectLeases
from flowlet.engine.outage import ConnectionLossError
from flowlet.errors import StoreUnavailableError
from flowlet.instance.new_instance import Created, NewInstance
from flowlet.store.opening import Store

__all__ = ["CreateBatcher"]

CLOSE_SECONDS = 10.0


class CreateBatcher:
    """Creates the instances of one process in batches.

    Args:
        store: The database.
        max_batch_size: How many instances a batch has at most.

    Attributes:
        direct_leases: Leases what can run at once for the executor of this process; None without one.
    """

    def __init__(self, store: Store, *, max_batch_size: int = 256) -> None:
        self._store = store
        self.direct_leases: DirectLeases | None = None
        self._batcher = Batcher(
            self._create_batch,
            max_batch_size=max_batch_size,
            max_batch_weight=store.instances.max_batch_length,
            weigh=attrgetter("text_length"),
        )

    async def create(self, new: NewInstance) -> Created:
        """Return when the instance is durable; a known external id gives the known instance.

        A caller that is cancelled before its batch has begun creates nothing.

        Raises:
            StoreUnavailableError: If the database is away; then nothing, or in the worst case all of it, was written.
            TooLargeError: If the database does not accept an instance of this size.
            RuntimeError: On SQLite, inside a handler's own transaction, which holds the only write lock. Also after
                ``close``.
            Exception: What the driver raises when it refuses a value of this instance; nothing of it was written.
        """
        self._store.connections.refuse_nesting()
        try:
            return await self._batcher.put(new)
        except BatcherClosedError:
            raise RuntimeError("the application has stopped: the instance was not created") from None

    async def close(self) -> None:
        """Refuse to create any more, and return when the creates under way are durable or have failed: within 10 s."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._batcher.close()
        await self._batcher.abandon()

    async def _create_batch(self, batch: Sequence[NewInstance]) -> Sequence[Created]:
        """Create a batch. One that loses its connection is halved by the batcher where the store answers all else."""
        now = self._store.clock.now()
        try:
            if self.direct_leases is None:
                return await self._store.instances.create(batch, now=now)
            with self.direct_leases.reserve(batch, now) as slots:
                return await self._store.instances.create(slots.new_instances, now=now, on_leased=slots.start)
        except StoreUnavailableError as error:
            if len(batch) > 1 and await self._store.instances.may_be_refusal(error):
                raise ConnectionLossError(sum(new.text_length for new in batch), error) from error
            raise
