"""Throughput of one and of two executor processes on workflows of three handlers, compared with the store's floor.

    python benchmarks/throughput.py sqlite:////tmp/bench.db --workflows 10000
    python benchmarks/throughput.py postgresql://postgres@127.0.0.1/bench

The floor is the bare group-commit loop: the same tables and statements, the same history, and variables written each
time, but no engine: no handlers, models, definitions or maintenance. The limit is what the statements alone can do: all
instances are claimed and all transitions made beforehand. Each round begins with another one of the four, and each
begins on emptied tables. Figures are comparable only within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from flowlet.assembly import open_engine, run_executor
from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.registry import Registry
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.instance.transition import Transition
from flowlet.runtime import run_loop
from flowlet.settings import ExecutorSettings
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.opening import Store, open_store

WORKFLOWS = Path(__file__).with_name("three_states.py")
STATES = ("check", "charge", "ship", "done")
EXECUTOR_ID = "floor"
CREATE_BATCH_SIZE = 500


def load_registry() -> Registry:
    """Return a registry with the benchmark's workflow."""
    loaded = Registry()
    loaded.load(str(WORKFLOWS))
    return loaded


async def create_workflows(store: Store, workflows: int) -> float:
    """Create workflows in batches, and return the rate per second."""
    definition = load_registry().get_definition("ThreeStates")
    began = time.perf_counter()
    for first in range(0, workflows, CREATE_BATCH_SIZE):
        now = store.clock.now()
        size = min(CREATE_BATCH_SIZE, workflows - first)
        await store.instances.create([definition.build_instance(None, now=now) for _ in range(size)], now=now)
    return workflows / (time.perf_counter() - began)


async def wait_until_drained(store: Store) -> float:
    """Wait until all workflows have ended, and return the rate from the first start to the last end in the store."""
    sql = "SELECT COUNT(*) FROM flowlet_workflow WHERE status NOT IN ('FINISHED', 'CANCELLED')"
    while (await store.connections.read(lambda session: session.fetch_rows(sql)))[0][0]:
        await asyncio.sleep(0.2)
    sql = "SELECT COUNT(*), MIN(started), MAX(ended) FROM flowlet_workflow"
    row = (await store.connections.read(lambda session: session.fetch_rows(sql)))[0]
    return float(row[0]) * MICROSECONDS_PER_SECOND / float(row[2] - row[1])


async def empty_tables(store: Store) -> None:
    """Remove the rows of earlier runs, with the room that they have taken where the database can."""
    command = "DELETE FROM" if store.connections.url.startswith("sqlite") else "TRUNCATE TABLE"

    async def work(session: Any) -> None:
        for table in ("flowlet_action", "flowlet_workflow", "flowlet_counter"):
            await session.execute(f"{command} {table}")

    await store.connections.write(work)


class BareLoop:
    """Group commit and nothing else: a coroutine for each claimed instance, one queue, and writers that drain it."""

    def __init__(self, store: Store, slots: int, batch: int) -> None:
        self.store = store
        self.batch = batch
        self.slots = slots
        self.waiting: deque[tuple[Transition, asyncio.Future[None]]] = deque()
        self.ready = asyncio.Event()
        self.running: set[asyncio.Task[None]] = set()
        self.slot_freed = asyncio.Event()

    async def drain(self, writers: int) -> None:
        """Claim, run and commit until nothing is due."""
        tasks = [asyncio.create_task(self.write_batches()) for _ in range(writers)]
        while True:
            free = min(self.slots - len(self.running), self.batch)
            if free < min(self.slots // 4, self.batch):
                self.slot_freed.clear()
                await self.slot_freed.wait()
                continue
            request = ClaimRequest(EXECUTOR_ID, ("default",), ("ThreeStates",), free, self.store.clock.now())
            claimed, _ = await self.store.instances.claim(request)
            for instance in claimed:
                task = asyncio.create_task(self.run_instance(instance))
                self.running.add(task)
                task.add_done_callback(self.free_slot)
            if len(claimed) < free:
                break
        if self.running:
            await asyncio.wait(self.running)
        for task in tasks:
            task.cancel()

    def free_slot(self, task: asyncio.Task[None]) -> None:
        """Free a slot."""
        self.running.discard(task)
        self.slot_freed.set()

    async def run_instance(self, instance: Instance) -> None:
        """Move one instance through its three states."""
        for hop in range(3):
            done = asyncio.get_running_loop().create_future()
            self.waiting.append((build_transition(instance, hop, self.store.clock.now()), done))
            self.ready.set()
            await done
            instance = replace(instance, version=hop + 1)

    async def write_batches(self) -> None:
        """Commit waiting transitions in batches, forever."""
        while True:
            await self.ready.wait()
            batch = [self.waiting.popleft() for _ in range(min(self.batch, len(self.waiting)))]
            if not self.waiting:
                self.ready.clear()
            if batch:
                now = self.store.clock.now()
                await self.store.instances.commit(EXECUTOR_ID, [transition for transition, _ in batch], now=now)
                for _, done in batch:
                    done.set_result(None)


def build_transition(instance: Instance, hop: int, now: int) -> Transition:
    """Return the transition of a claimed instance out of its first, second or third state, by the hop 0, 1 or 2."""
    variables = {"sku": "A-10291", "amount": 4, "charge_id": "ch-A-10291", "parcel": None}
    changes = orjson.dumps([{"op": "set", "path": "/charge_id", "value": "ch-A-10291", "old": None}]).decode()
    line = Action(
        kind=ActionKind.TRANSITION,
        at_us=now,
        from_state=STATES[hop],
        to_state=STATES[hop + 1],
        attempt=1,
        duration_ms=0,
        executor_id=EXECUTOR_ID,
        changes_json=changes,
        version=1,
    )
    return Transition(
        instance=instance,
        state=STATES[hop + 1],
        status=Status.FINISHED if hop == 2 else Status.EXECUTING,
        vars_json=orjson.dumps(variables).decode(),
        next_activation_us=None if hop == 2 else instance.next_activation_us,
        attempt=0,
        visit=hop + 1,
        streak=0,
        answer_json=None,
        reason=None,
        at_us=now,
        actions=(line,),
    )


async def measure_floor(url: str, slots: int, batch: int) -> dict[str, float]:
    """Drain the workflows with the bare group-commit loop."""
    async with open_store(url) as store:
        cpu = time.process_time()
        await BareLoop(store, slots, batch).drain(store.connections.dialect.writes.writer_count)
        cpu = time.process_time() - cpu
        return {"rate": await wait_until_drained(store), "cpu": cpu}


async def measure_limit(url: str, batch: int) -> dict[str, float]:
    """Commit transitions that were made beforehand, of instances that were claimed beforehand."""
    async with open_store(url) as store:
        claimed: list[Instance] = []
        while True:
            request = ClaimRequest(EXECUTOR_ID, ("default",), ("ThreeStates",), batch, store.clock.now())
            found, _ = await store.instances.claim(request)
            claimed += found
            if not found:
                break
        writers = store.connections.dialect.writes.writer_count
        shares = [_build_batches(claimed[writer::writers], batch, store.clock.now()) for writer in range(writers)]
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_commit_batches(store, share) for share in shares))
        rate = len(claimed) / (time.perf_counter() - began)
        return {"rate": rate, "cpu": time.process_time() - cpu}


