"""The executors over the API."""

from __future__ import annotations

import pytest

from flowlet.store.executors import ExecutorRecord
from flowlet.web.schemas import rfc3339
from tests.web.probe import Probe

MINUTE = 60_000_000


async def registered(probe: Probe, name: str, *, age: int = 0, status: str = "RUNNING") -> ExecutorRecord:
    now = probe.services.store.clock.now() - age
    groups, types = ("default", "shop"), ("Order",)
    record = ExecutorRecord(f"id-{name}", name, "host", 7, groups, types, 4, status, now - MINUTE, now, now + MINUTE)
    await probe.services.store.executors.register(record)
    return record


async def test_an_executor_is_told_with_what_it_serves_and_when_it_was_heard_of(any_probe: Probe) -> None:
    record = await registered(any_probe, "one")

    told = (await any_probe.client("viewer").get("/api/executors")).json()

    assert told == [
        {
            "id": "id-one",
            "name": "one",
            "host": "host",
            "pid": 7,
            "status": "RUNNING",
            "executorGroups": ["default", "shop"],
            "workflowTypes": ["Order"],
            "slots": 4,
            "started": rfc3339(record.started),
            "lastActive": rfc3339(record.beat),
            "leaseUntil": rfc3339(record.lease_until),
        }
    ]


async def test_the_live_ones_come_first_and_then_the_latest(any_probe: Probe) -> None:
    await registered(any_probe, "long-gone", age=9 * MINUTE, status="LOST")
    await registered(any_probe, "just-gone", status="STOPPED")
    await registered(any_probe, "alive", age=MINUTE // 2)

    told = (await any_probe.client("viewer").get("/api/executors")).json()
    two = (await any_probe.client("viewer").get("/api/executors?limit=2")).json()

    assert [each["name"] for each in told] == ["alive", "just-gone", "long-gone"]
    assert len(two) == 2


@pytest.mark.parametrize("asked", ["limit=0", "limit=1001", "limit=many", "limit=1&limit=2", "pages=1"])
async def test_a_limit_that_cannot_be_is_refused(probe: Probe, asked: str) -> None:
    answer = await probe.client("viewer").get(f"/api/executors?{asked}")

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/faulty")
    assert answer.json()["errors"][0]["field"] == asked.partition("=")[0]
