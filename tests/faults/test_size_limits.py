"""A process whose handler writes more than the server accepts: nothing else is held up, and it stops as always."""

from __future__ import annotations

import signal

import pytest

from flowlet.clock import to_microseconds
from flowlet.settings import ExecutorSettings
from tests.faults.fault_harness import open_fault_harness
from tests.faults.processes import StartProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

ERRAND_COUNT = 50
PACKET_BYTES = 16_777_216
"""``max_allowed_packet`` of MariaDB, as it is installed."""


@pytest.mark.parametrize("by", ["variables", "statement"])
async def test_40_mb_fail_their_attempt_and_the_process_stops_within_its_grace(
    mariadb_url: str, start_process: StartProcess, by: str
) -> None:
    async with open_fault_harness(mariadb_url, "hoard", "errand") as seen:
        assert await seen.fetch_rows("SELECT @@max_allowed_packet") == [(PACKET_BYTES,)]
        await seen.create_instances("Hoard", [{"by": by}])
        await seen.create_instances("Errand", [{}] * ERRAND_COUNT)
        executor = await start_process("run_executor.py", "hoard", "errand", database_url=mariadb_url, grace="5s")

        async def have_errands_ended() -> bool:
            return await seen.count_instances("status = 'FINISHED'") == ERRAND_COUNT

        async def has_attempt_failed() -> bool:
            return await seen.count_instances("workflow_type = 'Hoard' AND status = 'IN_PROGRESS' AND attempt = 1") == 1

        await seen.wait_until(have_errands_ended, timeout_seconds=20, description="the errands end")
        await seen.wait_until(has_attempt_failed, timeout_seconds=20, description="the attempt fails")
        executor.send_signal(signal.SIGTERM)

        assert await executor.wait_for_exit(timeout_seconds=10) == 0
        ((text, started, ended),) = await seen.fetch_rows(
            "SELECT a.text, w.started, a.at FROM flowlet_action a JOIN flowlet_workflow w ON w.id = a.workflow_id "
            "WHERE a.kind = 'ERROR'"
        )
        assert "TooLargeError: what is to be written has 40,0" in text
        assert f"the database accepts at most {PACKET_BYTES - 64:,} (max_allowed_packet)" in text
        assert ended - started < to_microseconds(ExecutorSettings().lease)
        assert [line for line in executor.find_lines("[warning") if "attempt 1 of state 'grow'" not in line] == []
        assert await seen.count_instances("executor_id IS NOT NULL") == 0
