"""A database with instances that ended long ago, alone and in trees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flowlet.clock import VirtualClock
from flowlet.instance.instance import Status
from flowlet.store.counter_buckets import ALL_TIME, SHARED_WRITER_ID, count_end
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store, open_store
from flowlet.store.retention.deletion import Deleted, delete_parts
from flowlet.store.retention.ended_trees import EndedRange, find_ended_roots, read_ended_trees, split_trees
from tests.databases import find_schema
from tests.store.store_harness import NOW, StoreHarness

__all__ = ["BEFORE", "RetentionHarness", "open_retention_harness"]

DAY = 24 * 3_600_000_000
BEFORE = NOW - 1


class RetentionHarness(StoreHarness):
    """Ended instances, which are counted as commits count them, and their deletion.

    Attributes:
        ended: When they ended.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.ended = store.clock.now() - 2 * DAY

    async def create_ended(self, status: Status = Status.FINISHED, *, external_id: str | None = None) -> int:
        """Create an instance that ended long ago, and return its id."""
        named: dict[str, Any] = {} if external_id is None else {"external_id": external_id}
        id = await self.create_instance(status=status, ended=self.ended, **named)
        await self._count_end(status)
        return id

    async def add_message(self, id: int) -> None:
        """Add a message that an instance has consumed."""
        await self.execute_sql(
            "INSERT INTO flowlet_message (workflow_id, name, message_key, body, sent, consumed) "
            "VALUES (:id, 'payment', 'evt_1', '{}', 1, 2)",
            id=id,
        )

    async def create_child(self, parent: int, root: int, status: Status = Status.FINISHED) -> int:
        """Create a child, ended long ago or open, and return its id."""
        ended = self.ended if status in (Status.FINISHED, Status.FAILED, Status.CANCELLED) else None
        id = await self.create_instance(status=status, parent_id=parent, root_id=root, ended=ended)
        await self.execute_sql(
            "UPDATE flowlet_workflow SET children = children + 1, open_children = open_children + :open WHERE id = :id",
            id=parent,
            open=int(ended is None),
        )
        if ended is not None:
            await self._count_end(status)
        return id

    async def delete_range(
        self, status: Status = Status.FINISHED, *, limit: int = 200, most: int = 100, keeps_external_ids: bool = False
    ) -> Deleted:
        """Delete what has ended, in at most so many transactions."""
        connections, total = self.store.connections, Deleted()
        roots = await find_ended_roots(connections, EndedRange("Orders", status, BEFORE), after=None, limit=1_000)
        trees = await read_ended_trees(connections, roots, before=BEFORE)
        for _, parts in zip(range(most), split_trees(trees, limit), strict=False):
            total = total.add(await delete_parts(connections, parts, now=NOW, keeps_external_ids=keeps_external_ids))
        return total

    async def read_ids(self) -> list[int]:
        """Return the ids of all instances; the histories are theirs, and so are all messages."""
        rows = await self.store.connections.read(
            lambda session: session.fetch_rows("SELECT id FROM flowlet_workflow ORDER BY id")
        )
        lines = await self.store.connections.read(
            lambda session: session.fetch_rows("SELECT DISTINCT workflow_id FROM flowlet_action ORDER BY workflow_id")
        )
        messages = await self.store.connections.read(
            lambda session: session.fetch_rows("SELECT DISTINCT workflow_id FROM flowlet_message")
        )
        assert lines == rows
        assert set(messages) <= set(rows)
        return [id for (id,) in rows]

    async def check_counts(self) -> None:
        """Check that the counts are those of the rows that are left."""
        rows = await self.store.connections.read(
            lambda session: session.fetch_rows(
                "SELECT workflow_type, status, COUNT(*) FROM flowlet_workflow WHERE ended IS NOT NULL "
                "GROUP BY workflow_type, status"
            )
        )
        counts = await self.store.counters.count_ended_instances()
        assert {key: count for key, count in counts.items() if count} == {row[:2]: row[2] for row in rows}

    async def _count_end(self, status: Status) -> None:
        count = count_end(status, minutes=ALL_TIME, start=0, type="Orders")

        async def add(session: DatabaseSession) -> None:
            await session.dialect.writes.add_counts(session.raw, SHARED_WRITER_ID, [count])

        await self.store.connections.write(add)


@asynccontextmanager
async def open_retention_harness(database_url: str) -> AsyncIterator[RetentionHarness]:
    """Open a database; the clock is a virtual one."""
    async with open_store(database_url, schema=find_schema(database_url), clock=VirtualClock()) as store:
        yield RetentionHarness(store)
