"""Schedules on each database: each time creates one instance, through daylight saving, deploys and pauses."""

from __future__ import annotations

import asyncio
from datetime import datetime

from pydantic import BaseModel

from flowlet.definition.registry import Registry
from flowlet.engine.schedules.scheduler import Scheduler
from flowlet.instance.instance import Status
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store
from flowlet.workflow.schedule import Schedule
from tests.engine.schedules.scheduled_reports import build_reports, list_created, list_instances, open_reports

NIGHTLY = Schedule("30 2 * * *", name="nightly", timezone="Europe/Berlin", vars={"city": "Rome"})


async def test_each_night_creates_one_instance_through_both_changes_of_daylight_saving(database_url: str) -> None:
    async with open_reports(database_url, NIGHTLY, at="2026-03-28T00:00Z") as flow:
        await flow.advance("3 days")
        flow.clock.advance(round((datetime.fromisoformat("2026-10-24T12:00Z") - flow.now()).total_seconds() * 1e6))
        await flow.advance("2 days")

        created = await list_created(flow.store)
        instances = await list_instances(flow.store)

    assert created == [
        "2026-03-28T02:30+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
        "2026-10-24T02:30+02:00",  # the last one of the months in between: catch_up is "last"
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]
    assert {(one.status, one.key, one.vars["city"], one.vars["rows"]) for one in instances} == {
        (Status.WAITING, "nightly", "Rome", 1)
    }


async def test_two_schedules_of_one_workflow_create_two_instances_in_one_minute(database_url: str) -> None:
    hourly = Schedule("30 * * * *", name="hourly", timezone="Europe/Berlin")
    async with open_reports(database_url, NIGHTLY, hourly, at="2026-03-28T01:00Z") as flow:
        await flow.advance("30 minutes")

        assert await list_created(flow.store) == ["2026-03-28T02:30+01:00"]
        assert await list_created(flow.store, "hourly") == ["2026-03-28T02:30+01:00"]


async def test_versions_with_other_times_side_by_side_fire_each_time_of_the_higher_one_once(database_url: str) -> None:
    old = Schedule(every="10 minutes", name="nightly")
    new = Schedule(every="15 minutes", name="nightly", vars={"rows": 2})
    async with open_reports(database_url, old, at="2026-03-28T00:00Z") as first:
        await first.advance("10 minutes")
        first.clock.advance(600_000_000)  # the time of 00:20 belongs to the first version, and is due at the deploy
        module = build_reports(new, version=2)
        async with open_store(database_url, clock=first.clock) as store:
            second = build_scheduler(store, module)
            await second.save_declared()
            await first.advance("5 minutes")  # the lower version finds nothing to do
            await second.fire_due()
            first.clock.advance(900_000_000)
            await asyncio.gather(first.settle(), second.fire_due())
            await build_scheduler(store, build_reports(old)).save_declared()

            stored = await store.schedules.get("nightly")
            created = [(one.external_id[19:24], one.definition_version) for one in await list_instances(store)]

    assert created == [("00:10", 1), ("00:20", 2), ("00:30", 2)]
    assert (stored.spec, stored.definition_version) == ("every 15 minutes", 2)


async def test_a_schedule_that_is_gone_from_the_code_is_kept_and_does_not_fire(database_url: str) -> None:
    async with open_reports(database_url, NIGHTLY, at="2026-03-28T00:00Z"):
        pass
    async with open_reports(database_url, at="2026-03-28T00:00Z", version=2) as flow:
        await flow.advance("2 days")
        stored = await flow.operations.schedules.get("nightly")
        assert (stored.is_disabled, await list_created(flow.store)) == (True, [])

    async with open_reports(database_url, NIGHTLY, at="2026-04-02T00:00Z", version=3) as flow:
        await flow.advance("1 day")
        assert await list_created(flow.store) == ["2026-04-02T02:30+02:00"]


