"""Cancelled at any moment, an executor and an application leave nothing behind: no task, thread, row or late write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from types import ModuleType

import pytest

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.settings import ExecutorSettings, Settings
from flowlet.shutdown import Shutdown
from flowlet.store.opening import Store, open_store
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.executor_harness import NEVER
from tests.engine.lifetime_harness import CLOCK, LifetimeHarness

MOMENTS = 50
DOOR_MOMENTS = 25
"""For the doors around an application, whose own life is cancelled at twice as many."""
LIFE_SIZE = 2
"""How many instances a life creates; each makes three transitions, and spawns a child."""
pytestmark = pytest.mark.timeout(240)
"""Fifty lives, each of which opens the database: many seconds on a busy machine."""


def build_module() -> ModuleType:
    """Return a workflow whose handlers are of every kind: on the loop, in a thread, in a transaction of their own."""

    @state(start=True, next=["pack"])
    async def check(ctx: Context) -> Next:
        if ctx.workflow.parent_id is not None:
            return pack
        return pack.spawn(child("Orders"))

    @state(next=["book"])
    def pack() -> None:
        time.sleep(0.001)  # noqa: TID251 - a thread that takes a moment

    @state(next=["done"])
    async def book(ctx: Context) -> None:
        async with ctx.transaction() as connection:
            await connection.fetch_all("SELECT 1")
        await CLOCK.sleep(0.001)

    done = end()
    return build_workflow_module(check=check, pack=pack, book=book, done=done, workflow=Workflow("Orders"))


@pytest.fixture
def seed() -> int:
    """A new seed each time; pytest shows it where a test fails."""
    seed = Random().randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201
    return seed


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add(build_module())
    return registry


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A connection of the test's own, to look at what is left."""
    async with open_store(database_url) as store:
        yield store


async def cancel_at_moments(
    lifetimes: LifetimeHarness, store: Store, seed: int, run: Callable[[], Awaitable[None]], *, moments: int = MOMENTS
) -> None:
    """Cancel a life at moments spread over it, one at random in each part, and check that nothing of it is left."""
    await run()  # the first life is longer: it creates tables and saves definitions
    length = await lifetimes.count_steps(run)
    random = Random(seed)
    cancelled = 0
    for part in range(moments):
        steps = await lifetimes.cancel_at(int(length * (part + random.random()) / moments), run)
        await lifetimes.check_store(store)
        if steps is None:
            cancelled += 1
        else:
            length = steps  # lives differ: the longer a database takes, the more often they look

    assert cancelled > moments / 2
    assert lifetimes.late_calls == []


async def wait_until_all_end(store: Store) -> None:
    """Wait until no instance is open."""
    sql = "SELECT COUNT(*) FROM flowlet_workflow WHERE status NOT IN ('FINISHED', 'FAILED')"
    while (await store.connections.read(lambda session: session.fetch_rows(sql)))[0][0]:
        await CLOCK.sleep(0.005)


async def check_all_finished(store: Store) -> None:
    statuses = await store.queries.count_by_type_and_status()
    assert statuses.keys() == {("Orders", "FINISHED")}


async def test_an_executor_that_is_cancelled_at_any_moment_leaves_nothing_behind(
    database_url: str, store: Store, registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ExecutorSettings(slots=4, poll_interval=NEVER)
    definition = registry.get_definition("Orders")

    async def run() -> None:
        async with open_store(database_url) as own:
            now = own.clock.now()
            await own.instances.create([definition.build_instance(None, now=now) for _ in range(LIFE_SIZE)], now=now)
            executor = Executor(own, registry, settings)
            await run_until_idle(executor, own)

    await cancel_at_moments(LifetimeHarness(monkeypatch), store, seed, run)

    await run()
    await check_all_finished(store)


async def run_until_idle(executor: Executor, store: Store) -> None:
    """Run an executor, in this task, until every instance has ended."""

    async def stop_when_idle() -> None:
        await wait_until_all_end(store)
        executor.stop()

    stopping = asyncio.create_task(stop_when_idle())
    try:
        await executor.run()
    finally:
        stopping.cancel()
        await asyncio.wait([stopping])


async def test_an_application_that_is_cancelled_at_any_moment_leaves_nothing_behind(
    database_url: str, store: Store, registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flowlet(registry=registry, settings=Settings(database_url=database_url))

    async def run() -> None:
        try:
            async with app.running() as own:
                for _ in range(LIFE_SIZE):
                    await app.start("Orders")
                await app.start_and_wait("Orders", timeout="20s")
                await wait_until_all_end(own)
        finally:
            with pytest.raises(RuntimeError, match="not running"):
                _ = app.operations

    await cancel_at_moments(LifetimeHarness(monkeypatch), store, seed, run)

    await run()
    await check_all_finished(store)


async def test_a_served_application_that_is_cancelled_at_any_moment_leaves_nothing_behind(
    sqlite_url: str, registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=sqlite_url, host="127.0.0.1", port=0, admin_password="correct horse")
    app = Flowlet(registry=registry, settings=settings)

    async def use_application(stop: Shutdown) -> None:
        await app.start_and_wait("Orders", timeout="20s")
        stop.request()

    async def run() -> None:
        await app.serve(background_services=[use_application])

    async with open_store(sqlite_url) as store:
        await cancel_at_moments(LifetimeHarness(monkeypatch), store, seed, run, moments=DOOR_MOMENTS)


async def test_a_lifespan_that_is_cancelled_at_any_moment_leaves_nothing_behind(
    sqlite_url: str, registry: Registry, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=sqlite_url, admin_password="correct horse")
    app = Flowlet(registry=registry, settings=settings)

    async def run() -> None:
        messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        messages.put_nowait({"type": "lifespan.startup"})

        async def send(message: dict[str, str]) -> None:
            if message["type"] == "lifespan.startup.complete":
                await app.start_and_wait("Orders", timeout="20s")
                messages.put_nowait({"type": "lifespan.shutdown"})

        await app({"type": "lifespan"}, messages.get, send)

    async with open_store(sqlite_url) as store:
        await cancel_at_moments(LifetimeHarness(monkeypatch), store, seed, run, moments=DOOR_MOMENTS)
