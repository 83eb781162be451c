"""Run the judge for minutes on each database, and print what was done and how long recovery took.

make soak
.venv/bin/python -m tests.chaos.soak --minutes 2 --database postgresql --seed 7
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.chaos.cluster import open_chaos_cluster
from tests.chaos.director import Plan, RunResult, run_chaos
from tests.chaos.findings import describe_findings
from tests.chaos.machine.disk import open_small_disk
from tests.chaos.machine.network import Network, NetworkedMariadb, NetworkedPostgres, open_network
from tests.chaos.pair import open_switching_pair
from tests.database_programs import DatabaseProgram
from tests.database_servers import DatabaseServer
from tests.databases import migrate_database
from tests.mariadb_program import MARIADB
from tests.postgres_program import POSTGRES

PROGRAMS = {"postgresql": POSTGRES, "mariadb": MARIADB}
NETWORKED_PROGRAMS: Mapping[str, Callable[[Network], DatabaseProgram]] = {
    "postgresql": NetworkedPostgres,
    "mariadb": NetworkedMariadb,
}
PAIR = "pair"
GALERA = "galera"
DISK_SUFFIX = "-full-disk"
DISK_MEGABYTES = {"postgresql": 384, "mariadb": 384, "sqlite": 64}
"""How large the disks are that are filled; what a database takes at its start has room in half of it."""
DATABASES = (*PROGRAMS, "sqlite", GALERA, PAIR, *(name + DISK_SUFFIX for name in DISK_MEGABYTES))
DEFAULT_MINUTES = {**dict.fromkeys(DATABASES, 5.0), **dict.fromkeys((*PROGRAMS, "sqlite"), 10.0)}
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
    minutes = "how long faults are made on each database; by default 10, and 5 on a cluster, a pair and a full disk"
    parser.add_argument("--minutes", type=float, help=minutes)
    parser.add_argument("--seed", type=int, help="what a former run has printed; a new one by default")
    parser.add_argument("--database", action="append", choices=DATABASES, help="may be repeated; all by default")
    return parser.parse_args()


def run_on_database(name: str, folder: Path, plan: Plan) -> RunResult:
    """Run a plan on a database by its name here."""
    if name == PAIR:
        return run_on_pair(folder, plan)
    if name == GALERA:
        return run_on_cluster(folder, plan)
    if name.endswith(DISK_SUFFIX):
        return run_on_full_disk(name.removesuffix(DISK_SUFFIX), folder, plan)
    return run_on_server(name, folder, plan)


@contextmanager
def open_database(
    name: str, folder: Path, *, parent: Path | None = None, network: Network | None = None
) -> Iterator[tuple[str, DatabaseServer | None]]:
    """Return the URL of an empty, migrated database, and its server, which is stopped at the end.

    Args:
        name: The kind of database.
        folder: Where a SQLite file is made.
        parent: Where a server's folder is made; None for where temporary files are.
        network: A network from which the server is reached, too.
    """
    if name == "sqlite":
        url = f"sqlite:///{folder / 'flowlet.db'}"
        migrate_database(url)
        yield url, None
        return
    program: DatabaseProgram = NETWORKED_PROGRAMS[name](network) if network else PROGRAMS[name]
    server = DatabaseServer.of(program, is_durable=True, parent=parent)
    try:
        yield server.get_migrated_database(), server
    finally:
        server.close_server()


@contextmanager
def open_network_where_possible(name: str) -> Iterator[Network | None]:
    """Make a network for a server's executors; None, and a line that says why, where this machine does not let it."""
    with ExitStack() as stack:
        network = None
        if name in PROGRAMS:
            try:
                network = stack.enter_context(open_network())
            except pytest.skip.Exception as reason:
                print(f"no executor is unplugged: {reason}")
        yield network


def run_on_server(name: str, folder: Path, plan: Plan) -> RunResult:
    """Run a plan on one server, or on a SQLite file."""
    with (
        open_network_where_possible(name) as network,
        open_database(name, folder, network=network) as (url, server),
    ):
        return keep_server_log(run_chaos(url, folder, plan, server=server, network=network), server, folder)


def run_on_full_disk(name: str, folder: Path, plan: Plan) -> RunResult:
    """Run a plan on one server, or on a SQLite file, whose disk runs full."""
    with (
        open_small_disk(megabytes=DISK_MEGABYTES[name]) as disk,
        open_database(name, disk.folder, parent=disk.folder) as (url, server),
    ):
        return keep_server_log(run_chaos(url, folder, plan, server=server, disk=disk), server, folder)


def keep_server_log(result: RunResult, server: DatabaseServer | None, folder: Path) -> RunResult:
    """Write the server's log beside those of the executors, where the judge has found something."""
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
