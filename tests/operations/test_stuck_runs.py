"""Attempts that do not get on: judged by how long those of their state usually take, and by its timeout."""

from __future__ import annotations

import pytest

from flowlet.definition.registry import Registry
from flowlet.instance.instance import Status
from flowlet.operations import stuck_runs
from flowlet.operations.doctor import STUCK, examine_store
from flowlet.operations.stuck_runs import MIN_COMPARED_RUNS, DurationCache, find_stuck_runs
from flowlet.store.reports import long_runs
from flowlet.store.reports.long_runs import UsualDuration
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_workflow_module
from tests.engine.manual_executor import open_engine
from tests.operations.operations_harness import OperationsHarness


@state(start=True, next=["done"], timeout="5 minutes")
async def upload() -> None:
    """Nothing: the test runs it by hand."""


UPLOADS_MODULE = build_workflow_module(workflow=Workflow("Uploads"), upload=upload, done=end())


async def find_stuck_ids(harness: OperationsHarness, seconds: int) -> list[int]:
    """Return which attempts do not get on after so many seconds more."""
    harness.hands.clock.advance(seconds * SECOND_MICROSECONDS)
    return [
        run.instance.id
        for run in await find_stuck_runs(harness.hands.store, now=await harness.hands.store.read_clock())
    ]


async def test_an_attempt_is_stuck_that_runs_ten_times_as_long_as_the_others(harness: OperationsHarness) -> None:
    for _ in range(MIN_COMPARED_RUNS):
        await harness.run_until_released(await harness.create_order(way="charge"))
    await harness.hands.execute_sql("UPDATE flowlet_action SET duration_ms = 12000 WHERE duration_ms IS NOT NULL")
    held = await harness.create_in_status(Status.EXECUTING)

    assert await find_stuck_ids(harness, 119) == []
    assert await find_stuck_ids(harness, 2) == [held.id]
    (run,) = await find_stuck_runs(harness.hands.store, now=await harness.hands.store.read_clock())
    assert run.reason == "95 % of the attempts take up to 12.0 s"
    await harness.operations.pause(held.id, username="ada")
    assert await find_stuck_ids(harness, 0) == [held.id]


async def test_an_attempt_that_cannot_be_compared_is_stuck_after_an_hour_and_the_doctor_says_so(
    sqlite_harness: OperationsHarness,
) -> None:
    held = await sqlite_harness.create_in_status(Status.EXECUTING)
    assert await find_stuck_ids(sqlite_harness, 3_599) == []
    assert await find_stuck_ids(sqlite_harness, 2) == [held.id]

    found = [one for one in await examine_store(sqlite_harness.hands.store) if one.rule == STUCK]

    assert [one.instance_id for one in found] == [held.id]
    assert "its attempt has been running for 3,601 s" in found[0].message
    assert f"Abort it: flowlet abort {held.id}" in found[0].message


async def test_an_attempt_is_stuck_a_minute_after_its_timeout(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, UPLOADS_MODULE) as hands:
        registry = Registry()
        registry.add(UPLOADS_MODULE)
        await hands.store.definitions.save_definitions(registry.definitions, now=hands.clock.now())
        id = await hands.create_instance("Uploads")
        await (await hands.add_executor()).claim_due()
        found = []
        for seconds in (359, 2):
            hands.clock.advance(seconds * SECOND_MICROSECONDS)
            found.append(await find_stuck_runs(hands.store, now=hands.clock.now()))

    assert found[0] == []
    assert [(run.instance.id, run.reason) for run in found[1]] == [(id, "it does not stop at its timeout of 5 minutes")]


async def test_a_workflow_is_sampled_once_a_minute_for_all_pages(
    sqlite_harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[str] = []

    async def read_durations(_: object, type: str, *, resolve: object) -> dict[str, UsualDuration]:
        sampled.append(type)
        return {"check": UsualDuration(99, 1.0)}

    monkeypatch.setattr(stuck_runs, "read_usual_durations", read_durations)
    held, cache = await sqlite_harness.create_in_status(Status.EXECUTING), DurationCache()

    for seconds in (61, 30, 31):
        sqlite_harness.hands.clock.advance(seconds * SECOND_MICROSECONDS)
        now = await sqlite_harness.hands.store.read_clock()
        (run,) = await find_stuck_runs(sqlite_harness.hands.store, now=now, cache=cache)
        assert run.instance.id == held.id

    assert sampled == ["Orders", "Orders"]


async def test_while_every_attempt_is_young_one_statement_is_all(
    sqlite_harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite_harness.create_in_status(Status.EXECUTING)
    monkeypatch.delattr(long_runs, "SAMPLE_WINDOW")

    assert await find_stuck_ids(sqlite_harness, 59) == []
