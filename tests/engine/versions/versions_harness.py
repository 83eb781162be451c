"""Executors with different versions of a workflow on one database, and what has to hold after they have met."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flowlet.clock import StoreClock
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.instance.action import ENTRY_KINDS, ActionKind
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import parse_json
from flowlet.instance.transition import Transition
from flowlet.operations.doctor import examine_store
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import Store, open_store
from tests.databases import find_schema
from tests.engine.executor_harness import wait_for
from tests.engine.versions.closing import Closing

__all__ = ["MODULES", "VersionedExecutor", "VersionsHarness", "build_registry", "open_versions", "run_version"]

REAL_CLOCK = StoreClock()
"""Real time: what these tests wait for happens on other connections."""
MODULES = Path(__file__).parent / "modules"


class VersionedExecutor:
    """An executor of some modules: it counts what it has committed, and says when it was enough."""

    def __init__(self, store: Store, registry: Registry, name: str, **settings: Any) -> None:
        self.store = store
        self.registry = registry
        self.name = name
        self.transition_count = 0
        self._changed = asyncio.Event()
        given = ExecutorSettings(**{"name": name, "slots": 8, "max_transitions_per_lease": 2, **settings})
        self.executor = Executor(store, registry, given, observer=self)
        self._task = asyncio.create_task(self.executor.run())

    def on_claim(self, instance_count: int, seconds: float) -> None:
        """Nothing is done at a claim."""

    def on_fire(self, type: str, seconds: float) -> None:
        """Nothing is done at a schedule's time."""

    def on_batch(self, size: int, seconds: float) -> None:
        """Nothing is done at a batch."""

    def on_transition(self, transition: Transition) -> None:
        """Count a durable transition."""
        self.transition_count += 1
        self._changed.set()

    async def wait_until_ready(self) -> None:
        await wait_for(self.executor.is_ready.wait())

    async def wait_for_transitions(self, count: int) -> None:
        """Wait until it has committed so many more."""
        wanted = self.transition_count + count

        async def wait_until_counted() -> None:
            while self.transition_count < wanted:
                self._changed.clear()
                await self._changed.wait()

        await wait_for(wait_until_counted())

    async def stop(self) -> None:
        """Stop in good order."""
        self.executor.stop()
        await wait_for(self._task)


class VersionsHarness:
    """One database, seen by the test."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.last_count = 0

    async def create_instances(self, registry: Registry, name: str, variables: Sequence[dict[str, Any]]) -> list[int]:
        """Create an instance of a definition for each of the variables, and return their ids."""
        now = self.store.clock.now()
        definition = registry.get_definition(name)
        created = await self.store.instances.create(
            [definition.build_instance(one, now=now) for one in variables], now=now
        )
        return [one.id for one in created]

    async def fetch_rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        return await self.store.connections.read(lambda session: session.fetch_rows(sql, values))

    async def execute_sql(self, sql: str, **values: Any) -> None:
        await self.store.connections.write(lambda session: session.execute(sql, values))

    async def get_instance(self, id: int) -> Instance:
        return await self.store.queries.get(id)

    async def wait_until_count(self, where: str, count: int) -> None:
        """Wait until so many instances fit a condition; it is looked at twenty times a second."""

        async def wait_until_counted() -> None:
            sql = f"SELECT COUNT(*) FROM flowlet_workflow WHERE {where}"
            while (found := (await self.fetch_rows(sql))[0][0]) != count:
                self.last_count = found
                await REAL_CLOCK.sleep(0.05)

        try:
            await wait_for(wait_until_counted())
        except TimeoutError:
            columns = "id, status, state, gate, next_activation, executor_id, reason"
            rows = await self.fetch_rows(f"SELECT {columns} FROM flowlet_workflow ORDER BY id LIMIT 10")
            raise AssertionError(f"{self.last_count} instead of {count} with {where}; the first ones: {rows}") from None

    async def wait_until_all_end(self) -> None:
        """Wait until every instance has ended, and check that all of them are FINISHED."""
        await self.wait_until_count("status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')", 0)
        assert not await self.fetch_rows("SELECT id, status, reason FROM flowlet_workflow WHERE status <> 'FINISHED'")

    async def read_kinds(self, id: int) -> list[ActionKind]:
        return [line.kind for line in await self.store.queries.read_history(id)]

    async def read_gated_lines(self, id: int) -> list[tuple[int, str]]:
        """Return the visit, and the name of the executor, of each line that says why an instance waits."""
        visit, found = -1, []
        for line in await self.store.queries.read_history(id):
            visit += line.kind in ENTRY_KINDS
            if line.kind is ActionKind.GATED:
                found.append((visit, str(line.executor_id).rpartition("-")[0]))
        return found

    async def check_nothing_is_lost(self, ids: Sequence[int]) -> None:
        """Check that no attempt failed, that histories say what is stored, and that the doctor finds nothing."""
        failures = await self.fetch_rows("SELECT text FROM flowlet_action WHERE kind IN ('ERROR', 'FAILED')")
        assert not failures, failures
        assert not await self.fetch_rows("SELECT id FROM flowlet_workflow WHERE attempt > 0 OR crashes > 0")
        findings = await examine_store(self.store)
        assert not findings, findings
        for id in ids:
            last = (await self.store.queries.read_history(id))[-1]
            stored = parse_json((await self.get_instance(id)).vars_json)
            assert await self.store.history.variables_at(id, last.id) == stored
            gated = await self.read_gated_lines(id)
            assert len(gated) == len(set(gated)), "one line for each visit and each version that could not"


@asynccontextmanager
async def open_versions(database_url: str) -> AsyncIterator[VersionsHarness]:
    """Open a database."""
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        yield VersionsHarness(store)


def build_registry(*modules: str | Path, closing: Closing | None = None) -> Registry:
    """Return the definitions of some modules; a name is that of a file in ``modules``."""
    provided = Dependencies()
    provided.provide_value(Closing, closing or Closing())
    registry = Registry(provided)
    registry.load_all([str(MODULES / f"{one}.py") if isinstance(one, str) else str(one) for one in modules])
    return registry


@asynccontextmanager
async def run_version(
    database_url: str, *modules: str | Path, name: str, closing: Closing | None = None, **settings: Any
) -> AsyncIterator[VersionedExecutor]:
    """Run an executor of some modules on connections of its own, as another process does; it is stopped at the end."""
    registry = build_registry(*modules, closing=closing)
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        run = VersionedExecutor(store, registry, name, **settings)
        try:
            await run.wait_until_ready()
            yield run
        finally:
            await run.stop()
