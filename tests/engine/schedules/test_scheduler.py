"""The scheduler of a running executor: it sleeps until a schedule is due, and is woken by commits."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from flowlet.clock import StoreClock
from flowlet.instance.instance import Status
from flowlet.operations.service import Operations
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store, open_store
from flowlet.workflow.schedule import Schedule
from tests.databases import find_schema
from tests.engine.executor_harness import run_executor, wait_for
from tests.engine.schedules.scheduled_reports import build_reports, list_instances

REAL_CLOCK = StoreClock()


async def wait_for_instances(store: Store, count: int) -> None:
    async def wait_until_created() -> None:
        while len(await list_instances(store)) < count:
            await REAL_CLOCK.sleep(0.02)

    await wait_for(wait_until_created())


async def test_a_schedule_that_another_process_creates_fires_within_the_second(database_url: str) -> None:
    async with (
        run_executor(database_url, build_reports(), poll_interval=timedelta(hours=1)) as run,
        open_store(database_url, schema=find_schema(database_url)) as store,
    ):
        elsewhere = Operations(store, run.registry)
        await elsewhere.schedules.create("Reports", Schedule(every="1 second", name="nightly"), username="ada")

        await wait_for_instances(store, 2)
        await elsewhere.schedules.delete("nightly", username="ada")


async def test_the_end_of_an_instance_that_another_process_writes_fires_the_time_that_waits(database_url: str) -> None:
    waiting = Schedule(every="1 second", name="nightly", overlap="wait", vars={"city": "Rome"})
    async with (
        run_executor(database_url, build_reports(waiting), poll_interval=timedelta(hours=1)) as run,
        open_store(database_url, schema=find_schema(database_url)) as store,
    ):
        elsewhere = Operations(store, run.registry)
        await wait_for_instances(store, 1)

        async def wait_until_pending() -> None:
            while (await elsewhere.schedules.get("nightly")).pending is None:
                await REAL_CLOCK.sleep(0.05)

        await wait_for(wait_until_pending())
        await elsewhere.schedules.pause("nightly", username="ada")
        await elsewhere.schedules.resume("nightly", username="ada")
        (first,) = await list_instances(store)
        await elsewhere.cancel(first.id, username="ada")

        await wait_for_instances(store, 2)
        statuses = [one.status for one in await list_instances(store)]
        assert (statuses[0], statuses[-1] is Status.CANCELLED) == (Status.CANCELLED, False)


@pytest.mark.parametrize("url_fixture", ["postgres_url", "mariadb_url"])  # SQLite has one writer, who waits
async def test_a_time_that_waits_no_more_while_its_schedule_is_locked_fires_afterwards(
    url_fixture: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url: str = request.getfixturevalue(url_fixture)
    rare = Schedule("0 3 29 2 *", name="nightly", overlap="wait")
    async with (
        run_executor(url, build_reports(rare), poll_interval=timedelta(hours=1)) as run,
        open_store(url, schema=find_schema(url)) as store,
    ):
        elsewhere = Operations(store, run.registry)
        running = await elsewhere.create("Reports", vars={"city": "Rome"})
        await store.connections.write(
            lambda session: session.execute(
                "UPDATE flowlet_schedule SET pending = next_fire - 1, last_workflow_id = :id", {"id": running.id}
            )
        )
        await elsewhere.schedules.pause("nightly", username="ada")
        await elsewhere.schedules.resume("nightly", username="ada")
        fire, was_locked = run.store.schedules.fire, asyncio.Event()

        async def fire_and_note(*given: Any, **named: Any) -> Any:
            fired = await fire(*given, **named)
            if not fired:
                was_locked.set()
            return fired

        monkeypatch.setattr(run.store.schedules, "fire", fire_and_note)

        async def lock_and_give_up(session: DatabaseSession) -> None:
            await session.fetch_rows("SELECT id FROM flowlet_schedule FOR UPDATE")
            await elsewhere.cancel(running.id, username="ada")
            await wait_for(was_locked.wait())
            raise LookupError

        with pytest.raises(LookupError):
            await store.connections.write(lock_and_give_up)

        await wait_for_instances(store, 1)


async def test_a_name_that_another_schedule_has_is_a_warning_and_the_executor_starts(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    declared = Schedule("0 3 * * *", name="nightly")
    async with run_executor(sqlite_url, build_reports()) as run:
        operations = Operations(run.store, run.registry)
        await operations.schedules.create("Reports", Schedule("0 4 * * *", name="nightly"), username="ada")

    with caplog.at_level(logging.WARNING):
        async with run_executor(sqlite_url, build_reports(declared)) as run:
            stored = await run.store.schedules.get("nightly")

    assert stored.spec == "0 4 * * *"
    assert "the schedule 'nightly' is not stored: another one has this name" in caplog.text
