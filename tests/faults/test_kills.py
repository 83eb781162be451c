"""Executors that are killed at any moment, under load, lose nothing and double nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from random import Random

import pytest

from tests.faults.fault_harness import REAL_CLOCK, FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

KILL_COUNT = 12
JOURNEYS_PER_KILL = 20
MODULES = ("journey", "leg")


async def test_whatever_moment_executors_are_killed_at_everything_ends_once(
    database_url: str, start_process: StartProcess, seeded_random: Random
) -> None:
    async with open_fault_harness(database_url, *MODULES) as seen:
        await seen.execute_sql("CREATE TABLE booking (external_id varchar(255) NOT NULL)")

        executors = [await start_executor(start_process, database_url) for _ in range(3)]
        for kill in range(KILL_COUNT):
            numbers = range(kill * JOURNEYS_PER_KILL, (kill + 1) * JOURNEYS_PER_KILL)
            await seen.create_instances("Journey", [{"number": number} for number in numbers])
            executors.append(await start_executor(start_process, database_url))
            await kill_at_random(executors.pop(seeded_random.randrange(3)), seeded_random)
        await seen.wait_until_all_end(timeout_seconds=60)

        await seen.check_consistency()
        await check_journeys(seen)
        assert all(executor.is_alive for executor in executors)


async def start_executor(start_process: StartProcess, url: str) -> ManagedProcess:
    """Start an executor with a lease as short as can be."""
    return await start_process(
        "run_executor.py", *MODULES, database_url=url, lease="1s", crash_limit="50", log_level="WARNING"
    )


async def kill_at_random(executor: ManagedProcess, random: Random) -> None:
    """Kill an executor while it runs handlers: after up to 60 of them, and up to 30 ms more."""
    with contextlib.suppress(AssertionError):  # the others leave it too little to do
        await executor.wait_for_lines(
            "ran ", times=len(executor.find_lines("ran ")) + random.randint(1, 60), timeout_seconds=1.5
        )
    await REAL_CLOCK.sleep(random.random() * 0.03)
    await executor.kill()


async def check_journeys(harness: FaultHarness) -> None:
    """Check that each journey has every variable, two legs, and one row of its own transaction."""
    expected = [
        {**dict.fromkeys(("number", "planned", "booked", "packed"), number), "travelled": 1 + number}
        for number in range(KILL_COUNT * JOURNEYS_PER_KILL)
    ]
    journeys = await harness.read_variables("Journey")
    assert sorted(journeys, key=lambda journey: journey["number"]) == expected

    legs = await harness.read_variables("Leg")
    assert all(leg["walked"] == leg["length"] for leg in legs)
    parents = await harness.fetch_rows("SELECT parent_id FROM flowlet_workflow WHERE workflow_type = 'Leg'")
    assert set(Counter(parents).values()) == {2}
    assert len(legs) == 2 * len(journeys)

    booked = await harness.fetch_rows("SELECT external_id FROM booking")
    made = await harness.fetch_rows("SELECT external_id FROM flowlet_workflow WHERE workflow_type = 'Journey'")
    assert sorted(booked) == sorted(made)
