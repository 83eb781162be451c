"""The executors over HTTP."""

from __future__ import annotations

import pytest

from flowlet.store.executors import ExecutorRecord
from flowlet.web.schemas import format_rfc3339
from tests.web.app_harness import AppHarness

MINUTE_MICROSECONDS = 60_000_000


async def register_executor(
    app_harness: AppHarness, name: str, *, age_microseconds: int = 0, status: str = "RUNNING"
) -> ExecutorRecord:
    now = app_harness.services.store.clock.now() - age_microseconds
    groups, types = ("default", "shop"), ("Order",)
    record = ExecutorRecord(
        f"id-{name}",
        name,
        "host",
        7,
        groups,
        types,
        4,
        status,
        now - MINUTE_MICROSECONDS,
        now,
        now + MINUTE_MICROSECONDS,
        versions={"Order": 3},
    )
    await app_harness.services.store.executors.register(record)
    return record


async def test_an_executor_is_told_with_what_it_serves_and_when_it_was_heard_of(any_app_harness: AppHarness) -> None:
    record = await register_executor(any_app_harness, "one")

    body = (await any_app_harness.open_client("viewer").get("/api/executors")).json()

    assert body == [
        {
            "id": "id-one",
            "name": "one",
            "host": "host",
            "pid": 7,
            "status": "RUNNING",
            "executorGroups": ["default", "shop"],
            "workflowTypes": ["Order"],
            "workflowVersions": {"Order": 3},
            "slots": 4,
            "started": format_rfc3339(record.started),
            "lastActive": format_rfc3339(record.beat),
            "leaseUntil": format_rfc3339(record.lease_until),
        }
    ]


async def test_the_live_ones_come_first_and_then_the_latest(any_app_harness: AppHarness) -> None:
    await register_executor(any_app_harness, "long-gone", age_microseconds=9 * MINUTE_MICROSECONDS, status="LOST")
    await register_executor(any_app_harness, "just-gone", status="STOPPED")
    await register_executor(any_app_harness, "alive", age_microseconds=MINUTE_MICROSECONDS // 2)

    body = (await any_app_harness.open_client("viewer").get("/api/executors")).json()
    two = (await any_app_harness.open_client("viewer").get("/api/executors?limit=2")).json()

    assert [each["name"] for each in body] == ["alive", "just-gone", "long-gone"]
    assert len(two) == 2


@pytest.mark.parametrize("asked", ["limit=0", "limit=1001", "limit=many", "limit=1&limit=2", "pages=1"])
async def test_a_limit_that_cannot_be_is_refused(app_harness: AppHarness, asked: str) -> None:
    answer = await app_harness.open_client("viewer").get(f"/api/executors?{asked}")

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/faulty")
    assert answer.json()["errors"][0]["field"] == asked.partition("=")[0]