async def test_a_pause_survives_a_deploy_and_what_it_kept_back_is_made_up_for_once(database_url: str) -> None:
    def build(version: int) -> list[Schedule]:
        options = {"every": f"{version * 10} minutes", "vars": {"rows": version}}
        return [Schedule(name=f"of-{kind}", catch_up=kind, **options) for kind in ("none", "last", "all")]  # type: ignore[arg-type]  # the kinds are what it takes

    async with open_reports(database_url, *build(1), at="2026-03-28T00:00Z") as flow:
        for kind in ("none", "last", "all"):
            await flow.operations.schedules.pause(f"of-{kind}", username="ada", reason="the archive moves")
        await flow.advance("55 minutes")
        assert await list_created(flow.store, "of-all") == []
    async with open_reports(database_url, *build(2), at="2026-03-28T00:55Z", version=2) as flow:
        paused = await flow.operations.schedules.get("of-last")
        assert (paused.paused_by, paused.paused_reason) == ("ada", "the archive moves")
        for kind in ("none", "last", "all"):
            await flow.operations.schedules.resume(f"of-{kind}", username="bob")
        await flow.settle()

        created = {kind: await list_created(flow.store, f"of-{kind}") for kind in ("none", "last", "all")}

    assert {kind: [text[11:16] for text in texts] for kind, texts in created.items()} == {
        "none": [],
        "last": ["00:40"],
        "all": ["00:20", "00:40"],
    }


async def test_a_time_waits_until_the_instance_before_it_has_ended(database_url: str) -> None:
    waiting = Schedule(every="10 minutes", name="nightly", overlap="wait", vars={"city": "Rome"})
    async with open_reports(database_url, waiting, at="2026-03-28T00:00Z") as flow:
        await flow.advance("35 minutes")
        (running,) = await list_instances(flow.store)
        await flow.answer(running.id, "done")

        assert [text[11:16] for text in await list_created(flow.store)] == ["00:10", "00:20"]
        assert (await flow.operations.schedules.get("nightly")).pending is None


async def test_all_missed_times_are_created_in_transactions_of_a_hundred(database_url: str) -> None:
    minutes = Schedule("* * * * *", name="nightly", catch_up="all")
    async with open_reports(database_url, minutes, at="2026-03-28T00:00Z") as flow:
        flow.clock.advance(130 * 60_000_000)
        await build_scheduler(flow.store, build_reports(minutes)).fire_due()

        sql = "SELECT COUNT(*), COUNT(DISTINCT external_id) FROM flowlet_workflow"
        assert await flow.store.connections.read(lambda session: session.fetch_rows(sql)) == [(130, 130)]


async def test_variables_that_a_new_model_refuses_are_a_fault_and_fire_when_it_is_mended(database_url: str) -> None:
    class Stricter(BaseModel):
        city: str
        editor: str

    async with open_reports(database_url, at="2026-03-28T00:00Z") as flow:
        own = Schedule("0 3 * * *", name="nightly", vars={"city": "Oslo"})
        await flow.operations.schedules.create("Reports", own, username="ada")
        await flow.operations.schedules.create("Reports", Schedule("0 3 * * *", name="other"), username="ada")
    async with open_reports(database_url, at="2026-03-28T02:59Z", version=2, vars=Stricter) as flow:
        await flow.advance("1 minute")
        stored = await flow.operations.schedules.get("nightly")
        assert stored.fault is not None
        assert "editor" in stored.fault
        mended = Schedule("0 3 * * *", name="nightly", vars={"city": "Oslo", "editor": "Bo"})
        await flow.operations.schedules.update("nightly", mended, username="ada")
        await flow.advance("2 minutes")

        assert await list_created(flow.store) == ["2026-03-28T03:00+00:00"]


async def test_executors_that_fire_at_the_same_moment_create_each_instance_once(database_url: str) -> None:
    schedules = [Schedule("0 3 * * *", name=f"report-{number}") for number in range(60)]
    module = build_reports(*schedules)
    async with open_reports(database_url, *schedules, at="2026-03-28T02:59Z") as flow:
        flow.clock.advance(60_000_000)
        async with (
            open_store(database_url, clock=flow.clock) as second,
            open_store(database_url, clock=flow.clock) as third,
        ):
            schedulers = [build_scheduler(store, module) for store in (flow.store, second, third)]
            await asyncio.gather(*(scheduler.fire_due() for scheduler in schedulers))
            await schedulers[0].fire_due()

        sql = "SELECT COUNT(*), COUNT(DISTINCT business_key) FROM flowlet_workflow"
        assert await flow.store.connections.read(lambda session: session.fetch_rows(sql)) == [(60, 60)]


def build_scheduler(store: object, module: object) -> Scheduler:
    """Return the scheduler of an executor that has loaded one module."""
    registry = Registry()
    registry.add(module)  # type: ignore[arg-type]  # a module
    return Scheduler(store, registry, ExecutorSettings())  # type: ignore[arg-type]  # an open store
