"""The cost of pruning beside full load on PostgreSQL: throughput, claims and pages with and without it, alternating.

    python benchmarks/retention.py postgresql://postgres@127.0.0.1/million --workflows 1000000 --rounds 8

It fills the empty database with ended instances of three lines each, runs an executor process under full load, and
lets a pruner process run in every other phase, with the rests of an executor's own. Then ``flowlet db prune`` deletes
what is left: it is killed in the middle, and run again. At the end the counts are those of the rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from statistics import median, quantiles
from typing import Any

from throughput import create_workflows, load_registry

from flowlet.assembly import open_engine, run_executor
from flowlet.clock import to_microseconds
from flowlet.engine.retention.pruner import prune_ranges
from flowlet.engine.retention.rules import list_ranges, read_retention_rules
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.runtime import run_loop
from flowlet.settings import ExecutorSettings
from flowlet.store.counter_buckets import ALL_TIME, SHARED_WRITER_ID, count_end
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store, open_store
from flowlet.store.retention.recount import find_wrong_counts
from flowlet.store.search.query import SearchQuery

OLD = "OldOrders"
OPEN_INSTANCES = 3_000
"""How many instances of the load are open at least, as long as a phase lasts."""
PAGE_PAUSE_SECONDS = 0.2
_FILL = (
    f"INSERT INTO flowlet_workflow (workflow_type, definition_version, external_id, business_key, executor_group, "
    f"status, state, vars, created, modified, started, ended) SELECT '{OLD}', 1, 'old-' || n, 'customer-' || n / 10, "
    "'default', 'FINISHED', 'done', '{\"sku\"\\: \"A-10291\", \"amount\"\\: 4}', "
    "CAST(:ended AS bigint) + n, CAST(:ended AS bigint) + n, CAST(:ended AS bigint) + n, CAST(:ended AS bigint) + n "
    "FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n"
)
_FILL_HISTORY = (
    "INSERT INTO flowlet_action (workflow_id, kind, at, from_state, to_state, definition_version) "
    "SELECT w.id, CASE l WHEN 1 THEN 'CREATED' ELSE 'TRANSITION' END, w.created, CASE WHEN l > 1 THEN 'check' END, "
    f"'check', 1 FROM flowlet_workflow w CROSS JOIN generate_series(1, 3) l WHERE w.workflow_type = '{OLD}' "
    "AND w.created BETWEEN CAST(:ended AS bigint) + CAST(:first AS bigint) "
    "AND CAST(:ended AS bigint) + CAST(:last AS bigint) ORDER BY w.id, l"
)
FILL_CHUNK = 50_000


@dataclass
class Phase:
    """What was measured with or without pruning. Times are in seconds."""

    rates: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)

    def describe(self) -> str:
        """Return the figures in one line."""
        return (
            f"{median(self.rates):6.0f} workflows/s, claims {_describe_times(self.claims)}, "
            f"pages {_describe_times(self.pages)}"
        )


def _describe_times(times: Sequence[float]) -> str:
    cuts = quantiles(times, n=100)
    return f"p50 {cuts[49] * 1e3:.1f} p95 {cuts[94] * 1e3:.1f} p99 {cuts[98] * 1e3:.1f} ms ({len(times)})"


class ClaimTimes:
    """Collects the times of claims that returned instances."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_claim(self, instance_count: int, seconds: float) -> None:
        """Note a claim."""
        if instance_count:
            self.times.append(seconds)

    def on_batch(self, size: int, seconds: float) -> None:
        """Ignore a batch."""

    def on_transition(self, transition: Transition) -> None:
        """Ignore a transition."""


async def fill(store: Store, workflows: int) -> None:
    """Insert instances that ended 100 days ago."""
    began = time.perf_counter()
    ended = store.clock.now() - to_microseconds(timedelta(days=100))
    for first in range(1, workflows + 1, FILL_CHUNK):
        values = {"ended": ended, "first": first, "last": min(workflows, first + FILL_CHUNK - 1)}
        for sql in (_FILL, _FILL_HISTORY):
            await store.connections.write(partial(execute_sql, sql=sql, values=values))
    count = count_end(Status.FINISHED, minutes=ALL_TIME, start=0, type=OLD, amount=workflows)
    await store.connections.write(
        lambda session: session.dialect.writes.add_counts(session.raw, SHARED_WRITER_ID, [count])
    )
    for table in ("flowlet_workflow", "flowlet_action"):
        await store.connections.run_on_engine(partial(execute_sql, sql=f"ANALYZE {table}", values={}))
    print(f"filled {workflows:,} ended instances in {time.perf_counter() - began:.0f} s", flush=True)


async def execute_sql(session: DatabaseSession, *, sql: str, values: dict[str, Any]) -> None:
    """Run one statement."""
    await session.execute(sql, values)


async def execute(url: str) -> None:
    """Run an executor; answer each line of the standard input with the times of the claims since the last one."""
    observer = ClaimTimes()
    async with open_engine(url, load_registry(), ExecutorSettings(), observer=observer) as engine:
        assert engine.executor is not None
        async with run_executor(engine.executor):
            print("ready", flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(observer.times), flush=True)
                observer.times = []


