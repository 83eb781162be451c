"""Operations on schedules: who may change what, and that nothing is created twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from flowlet.errors import RefusedError, StaleError, UnknownScheduleError, UnknownWorkflowError, VariablesError
from flowlet.operations.doctor import SCHEDULE, examine_store
from flowlet.store.reports.schedules import compute_schedule_lag_seconds, read_troubled_schedules
from flowlet.web.console.alerts import find_alerts
from flowlet.workflow.schedule import Schedule
from tests.engine.schedules.scheduled_reports import list_created, list_instances, open_reports

DECLARED = Schedule("0 3 * * *", name="declared", vars={"city": "Rome"})
OWN = Schedule("0 4 * * *", name="own", overlap="skip", vars={"city": "Rome"})
NOON = "2026-03-28T12:00Z"


async def test_a_schedule_is_created_edited_paused_and_deleted(database_url: str) -> None:
    async with open_reports(database_url, at=NOON) as flow:
        schedules = flow.operations.schedules
        made = await schedules.create("Reports", OWN, username="ada")
        edited = await schedules.update(
            "own", Schedule("0 5 * * *", name="own"), username="bob", expected_version=made.version
        )
        with pytest.raises(StaleError):
            await schedules.pause("own", username="ada", expected_version=made.version)
        await schedules.pause("own", username="ada", reason="holidays")
        await flow.advance("1 day")
        resumed = await schedules.resume("own", username="ada")
        await flow.settle()

        assert (made.created_by, edited.modified_by, edited.spec) == ("ada", "bob", "0 5 * * *")
        assert [time.text for time in schedules.list_next_times(resumed, count=1)] == ["2026-03-30T05:00+00:00"]
        assert await list_created(flow.store, "own") == ["2026-03-29T05:00+00:00"]
        assert [one.name for one in await schedules.list_all()] == ["own"]
        await schedules.delete("own", username="ada")
        with pytest.raises(UnknownScheduleError, match="no schedule is called 'own'"):
            await schedules.get("own")


async def test_a_schedule_of_the_code_is_paused_and_fired_but_not_edited(database_url: str) -> None:
    async with open_reports(database_url, DECLARED, at=NOON) as flow:
        schedules = flow.operations.schedules
        with pytest.raises(RefusedError, match="cannot be edited: Reports declares it"):
            await schedules.update("declared", Schedule("0 5 * * *", name="declared"), username="ada")
        with pytest.raises(RefusedError, match="cannot be deleted"):
            await schedules.delete("declared", username="ada")
        await schedules.pause("declared", username="ada")

        fired = await schedules.fire_now("declared", username="ada")

        (instance,) = await list_instances(flow.store, "declared")
        assert (instance.id, instance.created_by) == (fired.id, "ada")


async def test_names_variables_and_workflows_are_checked_before_anything_is_stored(sqlite_url: str) -> None:
    async with open_reports(sqlite_url, DECLARED, at=NOON) as flow:
        schedules = flow.operations.schedules
        with pytest.raises(VariablesError) as caught:
            await schedules.create("Reports", Schedule("x", name="bad", vars={"rows": "many"}), username="ada")
        with pytest.raises(RefusedError, match="there is a schedule 'declared' already"):
            await schedules.create("Reports", DECLARED, username="ada")
        with pytest.raises(UnknownWorkflowError):
            await schedules.create("Report", OWN, username="ada")

        assert caught.value.faults.keys() == {"cron", "vars.rows"}
        texts = [time.text for time in schedules.preview("Reports", OWN, count=2)]
        assert texts == ["2026-03-29T04:00+00:00", "2026-03-30T04:00+00:00"]
        assert len(await schedules.list_all()) == 1


async def test_firing_now_respects_an_instance_that_runs(sqlite_url: str) -> None:
    async with open_reports(sqlite_url, at=NOON) as flow:
        schedules = flow.operations.schedules
        await schedules.create("Reports", OWN, username="ada")
        first = await schedules.fire_now("own", username="ada")

        with pytest.raises(RefusedError, match=f"workflow {first.id}, .* has not ended, and overlap is skip"):
            await schedules.fire_now("own", username="ada")

        await flow.operations.cancel(first.id, username="ada")
        await flow.advance("1 second")
        assert (await schedules.fire_now("own", username="ada")).is_new


async def test_a_backfill_creates_each_past_time_once_however_often_and_by_how_many(database_url: str) -> None:
    async with open_reports(database_url, at=NOON) as flow:
        schedules = flow.operations.schedules
        await schedules.create("Reports", Schedule("0 * * * *", name="hourly"), username="ada")
        await flow.advance("2 hours")
        first, last = flow.now() - timedelta(hours=150), flow.now()

        results = await asyncio.gather(*(schedules.backfill("hourly", first, last, username="ada") for _ in "ab"))
        again = await schedules.backfill("hourly", first, last, username="ada")

        assert sum(result.created_count for result in results) == 149
        assert (again.created_count, len(again.instances)) == (0, 151)
        assert len(set(await list_created(flow.store, "hourly"))) == 151


async def test_a_backfill_is_bounded_and_past(sqlite_url: str) -> None:
    async with open_reports(sqlite_url, DECLARED, at=NOON) as flow:
        now = flow.now()
        faults: list[tuple[str, str]] = []
        for first, last in (
            (now - timedelta(days=1_200), now),
            (now, now + timedelta(days=1)),
            (now, now - timedelta(days=1)),
            (datetime(2026, 1, 1), now),
        ):
            with pytest.raises(VariablesError) as caught:
                await flow.operations.schedules.backfill("declared", first, last, username="ada")
            faults += caught.value.faults.items()

    assert [field for field, _ in faults] == ["to", "to", "to", "from"]
    assert "more than 1,000 times: end at 2025-" in faults[0][1]


async def test_a_schedule_that_nothing_fires_is_a_finding_that_says_why(database_url: str) -> None:
    async with open_reports(database_url, DECLARED, at=NOON, version=2) as flow:
        await flow.operations.schedules.create("Reports", OWN, username="ada")
        await flow.operations.schedules.pause("own", username="ada", reason="holidays")
        assert await examine_store(flow.store) == []
    async with open_reports(database_url, DECLARED, at="2026-04-28T12:00Z", version=1) as flow:
        await flow.settle()
        findings = await examine_store(flow.store)
        executors = await flow.store.executors.list_all()
        now = flow.clock.now()
        troubled = await read_troubled_schedules(flow.store.connections, now=now)
        alerts = find_alerts({}, executors, [], [], schedules=troubled, now=now)

        assert [(finding.rule, finding.instance_id) for finding in findings] == [(SCHEDULE, 0)]
        assert "version 2 of the workflow wrote it, and the live executors have version 1" in findings[0].message
        assert await compute_schedule_lag_seconds(flow.store.connections, now=now) > 86_400
        assert [(alert.label, alert.title) for alert in alerts] == [("Schedule", "declared"), ("Paused", "own")]
