"""Claims beside what is due for others, compared with the same claims without it.

    python benchmarks/claims.py sqlite:////tmp/claims_bench.db
    python benchmarks/claims.py postgresql://postgres@127.0.0.1/claims_bench
    python benchmarks/claims.py mysql://root@127.0.0.1/claims_bench

Four databases are created with the given name and a suffix, and dropped at the end: with one workflow's instances
alone; beside 200,000 due ones of workflows that the executor does not know; beside 200,000 that wait for another
version; and with 50 workflows of the executor. Their claims alternate. Figures are comparable only within one run.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pymysql
from fill import CHUNK_SIZE, open_writer

from flowlet.database_url import normalize_database_url
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.runtime import run_loop
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.executors import ExecutorRecord
from flowlet.store.gates.version_gates import GatedClaim
from flowlet.store.housekeeping.unserved import UnservedReasons
from flowlet.store.opening import Store, open_store

SCENARIOS = ("alone", "foreign", "gated", "types")
GATE = str(VersionGate(compute_lane("Own0", "default"), ("0" * 12,)))
FOREIGN_TYPES, OWN_TYPES = 250, 50
CLAIM_SIZES = (100, 10)
MEASURED = (*(f"claim of {size}" for size in CLAIM_SIZES), "idle claim", "gates")
COLUMNS = (
    *("external_id", "workflow_type", "definition_version", "business_key", "executor_group", "priority", "status"),
    *("state", "vars", "next_activation", "created", "modified", "gate"),
)


@dataclass
class Scenario:
    """A database, the workflows that its executor knows, and how long each action took, in milliseconds."""

    name: str
    store: Store
    types: Sequence[str]
    milliseconds: dict[str, list[float]] = field(default_factory=dict)

    async def measure(self, action: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run the work and note how long it took."""
        began = time.perf_counter()
        result = await work()
        self.milliseconds.setdefault(action, []).append(1000 * (time.perf_counter() - began))
        return result