async def run_pruner(url: str) -> None:
    """Delete as an executor does; each line of the standard input stops it, or lets it go on, and is answered."""
    may_run, deleted = asyncio.Event(), 0

    async def delete() -> None:
        nonlocal deleted
        async with open_store(url) as store:
            rules = await read_retention_rules(store, (), default=timedelta(days=90))
            ranges = [one for rule in rules for one in list_ranges(rule, now=store.clock.now())]
            async for part in prune_ranges(store, ranges, keeps_external_ids=True):
                deleted += part.instances
                await may_run.wait()

    deleting = asyncio.create_task(delete())
    while await asyncio.to_thread(sys.stdin.readline):
        may_run.clear() if may_run.is_set() else may_run.set()
        print(deleted, flush=True)
    deleting.cancel()


def ask(child: subprocess.Popen[str]) -> Any:
    """Send a line to a child process, and return its answer."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    return json.loads(child.stdout.readline())


async def count_ends(store: Store) -> int:
    """Return how many instances of the load have ended."""
    return (await store.counters.count_ended_instances()).get(("ThreeStates", "FINISHED"), 0)


async def feed(store: Store) -> None:
    """Keep enough instances of the load open."""
    while True:
        counts = await store.queries.count_by_type_and_status()
        opened = sum(n for (type, status), n in counts.items() if type != OLD and status != "FINISHED")
        if opened < OPEN_INSTANCES:
            await create_workflows(store, 1_000)
        await asyncio.sleep(0.02)


async def look(store: Store, times: list[float]) -> None:
    """Read pages, and note how long each one took."""
    while True:
        for name in (None, "ThreeStates", OLD):
            began = time.perf_counter()
            await store.queries.search(SearchQuery(workflow_type=name))
            times.append(time.perf_counter() - began)
            await asyncio.sleep(PAGE_PAUSE_SECONDS)


async def measure_phase(store: Store, executor: subprocess.Popen[str], phase: Phase, seconds: float) -> None:
    """Keep the executor busy for some time, and measure."""
    ask(executor)
    before, began = await count_ends(store), time.perf_counter()
    tasks = [asyncio.create_task(feed(store)), asyncio.create_task(look(store, phase.pages))]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise RuntimeError("a part of the load has ended by itself") from ended
    phase.rates.append((await count_ends(store) - before) / (time.perf_counter() - began))
    phase.claims += ask(executor)


async def compare(url: str, store: Store, rounds: int, seconds: float) -> None:
    """Measure phases with and without pruning, alternating, the first one of each kind without counting it."""
    command = [sys.executable, __file__, url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    executor = subprocess.Popen([*command, "--execute"], **pipes)
    pruner = subprocess.Popen([*command, "--prune"], **pipes)
    assert executor.stdout is not None
    executor.stdout.readline()
    await measure_phase(store, executor, Phase(), seconds)
    phases, deleted, pruning_seconds = {"without": Phase(), "with": Phase()}, 0, 0.0
    for number in range(rounds):
        for name in ("without", "with") if number % 2 else ("with", "without"):
            began, before = time.perf_counter(), ask(pruner) if name == "with" else 0
            await measure_phase(store, executor, phases[name], seconds)
            if name == "with":
                deleted += ask(pruner) - before
                pruning_seconds += time.perf_counter() - began
            print(f"round {number + 1}: {name:7} {phases[name].rates[-1]:6.0f} workflows/s", flush=True)
    for name, phase in phases.items():
        print(f"{name:7} {phase.describe()}")
    change = median(phases["with"].rates) / median(phases["without"].rates) - 1
    print(f"throughput {change:+.1%}; pruned {deleted:,} instances, {deleted / pruning_seconds:.0f}/s", flush=True)
    for child in (pruner, executor):
        child.communicate(timeout=60)


async def delete_rest(url: str, store: Store) -> None:
    """Delete what is left by the command, which is killed once, and check the counts."""
    command = [sys.executable, "-m", "flowlet", "db", "prune", "--database", url]
    environment = {**os.environ, "FLOWLET_KEEP": "90 days", "FLOWLET_KEEP_EXTERNAL_IDS": "always"}
    began = time.perf_counter()
    killed = subprocess.Popen(command, env=environment)
    while await count_old(store) and killed.poll() is None and time.perf_counter() - began < 10:
        await asyncio.sleep(0.5)
    killed.kill()
    killed.wait()
    print(f"killed with {await count_old(store):,} left; wrong counts: {await find_wrong_counts(store.connections)}")
    await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
    print(
        f"{await count_old(store)} left after {time.perf_counter() - began:.0f} s; "
        f"wrong counts: {await find_wrong_counts(store.connections)}; "
        f"pruned in all: {await store.counters.count_pruned_instances()}"
    )


async def count_old(store: Store) -> int:
    """Return how many of the old instances are left."""
    return (await store.counters.count_ended_instances()).get((OLD, "FINISHED"), 0)


async def main(arguments: argparse.Namespace) -> None:
    """Fill, compare, delete the rest."""
    async with open_store(arguments.url) as store:
        await fill(store, arguments.workflows)
        await compare(arguments.url, store, arguments.rounds, arguments.seconds)
        await delete_rest(arguments.url, store)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--workflows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--execute", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--prune", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    run_loop(execute(given.url) if given.execute else run_pruner(given.url) if given.prune else main(given))
