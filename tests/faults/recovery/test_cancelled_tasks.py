"""A handler that cancels every task of its process: its attempt fails, and all else runs on."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.faults.fault_harness import WORKFLOWS, FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = pytest.mark.faults

MODULES = ("vandal", "vigil")
WAYS = ("and waits", "and returns")


async def serve(url: str, start_process: StartProcess) -> ManagedProcess:
    """Start a process that serves the API and executes; it handles signals from then on."""
    paths = (str(WORKFLOWS / f"{name}.py") for name in MODULES)
    process = await start_process("flowlet", "serve", *paths, "--port", "0", database_url=url)
    await process.wait_for_lines("the API answers at")
    await process.wait_for_lines(" runs Vandal")
    return process


async def test_a_handler_that_cancels_every_task_fails_its_attempts_and_nothing_else(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, *MODULES) as seen:
        dawn = tmp_path / "dawn"
        process = await serve(database_url, start_process)
        await seen.create_instances("Vigil", [{"until": str(dawn)}])
        await process.wait_for_lines(" watch ")

        await seen.create_instances("Vandal", [{"way": way} for way in WAYS])
        await seen.wait_until(
            lambda: has_failed(seen, len(WAYS)), timeout_seconds=20, description="each handler fails twice"
        )

        address = process.find_lines("the API answers at")[0].partition(" at ")[2].split()[0]
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{address}/readyz")).status_code == 200
        dawn.touch()
        await process.wait_for_lines(" rise ")
        process.send_signal(signal.SIGTERM)
        assert await process.wait_for_exit() == 0
        assert Counter(line.split()[2] for line in process.find_lines("ran ")) == {"watch": 1, "rise": 1, "rage": 4}
        assert len(process.find_lines(" runs Vandal")) == 1
        errors = await seen.fetch_rows("SELECT text FROM flowlet_action WHERE kind = 'ERROR'")
        assert all("the handler has cancelled" in text and "that are not its own" in text for (text,) in errors)


async def test_a_process_whose_tasks_are_cancelled_by_other_code_ends_in_good_order_and_says_so(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, *MODULES) as seen:
        process = await serve(database_url, start_process)
        await seen.create_instances("Vigil", [{"until": str(tmp_path / "never")}])
        await process.wait_for_lines(" watch ")

        await seen.create_instances("Vandal", [{"way": "by a thread"}])

        assert await process.wait_for_exit(timeout_seconds=20) == 1
        assert process.find_lines("cancelled the main task of this process")
        assert not process.find_lines("Traceback")
        assert await seen.count_instances("executor_id IS NOT NULL") == 0


async def has_failed(seen: FaultHarness, count: int) -> bool:
    return await seen.count_instances("status = 'FAILED'") == count
