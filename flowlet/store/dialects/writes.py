"""What differs between the databases where the engine writes: claims, commits, creates, leases and counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from flowlet.instance.new_instance import NewInstance
from flowlet.store.columns import Column, Table
from flowlet.store.counter_buckets import CounterBucket
from flowlet.store.dialects.batch import Batch, BatchResult, ClaimRequest, CreatedRow, Followups, LeasedRows

__all__ = ["WriteDialect"]


class WriteDialect(Protocol):
    """The engine's statements. With ``in_transaction`` the caller has opened a transaction, and commits it."""

    writer_count: int
    """How many batches an executor commits at the same time; measured, more are not faster."""

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong a live executor's lease by the server's time and return that; None if it is not live. One commit.

        The time of its last claim is stored with it, unless that is None.
        """
        ...

    async def claim(self, raw: Any, request: ClaimRequest) -> LeasedRows:
        """Lease due instances of the highest priority that has some, and return them.

        Each workflow gets an equal share; of one workflow the longest due comes first. Only the lanes
        of the request's groups and types are read. One transaction.
        """
        ...

    async def find_next_due(self, raw: Any, groups: Sequence[str], types: Sequence[str], now: int) -> int | None:
        """Return when the next instance of these groups and types becomes due, after ``now``; None for none."""
        ...

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the transitions whose fence holds. One transaction."""
        ...

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[CreatedRow]:
        """Create instances, all or none, but those whose external id is kept of a deleted one. One transaction."""
        ...

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents, write messages and the inbox.

        In the caller's transaction, which has locked the rows of the waits: a message that was sent before it did is
        counted in them. Return the executor groups of what became due, as in ``BatchResult.due_groups``. The statement
        that creates children notifies other processes itself.
        """
        ...

    def get_writer_id(self, raw: Any) -> int:
        """Return the number under which a connection counts: no two that write at the same time have the same."""
        ...

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts, in the caller's transaction; ``SHARED_WRITER_ID`` is the common rows' writer."""
        ...

    async def insert_rows(
        self, raw: Any, table: Table, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows that have the values of these columns, many at once, in the caller's transaction."""
        ...

    async def raise_next_id(self, raw: Any, table: Table, id: int) -> None:
        """Let the ids that the database assigns be above a given one, in the caller's transaction.

        Where the database does so by itself, nothing happens.
        """
        ...

    async def announce_kept_external_ids(self, raw: Any) -> None:
        """Let creates look for kept external ids, before the caller's transaction locks a row and keeps some.

        Where creates look for them anyway, nothing happens.
        """
        ...

    async def delete_instances(self, raw: Any, ids: Sequence[int]) -> None:
        """Delete instances, whose rows the caller's transaction has locked, and all that belongs to them."""
        ...
