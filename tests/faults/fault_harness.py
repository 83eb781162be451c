"""What has to hold of a database after whatever happened to its executors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from flowlet.clock import StoreClock
from flowlet.definition.registry import Registry
from flowlet.operations.doctor import examine_store
from flowlet.store.opening import Store, open_store
from tests.store.counter_totals import count_from_history, read_counters

__all__ = ["REAL_CLOCK", "WORKFLOWS", "FaultHarness", "open_fault_harness"]

WORKFLOWS = Path(__file__).parent / "workflows"
REAL_CLOCK = StoreClock()
"""Real time: what these tests wait for happens in other processes."""


class FaultHarness:
    """A database seen from the test: creates instances, waits for their ends, and looks at what was written."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry

    async def create_instances(
        self, name: str, variables: Sequence[dict[str, Any]], *, group: str | None = None
    ) -> None:
        """Create an instance for each of the variables."""
        definition = self.registry.get_definition(name)
        now = self.store.clock.now()
        await self.store.instances.create(
            [definition.build_instance(one, now=now, group=group) for one in variables], now=now
        )

    async def fetch_rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return await self.store.connections.read(lambda session: session.fetch_rows(sql, values))

    async def execute_sql(self, sql: str) -> None:
        """Run a statement and commit it."""
        await self.store.connections.write(lambda session: session.execute(sql))

    async def count_instances(self, where: str) -> int:
        """Return how many instances fit a condition."""
        return int((await self.fetch_rows(f"SELECT COUNT(*) FROM flowlet_workflow WHERE {where}"))[0][0])

    async def wait_until(
        self, condition: Callable[[], Awaitable[bool]], *, timeout_seconds: float, description: str
    ) -> None:
        """Look ten times a second whether something holds.

        Raises:
            AssertionError: If it does not within so many seconds.
        """
        until = REAL_CLOCK.monotonic() + timeout_seconds
        while not await condition():
            assert REAL_CLOCK.monotonic() < until, (
                f"{description}: not within {timeout_seconds} s. {await self.describe_open_instances()}"
            )
            await REAL_CLOCK.sleep(0.1)

    async def wait_until_all_end(self, *, timeout_seconds: float) -> None:
        """Wait until every instance has ended, and check that all of them are FINISHED."""

        async def have_all_ended() -> bool:
            return await self.count_instances("status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')") == 0

        await self.wait_until(have_all_ended, timeout_seconds=timeout_seconds, description="every instance ends")
        assert not await self.fetch_rows("SELECT id, status, reason FROM flowlet_workflow WHERE status <> 'FINISHED'")

    async def describe_open_instances(self) -> str:
        """Say which instances have not ended, the first ten."""
        columns = "id, workflow_type, status, state, executor_id, next_activation, open_children, reason"
        sql = f"SELECT {columns} FROM flowlet_workflow WHERE status NOT IN ('FINISHED', 'FAILED', 'CANCELLED') LIMIT 10"
        executors = await self.fetch_rows("SELECT id, status, lease_until FROM flowlet_executor")
        return f"now {await self.store.read_clock()}, open {await self.fetch_rows(sql)}, executors {executors}"

    async def check_consistency(self) -> None:
        """Check that doctor finds nothing, nothing is leased, each history is a path, gone once, and all is counted."""
        assert not await examine_store(self.store)
        assert await read_counters(self.store) == await count_from_history(self.store)
        assert not await self.fetch_rows("SELECT id FROM flowlet_workflow WHERE executor_id IS NOT NULL")
        assert not await self.find_broken_paths()

    async def find_broken_paths(self) -> list[str]:
        """Return the histories that are no path from the start to the state of their instance, or repeat a state."""
        instances = await self.fetch_rows("SELECT id, workflow_type, state FROM flowlet_workflow")
        paths: dict[int, list[tuple[str, str]]] = {id: [] for id, _, _ in instances}
        sql = "SELECT workflow_id, from_state, to_state FROM flowlet_action WHERE kind = 'TRANSITION' ORDER BY id"
        for id, source, target in await self.fetch_rows(sql):
            paths[id].append((source, target))
        broken = [(id, name) for id, name, state in instances if not self._is_path(name, state, paths[id])]
        return [f"{name} {id}: {paths[id]}" for id, name in broken]

    def _is_path(self, name: str, state: str, path: list[tuple[str, str]]) -> bool:
        definition = self.registry.get_definition(name)
        joined = all(before[1] == after[0] for before, after in pairwise(path))
        permitted = all(definition.states[source].has_transition_to(target) for source, target in path)
        is_whole = bool(path) and path[0][0] == definition.start and path[-1][1] == state
        return joined and permitted and is_whole and len({source for source, _ in path}) == len(path)

    async def read_variables(self, name: str) -> list[dict[str, Any]]:
        """Return the variables of every instance of a workflow."""
        rows = await self.fetch_rows("SELECT vars FROM flowlet_workflow WHERE workflow_type = :name", name=name)
        return [orjson.loads(row[0]) for row in rows]


@asynccontextmanager
async def open_fault_harness(url: str, *module_names: str) -> AsyncIterator[FaultHarness]:
    """Open a database, made ready for the named workflows, for the length of the block."""
    registry = Registry()
    registry.load_all([str(WORKFLOWS / f"{name}.py") for name in module_names])
    async with open_store(url) as store:
        yield FaultHarness(store, registry)
