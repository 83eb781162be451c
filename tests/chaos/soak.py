"""Run the judge for minutes on each database, and print what was done and how long recovery took.

make soak
.venv/bin/python -m tests.chaos.soak --minutes 2 --database postgresql --seed 7
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.chaos.cluster import open_chaos_cluster
from tests.chaos.director import Plan, RunResult, run_chaos
from tests.chaos.findings import describe_findings
from tests.chaos.pair import open_switching_pair
from tests.database_servers import DatabaseServer
from tests.databases import migrate_database
from tests.mariadb_program import MARIADB
from tests.postgres_program import POSTGRES

PROGRAMS = {"postgresql": POSTGRES, "mariadb": MARIADB}
PAIR = "pair"
GALERA = "galera"
DATABASES = (*PROGRAMS, "sqlite", GALERA, PAIR)
DEFAULT_MINUTES = {**dict.fromkeys(DATABASES, 10.0), GALERA: 5.0, PAIR: 5.0}
LEASE_SECONDS = 3
EXECUTOR_COUNT = 3
CREATES_PER_SECOND = 8
LEAST_FAULTS_PER_MINUTE = 8


def main() -> int:
    """Run the soak on each database that was chosen, and return the exit code."""
    options = parse_options()
    is_clean = True
    for name in options.database or DATABASES:
        seed = options.seed if options.seed is not None else Random().getrandbits(32)
        minutes = options.minutes or DEFAULT_MINUTES[name]
        print(f"== {name}, {minutes:g} minutes, seed {seed}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="flowlet-soak-"))
        plan = Plan(
            seed=seed,
            seconds=60 * minutes,
            executor_count=EXECUTOR_COUNT,
            lease_seconds=LEASE_SECONDS,
            creates_per_second=CREATES_PER_SECOND,
        )
        try:
            result = run_on_database(name, folder, plan)
        except pytest.skip.Exception as reason:
            print(f"left out: {reason}")
            continue
        print_result(result, folder)
        slow = result.recoveries.find_slow(lease_seconds=LEASE_SECONDS)
        print("\n".join(slow) or "every recovery was within its limits", flush=True)
        if result.findings or slow:
            is_clean = False
        else:
            shutil.rmtree(folder)
        if result.recoveries.fault_count < LEAST_FAULTS_PER_MINUTE * minutes:
            print(f"only {result.recoveries.fault_count} faults: the machine is too slow, or too busy")
            is_clean = False
    return 0 if is_clean else 1


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.partition("\n")[0] if __doc__ else None)
    minutes = "how long faults are made on each database; by default 10, and 5 on a cluster and on a pair"
    parser.add_argument("--minutes", type=float, help=minutes)
    parser.add_argument("--seed", type=int, help="what a former run has printed; a new one by default")
    parser.add_argument("--database", action="append", choices=DATABASES, help="may be repeated; all by default")
    return parser.parse_args()


@contextmanager
def open_database(name: str, folder: Path) -> Iterator[tuple[str, DatabaseServer | None]]:
    """Return the URL of an empty, migrated database, and its server, which is stopped at the end."""
    if name not in PROGRAMS:
        url = f"sqlite:///{folder / 'flowlet.db'}"
        migrate_database(url)
        yield url, None
        return
    server = DatabaseServer.of(PROGRAMS[name], is_durable=True)
    try:
        yield server.get_migrated_database(), server
    finally:
        server.close_server()


def run_on_database(name: str, folder: Path, plan: Plan) -> RunResult:
    """Run a plan on the servers that the name stands for."""
    if name == PAIR:
        return run_on_pair(folder, plan)
    return run_on_cluster(folder, plan) if name == GALERA else run_on_server(name, folder, plan)


def run_on_server(name: str, folder: Path, plan: Plan) -> RunResult:
    """Run a plan on one server, or on a SQLite file."""
    with open_database(name, folder) as (url, server):
        result = run_chaos(url, folder, plan, server=server)
        if server and result.findings:
            (folder / "server.log").write_text("".join(server.log))
        return result


def run_on_pair(folder: Path, plan: Plan) -> RunResult:
    """Run a plan on two servers of PostgreSQL of which each becomes the other's standby."""
    with open_switching_pair() as pair:
        migrate_database(pair.executor_url)
        return run_chaos(pair.writable_url, folder, plan, pair=pair)


def run_on_cluster(folder: Path, plan: Plan) -> RunResult:
    """Run a plan on three nodes of a Galera cluster of which one at a time is away."""
    with open_chaos_cluster() as cluster:
        migrate_database(cluster.executor_urls[0])
        result = run_chaos(cluster.executor_urls[0], folder, plan, cluster=cluster)
        for place, node in enumerate(cluster.nodes.nodes if result.findings else ()):
            (folder / f"node-{place}.log").write_text("".join(node.log))
        return result


def print_result(result: RunResult, folder: Path) -> None:
    """Print the figures of a run, and the findings."""
    counts = ", ".join(f"{number:,} {what}" for what, number in result.counts.items())
    print(
        f"{result.recoveries.fault_count} faults, {counts}; all had ended {result.settle_seconds:.1f} s after the last"
    )
    print(f"{'fault':32} {'times':>5} {'median':>8} {'longest':>8}   without lateness (seconds; the lease is 3 s)")
    for fault, (times, *seconds) in result.recoveries.describe().items():
        print(f"{fault:32} {times:5}" + "".join(f" {each:8.2f}" for each in seconds))
    if result.findings:
        print(f"{len(result.findings)} findings; logs and effects are in {folder}")
        print(describe_findings(result.findings))
    else:
        print("the judge has found nothing")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
