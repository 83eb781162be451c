"""An executor that stands still past its lease writes nothing under it, and goes on under a fresh id."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.fault_harness import FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = pytest.mark.faults

VIGIL_COUNT = 20


async def test_an_executor_that_stood_still_past_its_lease_writes_nothing_under_it(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, "vigil") as seen:
        dawn = tmp_path / "dawn"
        await seen.create_instances("Vigil", [{"until": str(dawn)}] * VIGIL_COUNT)
        first = await start_executor(start_process, database_url)
        await first.wait_for_lines(" watch ", times=VIGIL_COUNT)
        ((first_id,),) = await seen.fetch_rows("SELECT id FROM flowlet_executor")

        first.send_signal(signal.SIGSTOP)
        second = await start_executor(start_process, database_url)
        await second.wait_for_lines(" watch ", times=VIGIL_COUNT)
        dawn.touch()
        first.send_signal(signal.SIGCONT)
        await first.wait_for_lines("given up as lost")
        await seen.wait_until_all_end(timeout_seconds=20)

        assert await count_actions_by_executor(seen, first_id) == {"REPAIRED": VIGIL_COUNT}
        assert len(set(second.find_lines(" rise "))) == VIGIL_COUNT
        assert not first.find_lines(" rise ")
        await seen.check_consistency()
        await check_runs_under_fresh_id(seen, first, second, dawn)


async def start_executor(start_process: StartProcess, url: str) -> ManagedProcess:
    executor = await start_process("run_executor.py", "vigil", database_url=url, lease="1s")
    await executor.wait_for_lines(" runs Vigil")
    return executor


async def count_actions_by_executor(harness: FaultHarness, executor_id: str) -> dict[str, int]:
    """Return how many lines of history of each kind name an executor."""
    sql = "SELECT kind, COUNT(*) FROM flowlet_action WHERE executor_id = :executor_id GROUP BY kind"
    rows: list[tuple[str, int]] = await harness.fetch_rows(sql, executor_id=executor_id)
    return dict(rows)


async def check_runs_under_fresh_id(
    harness: FaultHarness, first: ManagedProcess, second: ManagedProcess, flag_file: Path
) -> None:
    """Check that the first executor, alone again, runs what comes, and not under its old id."""
    await first.wait_for_lines(" runs Vigil", times=2)
    second.send_signal(signal.SIGTERM)
    assert await second.wait_for_exit() == 0

    await harness.create_instances("Vigil", [{"until": str(flag_file)}] * 5)

    await first.wait_for_lines(" rise ", times=5)
    await harness.wait_until_all_end(timeout_seconds=20)
    live = await harness.fetch_rows("SELECT id FROM flowlet_executor WHERE status = 'RUNNING'")
    assert len(live) == 1
    assert await count_actions_by_executor(harness, live[0][0]) == {"TRANSITION": 10}
