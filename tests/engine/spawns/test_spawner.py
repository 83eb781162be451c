"""The spawner of a running executor: when it looks for the parts of others, and how long it rests."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from flowlet.engine.spawns import spawner as spawner_module
from flowlet.engine.spawns.spawner import LOCKED_SECONDS, LOOK_SECONDS, MAX_REST_SECONDS, REST_FACTOR, Spawner
from flowlet.errors import RowsLockedError
from flowlet.shutdown import cancel_and_wait
from flowlet.store.children import unmade
from flowlet.store.commits import UNKNOWN_COMMIT
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.engine.children.family_modules import CHILD_MODULE
from tests.engine.clocks import RecordingClock
from tests.engine.executor_harness import NEVER, run_executor, wait_for
from tests.engine.spawns.spawn_modules import build_fan_module, open_spawns


async def test_the_parts_of_an_executor_that_stops_are_made_by_another_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = (build_fan_module(), CHILD_MODULE)
    make_part = unmade.make_part
    # Its only look after the start comes in an hour; it does not claim what the other one has of its own group.
    monkeypatch.setattr(spawner_module, "LOOK_SECONDS", 3600.0)
    async with (
        run_executor(database_url, *modules, lease=NEVER, groups=("default",)) as one,
        run_executor(database_url, *modules, lease=NEVER, groups=("other",)) as other,
    ):

        async def make_part_or_stop(connections: Any, parent_id: int, *, now: int) -> int:
            if connections is one.store.connections:
                one.executor.stop()
                one.executor.stop()
                await asyncio.Event().wait()
            return await make_part(connections, parent_id, now=now)

        monkeypatch.setattr(spawner_module, "make_part", make_part_or_stop)
        now = one.store.clock.now()
        fan = one.registry.get_definition("Fan").build_instance(None, now=now)
        await one.store.instances.create([fan], now=now)
        one.executor.wake()
        await wait_for(one.task)

        async def wait_until_made() -> None:
            sql = "SELECT COUNT(*) FROM flowlet_spawn"
            while await other.store.connections.read(lambda session: session.fetch_rows(sql)) != [(0,)]:
                pass

        await wait_for(wait_until_made())


@pytest.mark.parametrize("seconds", [1, 50])
async def test_a_part_is_followed_by_a_bounded_rest(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    async with (
        open_spawns(sqlite_url),
        open_store(sqlite_url, schema=find_schema(sqlite_url), clock=(clock := RecordingClock())) as store,
    ):
        make_part = unmade.make_part

        async def make_slowly(connections: Any, parent_id: int, *, now: int) -> int:
            clock.advance(seconds * 1_000_000)  # it waited for a lock, or for a server
            return await make_part(connections, parent_id, now=now)

        monkeypatch.setattr(spawner_module, "make_part", make_slowly)
        assert await Spawner(store, random=Random(1)).make_parts()

    assert clock.recorded_sleeps == [min(REST_FACTOR * seconds, MAX_REST_SECONDS)]


async def test_commits_of_which_nothing_is_known_do_not_let_it_look_again_and_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, has_looked = list[int](), asyncio.Event()

    async def look(_: Any, *, after: int, limit: int) -> list[Any]:
        looks.append(limit)
        has_looked.set()
        return []

    monkeypatch.setattr(spawner_module, "list_spawning", look)
    async with open_store(sqlite_url) as store:
        task = asyncio.create_task(Spawner(store, random=Random(1)).run())
        await wait_for(has_looked.wait())
        for _ in range(50):
            store.connections.report_commit(UNKNOWN_COMMIT)
            await store.read_clock()
        await cancel_and_wait(task)

    assert len(looks) <= 2  # SQLite's signal has one for all that was before it began


@pytest.mark.parametrize(
    ("error", "seconds"), [(ValueError("refused"), LOOK_SECONDS), (RowsLockedError("locked"), LOCKED_SECONDS)]
)
async def test_a_part_that_cannot_be_made_is_left_for_a_while(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, error: Exception, seconds: float
) -> None:
    async with open_spawns(sqlite_url) as spawned:
        clock, tries = spawned.hands.clock, list[int]()

        async def refuse(_: Any, parent_id: int, *, now: int) -> int:
            tries.append(now)
            raise error

        monkeypatch.setattr(spawner_module, "make_part", refuse)
        spawner = Spawner(spawned.hands.store, random=Random(1))
        for _ in range(3):
            assert await spawner.make_parts() == 0
        assert len(tries) == 1

        clock.advance(round(seconds * 1_000_000))
        monkeypatch.setattr(spawner_module, "make_part", unmade.make_part)
        assert await spawner.make_parts()
