"""The database goes away and comes back: everything ends, nothing is lost, and no handler runs twice for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from tests.database_servers import DatabaseServer
from tests.faults.fault_harness import REAL_CLOCK, FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

OUTAGE_SECONDS = 20
ERRAND_COUNT, JOURNEY_COUNT = 2000, 100
MODULES = ("errand", "journey", "leg")


async def test_a_database_that_is_away_for_20_seconds_costs_nothing_but_time(
    postgres_server: DatabaseServer,
    postgres_url: str,
    mariadb_server: DatabaseServer,
    mariadb_url: str,
    start_process: StartProcess,
) -> None:
    await asyncio.gather(
        check_outage(postgres_server, postgres_server.stop_server, postgres_url, start_process),
        check_outage(mariadb_server, mariadb_server.kill_server, mariadb_url, start_process),
    )


async def check_outage(
    server: DatabaseServer, stop_server: Callable[[], None], url: str, start_process: StartProcess
) -> None:
    """Take a server away in the middle of work for longer than every lease, and check all that was done."""
    settings = {"database_url": url, "lease": "3s", "crash_limit": "3"}
    executors = [await start_process("run_executor.py", *MODULES, **settings) for _ in range(2)]
    await asyncio.gather(*(executor.wait_for_lines(" runs Errand") for executor in executors))
    async with open_fault_harness(url, *MODULES) as seen:
        await seen.execute_sql("CREATE TABLE booking (external_id varchar(255) NOT NULL)")
        await seen.create_instances("Journey", [{"number": number} for number in range(JOURNEY_COUNT)])
        await seen.create_instances("Errand", [{}] * ERRAND_COUNT)

    await executors[0].wait_for_lines("ran ", times=200)
    stop_server()
    await REAL_CLOCK.sleep(OUTAGE_SECONDS)
    server.start_server()  # in the main thread: the server ends with the thread that started it

    async with open_fault_harness(url, *MODULES) as seen:
        await seen.wait_until_all_end(timeout_seconds=40)
        await seen.check_consistency()
        assert len(await seen.fetch_rows("SELECT external_id FROM booking")) == JOURNEY_COUNT
        assert not await seen.count_instances("crashes > 0")
        assert await read_failures(seen) == ["LookupError: the suitcase is not in the attic"]
        assert (
            await seen.read_variables("Errand") == [dict.fromkeys(("left", "bought", "returned"), True)] * ERRAND_COUNT
        )
    await check_runs(executors)


async def check_runs(executors: list[ManagedProcess]) -> None:
    """Check that no handler ran again, save those whose own transaction the database rolled back."""
    runs = Counter(line for executor in executors for line in executor.find_lines("ran "))
    again = [line for line, count in runs.items() if count > 1]
    assert not [line for line in again if " book " not in line]
    for executor in executors:
        await executor.wait_for_lines("the store is back: ")  # the other one may have ended everything before
        assert [len(executor.find_lines(f"the store is {word}: ")) for word in ("away", "back")] == [1, 1]
    assert not any(executor.find_lines("given up") for executor in executors)


async def read_failures(harness: FaultHarness) -> list[str]:
    """Return what failed attempts say, each text once: an outage is no failure of a handler."""
    return [
        text for (text,) in await harness.fetch_rows("SELECT DISTINCT text FROM flowlet_action WHERE kind = 'ERROR'")
    ]
