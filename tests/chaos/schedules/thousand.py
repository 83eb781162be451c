"""A thousand schedules that are due at the same moment, and three executors of which one after another is killed.

.venv/bin/python -m tests.chaos.schedules.thousand --database postgresql --schedules 1000 --every 60 --rounds 2

It prints how late instances were created, and exits with 1 unless each time of each schedule has exactly one. With
--unprotected the executors lock no schedule and give each instance an external id of its own: the judge has to find it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from flowlet.clock import StoreClock
from tests.chaos.evidence import ScheduleRow
from tests.chaos.findings import Fault
from tests.chaos.raw_database import RawDatabase
from tests.chaos.schedules.schedule_rules import find_time_faults
from tests.chaos.soak import open_database
from tests.faults.processes import ManagedProcess

__all__ = ["ThousandPlan", "ThousandResult", "run_thousand"]

REAL_CLOCK = StoreClock()
EXECUTOR_COUNT = 3
WAIT_SECONDS = 120.0
RUNNING_TEXT = " runs Due"
"""What an executor logs that has registered: one that has not is not worth killing."""
MODULE = """
from flowlet import Schedule, Workflow, end, state

SCHEDULES = [Schedule(every="{every} seconds", name=f"due-{{number}}", catch_up="all") for number in range({count})]
workflow = Workflow("Due", schedules=SCHEDULES)


@state(start=True, next=["done"])
async def begin() -> None: ...


done = end()
"""


@dataclass(frozen=True, slots=True)
class ThousandPlan:
    """What to do.

    Attributes:
        schedule_count: How many schedules there are, all of which are due at the same moments.
        every: Their interval, in seconds.
        rounds: How many of these moments are waited for.
        kill_seconds: How often an executor is killed.
        is_protected: Whether the executors are those of the product.
    """

    schedule_count: int = 1_000
    every: int = 60
    rounds: int = 2
    kill_seconds: float = 3.0
    is_protected: bool = True
    seed: int = 7


@dataclass(frozen=True, slots=True)
class ThousandResult:
    """What came of it: the faults, how many executors were killed, and how late each instance was, in seconds."""

    faults: Sequence[Fault]
    kill_count: int
    lateness: Sequence[float]


async def run_thousand(url: str, folder: Path, plan: ThousandPlan) -> ThousandResult:
    """Run a plan on an empty, migrated database, and judge what is left."""
    module = folder / "due.py"
    module.write_text(MODULE.format(every=plan.every, count=plan.schedule_count))
    program = "flowlet" if plan.is_protected else "tests.chaos.schedules.unprotected"
    arguments = ["-m", program, "serve", str(module), "--port", "0"]
    environment = {**os.environ, "FLOWLET_DATABASE_URL": url, "FLOWLET_LEASE": "2s", "PYTHONUNBUFFERED": "1"}
    database, random, kill_count = RawDatabase(url), Random(plan.seed), 0

    def start() -> ManagedProcess:
        return ManagedProcess.start_python(arguments, env=environment, cwd=Path.cwd())

    executors = [start() for _ in range(EXECUTOR_COUNT)]
    try:
        until = REAL_CLOCK.monotonic() + WAIT_SECONDS + plan.rounds * plan.every
        while await asyncio.to_thread(_count_least, database, plan) < plan.rounds and REAL_CLOCK.monotonic() < until:
            await REAL_CLOCK.sleep(plan.kill_seconds * random.uniform(0.5, 1.5))
            ready = [number for number, one in enumerate(executors) if one.find_lines(RUNNING_TEXT)]
            if ready:
                victim = random.choice(ready)
                executors[victim].send_signal(signal.SIGKILL)
                await executors[victim].close()
                executors[victim] = start()
                kill_count += 1
    finally:
        for executor in executors:
            await executor.close()
    return await asyncio.to_thread(_judge, database, plan, kill_count)


def _count_least(database: RawDatabase, plan: ThousandPlan) -> int:
    """Return for how many moments all schedules have fired."""
    rows = database.fetch("SELECT created, next_time FROM flowlet_schedule")
    if len(rows) < plan.schedule_count:
        return 0
    interval = plan.every * 1_000_000
    return min(int(next_time - created - 1) // interval for created, next_time in rows)


def _judge(database: RawDatabase, plan: ThousandPlan, kill_count: int) -> ThousandResult:
    found = database.fetch("SELECT external_id, created, business_key FROM flowlet_workflow")
    by_name: dict[str, list[str]] = {}
    for external_id, _, name in found:
        by_name.setdefault(name, []).append(external_id)
    interval = plan.every * 1_000_000
    rows = [ScheduleRow(*row) for row in database.fetch("SELECT name, next_time, created FROM flowlet_schedule")]
    faults = [fault for row in rows for fault in find_time_faults(row, interval, by_name.get(row.name, ()))]
    if len(rows) != plan.schedule_count:
        faults.append(("schedules", f"there are {len(rows)}"))
    lateness = sorted((created % interval) / 1_000_000 for _, created, _ in found)
    return ThousandResult(faults, kill_count, lateness)


def main() -> int:
    """Run the plan of the command line, print what came of it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="thousand", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--database", choices=("postgresql", "mariadb", "sqlite"), default="postgresql")
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument("--every", type=int, default=60, help="the interval of all of them, in seconds")
    parser.add_argument("--rounds", type=int, default=2, help="how many times of each are waited for")
    parser.add_argument("--kill-seconds", type=float, default=5.0, help="how often an executor is killed")
    parser.add_argument("--unprotected", action="store_true", help="without locks and common external ids")
    options = parser.parse_args()
    plan = ThousandPlan(
        options.schedules,
        options.every,
        options.rounds,
        kill_seconds=options.kill_seconds,
        is_protected=not options.unprotected,
    )
    folder = Path(tempfile.mkdtemp(prefix="flowlet-thousand-"))
    with open_database(options.database, folder) as (url, _):
        result = asyncio.run(run_thousand(url, folder, plan))
    late = result.lateness
    if late:
        shown = f"median {late[len(late) // 2]:.2f} s, 99 % {late[len(late) * 99 // 100]:.2f} s, most {late[-1]:.2f} s"
        print(f"{len(late):,} instances, {result.kill_count} executors killed; late by: {shown}")
    print("\n".join(f"{subject}: {what}" for subject, what in result.faults[:10]) or "each time has one instance")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
