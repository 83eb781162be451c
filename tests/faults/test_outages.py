"""The database goes away and comes back: everything ends, nothing is lost, and no handler runs twice for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.checking import CLOCK, Bench, bench
from tests.faults.processes import Process, Start
from tests.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

OUTAGE_SECONDS = 30
ERRANDS, JOURNEYS = 2000, 100
MODULES = ("errand", "journey", "leg")


async def test_a_database_that_is_away_for_30_seconds_costs_nothing_but_time(
    postgres_server: Server, postgres_url: str, mariadb_server: Server, mariadb_url: str, run: Start
) -> None:
    await asyncio.gather(
        outlive(postgres_server, postgres_server.stop, postgres_url, run),
        outlive(mariadb_server, mariadb_server.kill, mariadb_url, run),
    )


async def outlive(server: Server, end: Callable[[], None], url: str, run: Start) -> None:
    """Take a server away in the middle of work for longer than every lease, and check all that was done."""
    settings = {"database_url": url, "lease": "3s", "crash_limit": "1"}
    executors = [await run("serving.py", *MODULES, **settings) for _ in range(2)]
    await asyncio.gather(*(executor.says(" runs Errand") for executor in executors))
    async with bench(url, *MODULES) as seen:
        await seen.execute("CREATE TABLE booking (external_id varchar(255) NOT NULL)")
        await seen.create("Journey", [{"number": number} for number in range(JOURNEYS)])
        await seen.create("Errand", [{}] * ERRANDS)

    await executors[0].says("ran ", times=200)
    end()
    await CLOCK.sleep(OUTAGE_SECONDS)
    server.start()  # in the main thread: the server ends with the thread that started it

    async with bench(url, *MODULES) as seen:
        await seen.all_end(within=40)
        await seen.check()
        assert len(await seen.rows("SELECT external_id FROM booking")) == JOURNEYS
        assert not await seen.count("crashes > 0")
        assert await failures(seen) == ["LookupError: the suitcase is not in the attic"]
        assert await seen.variables("Errand") == [dict.fromkeys(("left", "bought", "returned"), True)] * ERRANDS
    check_runs(executors)


def check_runs(executors: list[Process]) -> None:
    """Check that no handler ran again, save those whose own transaction the database rolled back."""
    runs = Counter(line for executor in executors for line in executor.having("ran "))
    again = [line for line, count in runs.items() if count > 1]
    assert not [line for line in again if " book " not in line]
    assert all(executor.having("the store is away") for executor in executors)
    assert not any(executor.having("given up") for executor in executors)


async def failures(seen: Bench) -> list[str]:
    """Return what failed attempts say, each text once: an outage is no failure of a handler."""
    return [text for (text,) in await seen.rows("SELECT DISTINCT text FROM workflow_action WHERE kind = 'ERROR'")]
