"""One table of this machine's throughput: Flowlet beside its floor, its statements' limit, and other libraries.

    make bench

Starts PostgreSQL and MariaDB servers of its own, durable, in temporary folders. On each database
``benchmarks/throughput.py`` measures the limit, the floor, and one and two executors. The peers (pgqueuer, huey, DBOS)
are installed by pip on demand, into an environment of their own, and do as many durable steps of each workflow: three.
Figures are comparable only within one table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from throughput import create_workflows, empty_tables, measure_engine, measure_floor, measure_limit

from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store
from tests.database_programs import DatabaseProgram
from tests.database_servers import DatabaseServer
from tests.mariadb_program import MARIADB
from tests.postgres_program import POSTGRES

ROOT = Path(__file__).parent.parent
PEERS_FOLDER = ROOT / "build" / "peers"
"""The environment of the peers, outside of the repository's own."""
PACKAGES = ("pgqueuer[asyncpg]>=1.6,<2", "huey>=3.5,<4", "dbos>=3.4,<4")
PEER_SECONDS = 60
"""How long one peer may take; it is left out of the table then, with the reason."""
INSTALL_SECONDS = 180


class Peer(NamedTuple):
    """Another library on one database, and how many workflows it runs."""

    name: str
    script: str
    database: str
    workflows: int


PEERS = (
    Peer("pgqueuer", "pgqueuer_steps.py", "postgresql", 600),
    Peer("DBOS", "dbos_steps.py", "postgresql", 300),
    Peer("huey", "huey_steps.py", "sqlite", 600),
    Peer("DBOS", "dbos_steps.py", "sqlite", 100),
)


class Row(NamedTuple):
    """One line of the table."""

    database: str
    name: str
    rate: float


@contextmanager
def run_server(program: DatabaseProgram) -> Iterator[DatabaseServer]:
    """Run a durable server of its own for the length of the block."""
    server = DatabaseServer.of(program, is_durable=True)
    try:
        yield server
    finally:
        server.close_server()


async def measure_flowlet(database: str, url: str, workflows: int, rounds: int) -> list[Row]:
    """Return the medians of the limit, the floor, and one and two executors, each on emptied tables."""
    batch, slots = ExecutorSettings().batch, ExecutorSettings().slots
    measures = {
        "limit of the statements": lambda: measure_limit(url, batch),
        "floor": lambda: measure_floor(url, slots, batch),
        "Flowlet, one executor": lambda: measure_engine(url, workflows, 1, slots, batch),
        "Flowlet, two executors": lambda: measure_engine(url, workflows, 2, slots, batch),
    }
    rates: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(rounds):
        for name in [*list(measures)[turn:], *list(measures)[:turn]]:
            async with open_store(url) as store:
                await empty_tables(store)
                await create_workflows(store, workflows)
            rates[name].append((await measures[name]())["rate"])
            print(f"{database}, round {turn + 1}: {name} {rates[name][-1]:.0f}", file=sys.stderr, flush=True)
    return [Row(database, name, median(found)) for name, found in rates.items()]


def install_peers() -> Path | None:
    """Return the peers' Python, with what it needs installed; None if that cannot be had."""
    python = PEERS_FOLDER / "bin" / "python"
    try:
        if not python.exists():
            venv.create(PEERS_FOLDER, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"the peers cannot be installed, and are left out: {error}", file=sys.stderr)
        return None
    return python


def measure_peer(python: Path, peer: Peer, url: str) -> Row | None:
    """Return the rate of a peer; None if it fails or takes too long."""
    command = [str(python), str(ROOT / "benchmarks" / "peers" / peer.script), url, str(peer.workflows)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PEER_SECONDS)
    except subprocess.SubprocessError as error:
        print(f"{peer.name} on {peer.database} is left out: {error}", file=sys.stderr)
        return None
    row = Row(peer.database, peer.name, float(json.loads(done.stdout.splitlines()[-1])["rate"]))
    print(f"{row.database}: {row.name} {row.rate:.0f}", file=sys.stderr, flush=True)
    return row


def format_table(rows: list[Row]) -> str:
    """Return the table, in Markdown: rates, and the ratios to the floor, to the limit, and to one executor."""
    lines = ["| | workflows/s | of the floor | of the limit | one executor is faster by |", "|---|---|---|---|---|"]
    by_name = {(row.database, row.name): row.rate for row in rows}
    for database, name, rate in rows:
        floor, limit = by_name[database, "floor"], by_name[database, "limit of the statements"]
        factor = by_name[database, "Flowlet, one executor"] / rate
        lines.append(f"| {database}: {name} | {rate:,.0f} | {rate / floor:.0%} | {rate / limit:.0%} | {factor:.1f} |")
    return "\n".join(lines)


def main(workflows: int, rounds: int) -> None:
    """Measure everything, and print the table."""
    began = time.perf_counter()
    python = install_peers()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, run_server(POSTGRES) as postgres, run_server(MARIADB) as mariadb:
        names = ("flowlet", *(f"peer_{place}" for place, _ in enumerate(PEERS)))
        for database, server in (("postgresql", postgres), ("sqlite", None), ("mariadb", mariadb)):
            urls = {name: f"sqlite:///{folder}/{name}.db" for name in names}
            if server is not None:
                urls = {name: server.create_database() for name in names}
            rows += asyncio.run(measure_flowlet(database, urls["flowlet"], workflows, rounds))
            for place, peer in enumerate(PEERS):
                if python is not None and peer.database == database:
                    found = measure_peer(python, peer, urls[f"peer_{place}"])
                    rows += [found] if found is not None else []
    print(format_table(rows))
    print(f"three durable steps each; medians of {rounds} rounds; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    main(given.workflows, given.rounds)
