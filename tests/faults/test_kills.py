"""Executors that are killed at any moment, under load, lose nothing and double nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from random import Random

import pytest

from tests.faults.checking import CLOCK, Bench, bench
from tests.faults.processes import Process, Start

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

KILLS = 20
JOURNEYS_EACH = 20
MODULES = ("journey", "leg")


async def test_whatever_moment_executors_are_killed_at_everything_ends_once(
    database_url: str, run: Start, random: Random
) -> None:
    async with bench(database_url, *MODULES) as seen:
        await seen.execute("CREATE TABLE booking (external_id varchar(255) NOT NULL)")

        executors = [await serve(run, database_url) for _ in range(3)]
        for kill in range(KILLS):
            numbers = range(kill * JOURNEYS_EACH, (kill + 1) * JOURNEYS_EACH)
            await seen.create("Journey", [{"number": number} for number in numbers])
            executors.append(await serve(run, database_url))
            await kill_at_random(executors.pop(random.randrange(3)), random)
        await seen.all_end(within=60)

        await seen.check()
        await check_journeys(seen)
        assert all(executor.is_alive for executor in executors)


async def serve(run: Start, url: str) -> Process:
    """Start an executor with a lease as short as can be."""
    return await run("serving.py", *MODULES, database_url=url, lease="1s", crash_limit="50", log_level="WARNING")


async def kill_at_random(executor: Process, random: Random) -> None:
    """Kill an executor while it runs handlers: after up to 60 of them, and up to 30 ms more."""
    with contextlib.suppress(AssertionError):  # the others leave it too little to do
        await executor.says("ran ", times=len(executor.having("ran ")) + random.randint(1, 60), within=1.5)
    await CLOCK.sleep(random.random() * 0.03)
    await executor.kill()


async def check_journeys(seen: Bench) -> None:
    """Check that each journey has every variable, two legs, and one row of its own transaction."""
    expected = [
        {**dict.fromkeys(("number", "planned", "booked", "packed"), number), "travelled": 1 + number}
        for number in range(KILLS * JOURNEYS_EACH)
    ]
    journeys = await seen.variables("Journey")
    assert sorted(journeys, key=lambda journey: journey["number"]) == expected

    legs = await seen.variables("Leg")
    assert all(leg["walked"] == leg["length"] for leg in legs)
    parents = await seen.rows("SELECT parent_id FROM workflow WHERE workflow_type = 'Leg'")
    assert set(Counter(parents).values()) == {2}
    assert len(legs) == 2 * len(journeys)

    booked = await seen.rows("SELECT external_id FROM booking")
    made = await seen.rows("SELECT external_id FROM workflow WHERE workflow_type = 'Journey'")
    assert sorted(booked) == sorted(made)