def _build_batches(claimed: Sequence[Instance], batch: int, now: int) -> list[list[Transition]]:
    return [
        [build_transition(replace(one, version=hop), hop, now) for one in claimed[first : first + batch]]
        for first in range(0, len(claimed), batch)
        for hop in range(3)
    ]


async def _commit_batches(store: Store, batches: Sequence[Sequence[Transition]]) -> None:
    for transitions in batches:
        await store.instances.commit(EXECUTOR_ID, transitions, now=store.clock.now())


async def execute_workflows(url: str, slots: int, batch: int) -> None:
    """Run an executor until its standard input ends, then print its resource usage as JSON."""
    settings = ExecutorSettings(slots=slots, batch=batch)
    async with open_engine(url, load_registry(), settings) as engine:
        executor = engine.executor
        assert executor is not None
        async with run_executor(executor):
            cpu = time.process_time()
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            cpu = time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        used = {"cpu": cpu, "peak_mb": peak, "batches": executor.batches, "committed": executor.committed_transitions}
        print(json.dumps({**used, "largest": executor.largest_batch}), flush=True)


async def measure_engine(url: str, workflows: int, processes: int, slots: int, batch: int) -> dict[str, Any]:
    """Drain the workflows with executor processes."""
    command = [sys.executable, __file__, url, "--execute", "--slots", str(slots), "--batch", str(batch)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        async with open_store(url) as store:
            rate = await wait_until_drained(store)
    finally:
        reports = [child.communicate("\n", timeout=60)[0].splitlines()[-1] for child in children]
    used = [json.loads(report) for report in reports]
    return {
        "rate": rate,
        "cpu": sum(one["cpu"] for one in used),
        "commits": sum(one["batches"] for one in used),
        "batch": sum(one["committed"] for one in used) / max(1, sum(one["batches"] for one in used)),
        "largest": max(one["largest"] for one in used),
        "peak_mb": max(one["peak_mb"] for one in used),
    }


async def main(arguments: argparse.Namespace) -> None:
    """Create, drain, and compare."""
    url, workflows = arguments.url, arguments.workflows
    slots, batch = arguments.slots, arguments.batch
    print(f"{workflows} workflows of three handlers, {slots} slots, batches of at most {batch}")
    measures: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
        "limit": lambda: measure_limit(url, batch),
        "floor": lambda: measure_floor(url, slots, batch),
        "one executor": lambda: measure_engine(url, workflows, 1, slots, batch),
        "two executors": lambda: measure_engine(url, workflows, 2, slots, batch),
    }
    rates: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(arguments.rounds):
        turn = number % len(measures)
        for name in [*list(measures)[turn:], *list(measures)[:turn]]:
            async with open_store(url) as store:
                await empty_tables(store)
                created = await create_workflows(store, workflows)
            made = await measures[name]()
            rates[name].append(made["rate"])
            extra = "".join(
                f", {key} {made[key]:.{digits}f}"
                for key, digits in (("commits", 0), ("batch", 0), ("largest", 0), ("peak_mb", 0))
                if key in made
            )
            cpu = made["cpu"] / workflows * 1e6
            print(
                f"round {number + 1}: {name:13} {made['rate']:7.0f} workflows/s, {cpu:4.0f} us CPU each{extra}"
                f" (created {created:.0f}/s)",
                flush=True,
            )
    middle = {name: median(found) for name, found in rates.items()}
    print(f"{'median of the rounds':20} workflows/s   of the floor   of the limit")
    for name, rate in middle.items():
        print(f"{name:20} {rate:11.0f} {rate / middle['floor']:14.0%} {rate / middle['limit']:14.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--workflows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--slots", type=int, default=ExecutorSettings().slots)
    parser.add_argument("--batch", type=int, default=ExecutorSettings().batch)
    parser.add_argument("--execute", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    run_loop(execute_workflows(given.url, given.slots, given.batch) if given.execute else main(given))
