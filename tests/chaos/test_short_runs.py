"""A short run on each database: executors and servers are killed, stopped and frozen, and the judge finds nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos.director import Plan, RunResult, run_chaos
from tests.chaos.findings import describe_findings
from tests.chaos.machine.disk import SmallDisk, open_small_disk
from tests.database_servers import DatabaseServer

pytestmark = pytest.mark.timeout(120)

SEED = 12


def test_the_judge_finds_nothing_after_a_short_run_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    check_run(sqlite_url, tmp_path, faults=("version changed", "executor killed", "executor frozen", "file locked"))


def test_the_judge_finds_nothing_after_a_short_run_on_postgresql(
    durable_postgres_server: DatabaseServer, durable_postgres_url: str, tmp_path: Path
) -> None:
    faults = ("version changed", "server killed", "executor cut off", "sessions ended")
    check_run(durable_postgres_url, tmp_path, faults=faults, server=durable_postgres_server)


def test_the_judge_finds_nothing_after_a_short_run_on_mariadb(
    durable_mariadb_server: DatabaseServer, tmp_path: Path
) -> None:
    faults = ("version changed", "server killed", "server frozen", "read-only")
    url = durable_mariadb_server.get_migrated_database()
    check_run(url, tmp_path, faults=faults, server=durable_mariadb_server)


@pytest.mark.needs_disk
def test_the_judge_finds_nothing_after_a_short_run_on_a_disk_that_runs_full(
    migrated_file: Path, tmp_path: Path
) -> None:
    with open_small_disk(megabytes=32) as disk:
        url = f"sqlite:///{shutil.copy(migrated_file, disk.folder / 'flowlet.db')}"
        result = check_run(url, tmp_path, faults=("disk full", "executor killed"), disk=disk)

    reasons = [
        line for one in result.evidence.processes for line in one.log.splitlines() if "the store is away" in line
    ]
    assert reasons
    assert all("is unavailable: database or disk is full" in reason for reason in reasons)


def check_run(
    url: str,
    folder: Path,
    *,
    faults: tuple[str, ...],
    server: DatabaseServer | None = None,
    disk: SmallDisk | None = None,
) -> RunResult:
    """Make each of the faults once, in an order that the seed draws, and judge the run."""
    print(f"seed {SEED}")  # noqa: T201 - shown where it fails
    plan = Plan(
        seed=SEED,
        fault_count=len(faults),
        faults=faults,
        lease_seconds=1,
        creates_per_second=8,
        forks_executors=True,
    )

    result = run_chaos(url, folder, plan, server=server, disk=disk)

    assert not result.findings, describe_findings(result.findings)
    assert result.recoveries.recoveries.keys() == set(faults)
    assert result.counts["transitions"] > 100
    return result