def generate_rows(
    prefix: str, types: Sequence[str], count: int, *, due: int, gate: str | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield instances that are due, in turns of these workflows."""
    status, state = ("NEW", None) if gate is None else ("IN_PROGRESS", "check")
    for i in range(count):
        name = types[i % len(types)]
        yield (f"{prefix}-{i}", name, 1, "", "default", 0, status, "check", "{}", due + i, due, due, gate, state)


async def fill_scenario(name: str, store: Store, url: str, arguments: argparse.Namespace) -> Scenario:
    """Fill a database. What is due for others has been due the longest."""
    own = [f"Own{number}" for number in range(OWN_TYPES if name == "types" else 1)]
    needed = sum(CLAIM_SIZES) * (arguments.rounds + 1)
    earlier = store.clock.now() - 10_000_000_000
    rows = list(generate_rows("own", own, needed, due=store.clock.now() - needed))
    if name == "foreign":
        foreign = [f"Foreign{number}" for number in range(FOREIGN_TYPES)]
        rows += generate_rows("foreign", foreign, arguments.rows, due=earlier)
    if name == "gated":
        rows += generate_rows("gated", own, arguments.rows, due=earlier, gate=GATE)
    writer = await open_writer(url)
    for first in range(0, len(rows), CHUNK_SIZE):
        await writer.write("flowlet_workflow", COLUMNS, rows[first : first + CHUNK_SIZE])
    await writer.finish()
    return Scenario(name, store, own)


async def measure_round(scenario: Scenario) -> None:
    """Claim once of each size, and look for gates."""
    instances, now = scenario.store.instances, scenario.store.clock.now()
    for size in CLAIM_SIZES:
        request = ClaimRequest("bench", ("default",), scenario.types, size, now)
        claimed, _ = await scenario.measure(f"claim of {size}", lambda request=request: instances.claim(request))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        if len(claimed) != size or not {one.type for one in claimed} <= set(scenario.types):
            raise SystemExit(f"{scenario.name}: a claim of {size} returned {len(claimed)} instances")
    idle = ClaimRequest("bench", ("default",), scenario.types, 10, 0)
    await scenario.measure("idle claim", lambda: instances.claim(idle))
    gates = scenario.store.version_gates
    await scenario.measure("gates", gates.find_gates)
    if scenario.name == "gated":
        gated = GatedClaim("bench", GATE, CLAIM_SIZES[0], now)
        claimed, _ = await scenario.measure("gated claim", lambda: gates.claim(gated))
        if len(claimed) != gated.limit:
            raise SystemExit(f"a claim of {gated.limit} through the gate returned {len(claimed)} instances")


async def measure_housekeeping(scenario: Scenario) -> None:
    """Do what the maintenance does, once; explain to the end what no executor serves, and note each step."""
    store, now = scenario.store, scenario.store.clock.now()
    lease = now + 10**12
    record = ExecutorRecord("b", "b", "h", 1, ("default",), tuple(scenario.types), 9, "RUNNING", now, now, lease)
    await store.executors.register(record)
    reasons = UnservedReasons(store.connections)
    await reasons.begin_lap()
    while await scenario.measure("explain step", lambda: reasons.run_step(now=now)):
        pass
    checks: dict[str, Callable[[], Awaitable[Any]]] = {
        "first expiry": store.executors.find_first_expiry,
        "repair": lambda: store.executors.repair_leases(now=now, expired_before=now, crash_limit=5),
        "held tokens": lambda: store.executors.read_held_tokens("b"),
        "needs rollup": lambda: store.counters.needs_rollup(now=now),
        "roll up": lambda: store.counters.roll_up(now=now),
        "delete gone": lambda: store.executors.delete_gone(before=now),
        "list": store.executors.list_all,
    }
    for name, check in checks.items():
        for _ in range(5):
            await scenario.measure(name, check)


def print_housekeeping(scenario: Scenario) -> None:
    """Print the longest of each action of housekeeping."""
    for name, values in scenario.milliseconds.items():
        if name not in MEASURED:
            print(
                f"{scenario.name:8} {name:14} {len(values):5} times, median {median(values):6.2f} ms, "
                f"longest {max(values):6.2f} ms"
            )


def print_result(scenarios: Sequence[Scenario]) -> None:
    """Print minima and medians, ratios and differences to the claims without others' work."""
    for action in MEASURED:
        for name, choose in (("minimum", min), ("median", median)):
            base = choose(scenarios[0].milliseconds[action])
            print(f"{action:12} {name:7} alone {base:6.2f} ms", end="")
            for scenario in scenarios[1:]:
                found = choose(scenario.milliseconds[action])
                print(f" | {scenario.name} {found:6.2f} ({found / base:4.2f} times, {found - base:+5.2f} ms)", end="")
            print()


@contextlib.asynccontextmanager
async def create_database(url: str) -> AsyncIterator[None]:
    """Create a database of this name, and drop it at the end."""
    if url.startswith("sqlite"):
        path = Path(unquote(url.removeprefix("sqlite:///")))
        path.unlink(missing_ok=True)
        yield
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return
    name = urlsplit(url).path.strip("/")
    await run_on_server(url, f"CREATE DATABASE {name}")
    try:
        yield
    finally:
        await run_on_server(url, f"DROP DATABASE {name}")


async def run_on_server(url: str, sql: str) -> None:
    """Run a statement outside of any database of the benchmark."""
    parts = urlsplit(url)
    if url.startswith("postgresql"):
        connection = await asyncpg.connect(parts._replace(path="/postgres").geturl())
        await connection.execute(sql)
        await connection.close()
        return
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    with pymysql.connect(host=parts.hostname, port=parts.port or 3306, user=user, password=password) as server:
        server.cursor().execute(sql)


def add_suffix(url: str, suffix: str) -> str:
    """Return the URL of the database whose name has a suffix."""
    stem, dot, extension = url.rpartition(".") if url.startswith("sqlite") else (url, "", "")
    return f"{stem}_{suffix}{dot}{extension}"


async def main(arguments: argparse.Namespace) -> None:
    """Fill, claim in alternation, explain, and print."""
    async with contextlib.AsyncExitStack() as stack:
        scenarios = []
        for name in SCENARIOS:
            url = add_suffix(normalize_database_url(arguments.url), name)
            await stack.enter_async_context(create_database(url))
            store = await stack.enter_async_context(open_store(url))
            scenarios.append(await fill_scenario(name, store, url, arguments))
        for number in range(arguments.rounds + 1):
            if number == 1:  # the first round warms caches and plans
                for scenario in scenarios:
                    scenario.milliseconds.clear()
            for scenario in scenarios:
                await measure_round(scenario)
        print_result(scenarios)
        for scenario in scenarios:
            await measure_housekeeping(scenario)
            print_housekeeping(scenario)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=200_000, help="due instances of others, and gated ones")
    parser.add_argument("--rounds", type=int, default=60)
    run_loop(main(parser.parse_args()))
