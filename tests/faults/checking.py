"""What has to hold of a database after whatever happened to its executors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from flowlet.clock import StoreClock
from flowlet.doctor import examine
from flowlet.registry import Registry
from flowlet.store.opening import Store, open_store
from tests.store.tallying import tallied, told

__all__ = ["CLOCK", "WORKFLOWS", "Bench", "bench"]

WORKFLOWS = Path(__file__).parent / "workflows"
CLOCK = StoreClock()
"""Real time: what these tests wait for happens in other processes."""


class Bench:
    """A database seen from the test: creates instances, waits for their ends, and looks at what was written."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry

    async def create(self, name: str, variables: Sequence[dict[str, Any]]) -> None:
        """Create an instance for each of the variables."""
        definition = self.registry.definition(name)
        now = self.store.clock.now()
        await self.store.instances.create([definition.new_instance(one, now=now) for one in variables], now=now)

    async def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return await self.store.connections.read(lambda session: session.rows(sql, values))

    async def execute(self, sql: str) -> None:
        """Run a statement and commit it."""
        await self.store.connections.write(lambda session: session.execute(sql))

    async def count(self, where: str) -> int:
        """Return how many instances fit a condition."""
        return int((await self.rows(f"SELECT COUNT(*) FROM workflow WHERE {where}"))[0][0])

    async def until(self, holds: Callable[[], Awaitable[bool]], *, within: float, what: str) -> None:
        """Look ten times a second whether something holds.

        Raises:
            AssertionError: If it does not within so many seconds.
        """
        until = CLOCK.elapsed() + within
        while not await holds():
            assert CLOCK.elapsed() < until, f"{what}: not within {within} s. {await self.open_ones()}"
            await CLOCK.sleep(0.1)

    async def all_end(self, *, within: float) -> None:
        """Wait until every instance has ended, and check that all of them are FINISHED."""

        async def holds() -> bool:
            return await self.count("status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')") == 0

        await self.until(holds, within=within, what="every instance ends")
        assert not await self.rows("SELECT id, status, reason FROM workflow WHERE status <> 'FINISHED'")

    async def open_ones(self) -> str:
        """Say which instances have not ended, the first ten."""
        columns = "id, workflow_type, status, state, executor_id, next_activation, open_children, reason"
        sql = f"SELECT {columns} FROM workflow WHERE status NOT IN ('FINISHED', 'FAILED', 'CANCELLED') LIMIT 10"
        executors = await self.rows("SELECT id, status, lease_until FROM executor")
        return f"now {await self.store.read_clock()}, open {await self.rows(sql)}, executors {executors}"

    async def check(self) -> None:
        """Check that doctor finds nothing, nothing is leased, each history is a path, gone once, and all is counted."""
        assert not await examine(self.store)
        assert await tallied(self.store) == await told(self.store)
        assert not await self.rows("SELECT id FROM workflow WHERE executor_id IS NOT NULL")
        assert not await self.broken_paths()

    async def broken_paths(self) -> list[str]:
        """Return the histories that are no path from the start to the state of their instance, or repeat a state."""
        instances = await self.rows("SELECT id, workflow_type, state FROM workflow")
        paths: dict[int, list[tuple[str, str]]] = {id: [] for id, _, _ in instances}
        sql = "SELECT workflow_id, from_state, to_state FROM workflow_action WHERE kind = 'TRANSITION' ORDER BY id"
        for id, source, target in await self.rows(sql):
            paths[id].append((source, target))
        broken = [(id, name) for id, name, state in instances if not self._is_path(name, state, paths[id])]
        return [f"{name} {id}: {paths[id]}" for id, name in broken]

    def _is_path(self, name: str, state: str, path: list[tuple[str, str]]) -> bool:
        definition = self.registry.definition(name)
        joined = all(before[1] == after[0] for before, after in pairwise(path))
        permitted = all(definition.states[source].permits(target) for source, target in path)
        is_whole = bool(path) and path[0][0] == definition.start and path[-1][1] == state
        return joined and permitted and is_whole and len({source for source, _ in path}) == len(path)

    async def variables(self, name: str) -> list[dict[str, Any]]:
        """Return the variables of every instance of a workflow."""
        rows = await self.rows("SELECT vars FROM workflow WHERE workflow_type = :name", name=name)
        return [orjson.loads(row[0]) for row in rows]


@asynccontextmanager
async def bench(url: str, *names: str) -> AsyncIterator[Bench]:
    """Open a database, made ready for the named workflows, for the length of the block."""
    registry = Registry()
    registry.load_all([str(WORKFLOWS / f"{name}.py") for name in names])
    async with open_store(url) as store:
        yield Bench(store, registry)
