"""How soon work goes on after a kill, a stop and an outage, without what a busy machine adds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.recovery_times.lateness import LatenessMeter
from tests.database_servers import DatabaseServer
from tests.faults.fault_harness import REAL_CLOCK, FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = pytest.mark.faults

LEASE_SECONDS, GRACE_SECONDS = 2, 1
BACK_SECONDS = 2.0
"""How long the next transition may take when the database is back."""
LONGEST_DELAY_TEXT = "next attempt in 0.5 s"


@dataclass(slots=True)
class Measurement:
    """The length of a block in seconds, without the time by which this process itself was late."""

    seconds: float = 0.0


@contextmanager
def measure() -> Iterator[Measurement]:
    """Measure the block."""
    measurement = Measurement()
    with LatenessMeter() as meter:
        began = REAL_CLOCK.monotonic()
        yield measurement
        measurement.seconds = REAL_CLOCK.monotonic() - began - meter.read_seconds()


async def test_what_a_killed_executor_ran_runs_elsewhere_within_a_lease_and_a_second(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, "vigil") as seen:
        first, second = await start_pair(seen, database_url, start_process, tmp_path / "never")

        with measure() as recovery:
            await first.kill()
            await second.wait_for_lines(" watch ")

        assert recovery.seconds <= LEASE_SECONDS + 1


async def test_what_a_stopped_executor_hands_back_runs_elsewhere_at_once(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, "vigil") as seen:
        first, second = await start_pair(seen, database_url, start_process, tmp_path / "never")

        with measure() as recovery:
            first.send_signal(signal.SIGTERM)
            await second.wait_for_lines(" watch ")

        assert recovery.seconds <= GRACE_SECONDS + 1


async def test_work_goes_on_within_two_seconds_when_postgresql_is_back(
    postgres_server: DatabaseServer, postgres_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    await check_outage(postgres_server, postgres_url, start_process, tmp_path)


async def test_work_goes_on_within_two_seconds_when_mariadb_is_back(
    mariadb_server: DatabaseServer, mariadb_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    await check_outage(mariadb_server, mariadb_url, start_process, tmp_path)


async def start_pair(
    seen: FaultHarness, url: str, start_process: StartProcess, flag_file: Path
) -> tuple[ManagedProcess, ManagedProcess]:
    """Start an executor that runs a handler, and another one that may judge its lease."""
    settings = {"database_url": url, "lease": f"{LEASE_SECONDS}s", "grace": f"{GRACE_SECONDS}s"}
    await seen.create_instances("Vigil", [{"until": str(flag_file)}])
    first = await start_process("run_executor.py", "vigil", **settings)
    await first.wait_for_lines(" watch ")
    second = await start_process("run_executor.py", "vigil", **settings)
    await second.wait_for_lines(" runs Vigil")

    async def has_had_contact() -> bool:
        beats = "status = 'RUNNING' AND beat - started > :lease"
        sql = f"SELECT COUNT(*) FROM flowlet_executor WHERE {beats}"
        return await seen.fetch_rows(sql, lease=LEASE_SECONDS * 1_000_000) == [(2,)]

    await seen.wait_until(has_had_contact, timeout_seconds=20, description="both have sent heartbeats for a lease")
    return first, second


async def check_outage(server: DatabaseServer, url: str, start_process: StartProcess, folder: Path) -> None:
    """Take the server away for as long as delays grow, which is longer than the lease, and start it again."""
    dawn = folder / "dawn"
    executor = await start_process("run_executor.py", "vigil", database_url=url, lease="1s", log_level="DEBUG")
    await executor.wait_for_lines(" runs Vigil")
    server.stop_server()
    dawn.touch()
    await executor.wait_for_lines(LONGEST_DELAY_TEXT, times=4)
    await REAL_CLOCK.sleep(1)

    server.start_server()
    async with open_fault_harness(url, "vigil") as seen:
        with measure() as recovery:
            await seen.create_instances("Vigil", [{"until": str(dawn)}])
            await executor.wait_for_lines(" rise ")  # it runs when the first transition is committed

    assert recovery.seconds <= BACK_SECONDS
