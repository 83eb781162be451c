"""A limit and a breaker over four executors of which one after another is killed, judged by what handlers write down.

.venv/bin/python -m tests.chaos.limits.killed_executors --database postgresql --seconds 180

In the middle of the run the limit is lowered: executors of both versions run side by side from then on. The service
behind the breaker is closed every now and then. The run exits with 1 if more attempts ran at once than the limit says,
if the breaker let too many begin, if a slot was lost, or if an instance did not end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from flowlet.clock import StoreClock
from flowlet.definition.registry import Registry
from flowlet.store.opening import Store, open_store
from tests.chaos.findings import Fault
from tests.chaos.limits.attempts import (
    Attempt,
    ClosedTime,
    count_most,
    find_breaker_faults,
    find_excess,
    read_attempts,
    read_now,
)
from tests.chaos.raw_database import RawDatabase
from tests.chaos.soak import open_database
from tests.faults.processes import ManagedProcess

__all__ = ["LimitedPlan", "LimitedResult", "run_limited"]

REAL_CLOCK = StoreClock()
EXECUTOR_COUNT = 4
NEW_VERSION_COUNT = 2
CAPACITIES = (10, 6)
"""The limit of the first version, and of the second one."""
BREAKER_FAILURES, BREAKER_PAUSE_MILLISECONDS = 3, 500
LEASE_SECONDS = 2
BACKLOG = 40
"""How many instances are open at least while executors are killed, and how many come after the last kill."""
END_SECONDS = 120.0
RUNNING_TEXT = " runs Crowd"
OPEN = "status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
MODULE = '''
"""Enter where only so many may be at once, then call a service that is closed every now and then."""

from pathlib import Path

from pydantic import BaseModel

from flowlet import Breaker, Limit, Retry, Workflow, end, state
from flowlet.clock import StoreClock
from tests.chaos.limits.attempts import record_attempt

FOLDER = Path({folder!r})


class Guest(BaseModel):
    number: int


retry = Retry(limit=1_000_000, min="20ms", max="100ms")
workflow = Workflow("Crowd", vars=Guest, version={version}, retry=retry)


@state(start=True, next=["call"], limit=Limit({capacity}))
async def enter() -> None:
    with record_attempt(FOLDER / "effects", "enter"):
        await StoreClock().sleep(0.2)


@state(next=["gone"], breaker=Breaker({failures}, pause="{pause}ms"))
async def call() -> None:
    with record_attempt(FOLDER / "effects", "call"):
        await StoreClock().sleep(0.01)
        if (FOLDER / "closed").exists():
            raise ConnectionError("the service is closed")


gone = end()
'''


@dataclass(frozen=True, slots=True)
class LimitedPlan:
    """What to do: for how long executors are killed, how often, and how long the service is closed each time."""

    seconds: float = 180.0
    kill_seconds: float = 1.5
    closed_seconds: float = 4.0
    seed: int = 7


@dataclass(frozen=True, slots=True)
class LimitedResult:
    """What came of it: the faults, and how much there was to judge."""

    faults: Sequence[Fault]
    kill_count: int
    attempts: Sequence[Attempt]
    closed: Sequence[ClosedTime]

    @property
    def failure_count(self) -> int:
        """How many attempts have failed."""
        return sum(one.outcome == "fail" for one in self.attempts)


@dataclass
class LimitedRun:
    """One run in progress."""

    url: str
    folder: Path
    plan: LimitedPlan
    versions: list[int] = field(default_factory=lambda: [1] * EXECUTOR_COUNT)
    executors: list[ManagedProcess] = field(default_factory=list)
    killed_at: dict[int, int] = field(default_factory=dict)
    closed: list[ClosedTime] = field(default_factory=list)
    limits: list[tuple[int, int]] = field(default_factory=lambda: [(0, CAPACITIES[0])])
    guest_count: int = 0

    async def run(self) -> LimitedResult:
        """Start, kill, lower the limit, close and open the service; then let all end, and judge."""
        random = Random(self.plan.seed)
        registry = Registry()
        registry.load_all([self.write_module(1)])
        self.write_module(2)
        async with open_store(self.url) as store:
            try:
                self.executors = [self.start(1) for _ in range(EXECUTOR_COUNT)]
                await self.wait_until_all_run()
                await self.kill_for(self.plan.seconds / 2, random, store, registry)
                await self.deploy_second_version()
                await self.kill_for(self.plan.seconds / 2, random, store, registry)
                await self.wait_until_all_run()
                last_wave = await self.finish(store, registry)
            finally:
                for executor in self.executors:
                    await executor.close()
        return await asyncio.to_thread(self.judge, last_wave)

    def write_module(self, version: int) -> str:
        """Write the module of a version, and return its path."""
        path = self.folder / f"version_{version}" / "crowd.py"
        path.parent.mkdir(exist_ok=True)
        values = {"folder": str(self.folder), "version": version, "capacity": CAPACITIES[version - 1]}
        path.write_text(MODULE.format(**values, failures=BREAKER_FAILURES, pause=BREAKER_PAUSE_MILLISECONDS))
        return str(path)

    def start(self, version: int) -> ManagedProcess:
        """Start an executor of a version."""
        module = self.folder / f"version_{version}" / "crowd.py"
        paths = os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH"))))
        lease = {"FLOWLET_LEASE": f"{LEASE_SECONDS}s", "FLOWLET_CRASH_LIMIT": "1000"}
        environment = {**os.environ, **lease, "FLOWLET_DATABASE_URL": self.url, "PYTHONPATH": paths}
        arguments = ["-m", "flowlet", "serve", str(module), "--port", "0"]
        return ManagedProcess.start_python(
            arguments, env={**environment, "PYTHONUNBUFFERED": "1", "FLOWLET_SLOTS": "12"}, cwd=self.folder
        )

    async def wait_until_all_run(self) -> None:
        """Return when every executor runs the workflow."""
        await asyncio.gather(*(one.wait_for_lines(RUNNING_TEXT) for one in self.executors))

    async def kill_for(self, seconds: float, random: Random, store: Store, registry: Registry) -> None:
        """Kill one executor after another, and let the service be closed for half of the time."""
        until = REAL_CLOCK.monotonic() + seconds
        while REAL_CLOCK.monotonic() < until:
            for is_closed in (False, True):
                await self.kill_while(is_closed, random, store, registry)

    async def kill_while(self, is_closed: bool, random: Random, store: Store, registry: Registry) -> None:
        """Kill executors for as long as the service is closed once."""
        marker, began, kills = self.folder / "closed", read_now(), len(self.killed_at)
        marker.touch() if is_closed else marker.unlink(missing_ok=True)
        until = REAL_CLOCK.monotonic() + self.plan.closed_seconds
        while REAL_CLOCK.monotonic() < until:
            await self.fill_up(store, registry)
            await REAL_CLOCK.sleep(self.plan.kill_seconds * random.uniform(0.5, 1.5))
            await self.kill_one(random)
        if is_closed:
            self.closed.append(ClosedTime(began, read_now(), len(self.killed_at) - kills))

    async def kill_one(self, random: Random) -> None:
        """Kill an executor that runs, but not the last one of its version, and start another one."""
        running = [place for place, one in enumerate(self.executors) if one.find_lines(RUNNING_TEXT)]
        victims = [
            place for place in running if [self.versions[one] for one in running].count(self.versions[place]) > 1
        ]
        if victims:
            await self.replace(random.choice(victims))

    async def replace(self, place: int) -> None:
        """Kill an executor, note when it was gone, and start one of the version that its place has."""
        await self.executors[place].close()
        self.killed_at[self.executors[place].pid] = read_now()
        self.executors[place] = self.start(self.versions[place])

    async def deploy_second_version(self) -> None:
        """Replace executors by ones with a lower limit; it holds once the first of these runs."""
        for place in range(NEW_VERSION_COUNT):
            self.versions[place] = 2
            await self.replace(place)
        await self.executors[0].wait_for_lines(RUNNING_TEXT)
        await self.executors[1].wait_for_lines(RUNNING_TEXT)
        self.limits.append((read_now(), CAPACITIES[1]))

    async def fill_up(self, store: Store, registry: Registry) -> None:
        """Create as many instances as are missing in the backlog."""
        sql = f"SELECT COUNT(*) FROM flowlet_workflow WHERE {OPEN}"
        ((count,),) = await store.connections.read(lambda session: session.fetch_rows(sql))
        if count < BACKLOG:
            await self.create(store, registry, BACKLOG - int(count))

    async def create(self, store: Store, registry: Registry, count: int) -> None:
        """Create so many instances."""
        now, definition = store.clock.now(), registry.get_definition("Crowd")
        numbers = range(self.guest_count, self.guest_count + count)
        self.guest_count += count
        instances = [definition.build_instance({"number": number}, now=now) for number in numbers]
        await store.instances.create(instances, now=now)

    async def finish(self, store: Store, registry: Registry) -> int:
        """Open the service, create a last wave when all leases of killed ones are over, and let all end.

        Return when the wave was created.
        """
        (self.folder / "closed").unlink(missing_ok=True)
        await REAL_CLOCK.sleep(3 * LEASE_SECONDS)
        began = read_now()
        await self.create(store, registry, BACKLOG)
        until = REAL_CLOCK.monotonic() + END_SECONDS
        sql = f"SELECT COUNT(*) FROM flowlet_workflow WHERE {OPEN}"
        while (await store.connections.read(lambda session: session.fetch_rows(sql)))[0][0]:
            if REAL_CLOCK.monotonic() > until:
                break
            await REAL_CLOCK.sleep(0.1)
        for executor in self.executors:
            executor.send_signal(signal.SIGTERM)
            await executor.wait_for_exit()
        return began

    def judge(self, last_wave: int) -> LimitedResult:
        """Return what the handlers' notes and the tables say against the run."""
        attempts = read_attempts(self.folder / "effects", self.killed_at)
        entered = [one for one in attempts if one.state == "enter"]
        calls = [one for one in attempts if one.state == "call"]
        faults = list(find_excess(entered, self.limits))
        pause = BREAKER_PAUSE_MILLISECONDS * 1_000
        for closed in self.closed:
            faults += find_breaker_faults(calls, closed, failure_count=BREAKER_FAILURES, pause=pause)
        most = count_most(one for one in entered if one.began > last_wave)
        if most != CAPACITIES[1]:
            faults.append(("the last wave", f"{most} ran at once at most: {CAPACITIES[1] - most} slots are lost"))
        faults += self._find_remains()
        return LimitedResult(faults, len(self.killed_at), attempts, self.closed)

    def _find_remains(self) -> Iterator[Fault]:
        """Yield what should not be left in the tables."""
        database = RawDatabase(self.url)
        ((count,),) = database.fetch("SELECT COUNT(*) FROM flowlet_workflow WHERE status = 'FINISHED'")
        if count != self.guest_count:
            yield "instances", f"{count} of {self.guest_count} are finished"
        for row in database.fetch("SELECT id, status, gate, executor_id FROM flowlet_workflow WHERE gate IS NOT NULL"):
            yield "an instance", f"still has a gate: {row}"
        for row in database.fetch("SELECT gate, failures, held_reason FROM flowlet_gate WHERE held IS NOT NULL"):
            yield "the breaker", f"is still open: {row}"


async def run_limited(url: str, folder: Path, plan: LimitedPlan) -> LimitedResult:
    """Run a plan on an empty, migrated database, and judge it."""
    return await LimitedRun(url, folder, plan).run()


def main() -> int:
    """Run the plan of the command line, print what came of it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="killed_executors", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", choices=("postgresql", "mariadb", "sqlite"), default="postgresql")
    parser.add_argument("--seconds", type=float, default=180.0, help="for how long executors are killed")
    parser.add_argument("--kill-seconds", type=float, default=1.5, help="how often one is killed")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    plan = LimitedPlan(options.seconds, options.kill_seconds, seed=options.seed)
    folder = Path(tempfile.mkdtemp(prefix="flowlet-limits-"))
    with open_database(options.database, folder) as (url, _):
        result = asyncio.run(run_limited(url, folder, plan))
    print(
        f"{len(result.attempts):,} attempts, {result.failure_count} of them failed; {result.kill_count} executors "
        f"killed; the service was closed {len(result.closed)} times; effects are in {folder}"
    )
    print("\n".join(f"{subject}: {what}" for subject, what in result.faults[:10]) or "every limit has held")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
