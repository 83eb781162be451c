"""A short run on each database: executors and servers are killed, stopped and frozen, and the judge finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.director import Plan, run_chaos
from tests.chaos.findings import describe_findings
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


def check_run(url: str, folder: Path, *, faults: tuple[str, ...], server: DatabaseServer | None = None) -> None:
    """Make each of the faults once, in an order that the seed draws, and judge the run."""
    print(f"seed {SEED}")  # noqa: T201 - shown where it fails
    plan = Plan(seed=SEED, fault_count=len(faults), faults=faults, lease_seconds=1, creates_per_second=8)

    result = run_chaos(url, folder, plan, server=server)

    assert not result.findings, describe_findings(result.findings)
    assert result.recoveries.seconds.keys() == set(faults)
    assert result.counts["transitions"] > 100
