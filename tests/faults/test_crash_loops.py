"""A handler that kills its process fails alone, whatever ran beside it."""

from __future__ import annotations

import pytest

from tests.faults.fault_harness import REAL_CLOCK, FaultHarness, open_fault_harness
from tests.faults.processes import StartProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

CRASH_LIMIT = 4
INNOCENT_COUNT = 60


async def test_only_the_instance_that_kills_its_process_fails(database_url: str, start_process: StartProcess) -> None:
    async with open_fault_harness(database_url, "culprit") as seen:
        guilty = [{"is_guilty": number == 20} for number in range(INNOCENT_COUNT + 1)]
        await seen.create_instances("Suspect", guilty)
        exit_codes = []
        while await seen.count_instances("status = 'FAILED'") == 0:
            executor = await start_process(
                *("run_executor.py", "culprit"),
                database_url=database_url,
                lease="1s",
                crash_limit=str(CRASH_LIMIT),
                log_level="WARNING",
            )
            while executor.is_alive and await seen.count_instances("status = 'FAILED'") == 0:
                await REAL_CLOCK.sleep(0.05)
            if not executor.is_alive:
                exit_codes.append(await executor.wait_for_exit())
        await seen.wait_until(
            lambda: seen_all_ended(seen), timeout_seconds=60, description="every innocent instance ends"
        )

        rows = await seen.fetch_rows("SELECT status, vars FROM flowlet_workflow WHERE status <> 'FINISHED'")
        assert [status for status, _ in rows] == ["FAILED"]
        assert "true" in str(rows[0][1])
        assert exit_codes == [9] * CRASH_LIMIT


async def seen_all_ended(seen: FaultHarness) -> bool:
    return await seen.count_instances("status NOT IN ('FINISHED', 'FAILED')") == 0
