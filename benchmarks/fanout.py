"""How long a lone workflow takes beside thousands of children of one parent, or of timers, against an idle executor.

    python benchmarks/fanout.py postgresql://postgres@127.0.0.1/bench --count 10000 --rounds 3

Each round measures lone workflows on the idle executor, then from the create of a parent to the end of its last child,
and while as many timers become due within one second: of the same priority, and of a higher one. What is measured of a
lone workflow is from its create to the commit of its end. Wanted are medians of at most 5 times the idle one, and 2
times with the higher priority.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from statistics import median
from types import ModuleType
from typing import Any

from flowlet.assembly import Engine, open_engine, run_executor
from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.registry import Registry
from flowlet.instance.transition import Transition
from flowlet.runtime import run_loop
from flowlet.settings import ExecutorSettings
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow

PAUSE_SECONDS = 0.02
CREATE_BATCH_SIZE = 500
LEAD_SECONDS = 5
"""How long before the first timer is due they are created."""


async def work() -> str:
    """End."""
    return "done"


def build_module(**members: Any) -> ModuleType:
    """Return a module with these members."""
    module = ModuleType("family", "A family.")
    vars(module).update(members)
    return module


def build_parent_module(count: int) -> ModuleType:
    """Return a workflow that spawns children, and ends when they have ended."""

    @state(start=True, next=["wait"])
    async def begin() -> Next:
        return wait.spawn(child("Child", number=number) for number in range(count)).when_children_end()

    @state(next=["done"])
    async def wait() -> None: ...

    return build_module(workflow=Workflow("Parent"), begin=begin, wait=wait, done=end())


class EndObserver:
    """Notes when instances end, and when the last one of a crowd of timers does."""

    def __init__(self) -> None:
        self.ended: dict[int, asyncio.Future[float]] = {}
        self._timers_left = 0
        self._timers_ended: asyncio.Future[float] | None = None

    def expect(self, id: int) -> asyncio.Future[float]:
        """Return the future of the time at which an instance ends."""
        return self.ended.setdefault(id, asyncio.get_running_loop().create_future())

    def expect_timers(self, count: int) -> asyncio.Future[float]:
        """Return the future of the time at which so many timers have ended."""
        self._timers_left, self._timers_ended = count, asyncio.get_running_loop().create_future()
        return self._timers_ended

    def on_transition(self, transition: Transition) -> None:
        """Note the time of an end."""
        if transition.ended_us is None or transition.instance.type == "Child":
            return
        if transition.instance.type == "Timer":
            self._timers_left -= 1
            if self._timers_left == 0 and self._timers_ended is not None:
                self._timers_ended.set_result(time.perf_counter())
            return
        future = self.expect(transition.instance.id)
        if not future.done():
            future.set_result(time.perf_counter())

    def on_claim(self, instance_count: int, seconds: float) -> None:
        """Do nothing."""

    def on_batch(self, size: int, seconds: float) -> None:
        """Do nothing."""

    def on_fire(self, type: str, seconds: float) -> None:
        """Do nothing."""


async def measure_lone(engine: Engine, observer: EndObserver, priority: int) -> float:
    """Return the milliseconds from a lone workflow's create to the commit of its end."""
    began = time.perf_counter()
    created = await engine.operations.create("Lone", priority=priority)
    return (await observer.expect(created.id) - began) * 1_000


async def measure_idle(engine: Engine, observer: EndObserver, count: int = 100) -> list[float]:
    """Return the times of lone workflows on an idle executor."""
    taken = []
    for _ in range(count):
        taken.append(await measure_lone(engine, observer, 0))
        await asyncio.sleep(PAUSE_SECONDS)
    return taken


async def begin_children(engine: Engine, observer: EndObserver, count: int) -> asyncio.Future[float]:
    """Create a parent of so many children, and return the future of the time at which it ends."""
    return observer.expect((await engine.operations.create("Parent")).id)


async def begin_timers(engine: Engine, observer: EndObserver, count: int) -> asyncio.Future[float]:
    """Create timers, and return when the first one is due, with the future of the time at which the last one ends."""
    now, end = engine.store.clock.now(), observer.expect_timers(count)
    first = now + LEAD_SECONDS * MICROSECONDS_PER_SECOND
    timer = engine.registry.get_definition("Timer").build_instance(None, now=now)
    for begin in range(0, count, CREATE_BATCH_SIZE):
        places = range(begin, min(begin + CREATE_BATCH_SIZE, count))
        due = {place: first + place * MICROSECONDS_PER_SECOND // count for place in places}
        new = [replace(timer, external_id=f"{now}-{place}", next_activation_us=at) for place, at in due.items()]
        await engine.store.instances.create(new, now=now)
    await asyncio.sleep(max(0, first - engine.store.clock.now()) / MICROSECONDS_PER_SECOND)
    return end


CROWDS: dict[str, Callable[[Engine, EndObserver, int], Awaitable[asyncio.Future[float]]]] = {
    "children": begin_children,
    "timers": begin_timers,
}


async def measure_beside(
    engine: Engine, observer: EndObserver, crowd: str, count: int, priority: int
) -> tuple[list[float], float]:
    """Return the times of lone workflows beside a crowd, and how many seconds that took."""
    end = await CROWDS[crowd](engine, observer, count)
    began = time.perf_counter()
    taken = []
    while not end.done():
        taken.append(await measure_lone(engine, observer, priority))
        await asyncio.sleep(PAUSE_SECONDS)
    return taken, end.result() - began


async def measure_round(engine: Engine, observer: EndObserver, count: int) -> None:
    """Measure each crowd once with each priority, and print the medians."""
    for crowd in CROWDS:
        for name, priority in (("the same priority", 0), ("a higher priority", 5)):
            idle = median(await measure_idle(engine, observer))
            taken, seconds = await measure_beside(engine, observer, crowd, count, priority)
            middle = median(taken)
            print(
                f"idle: median {idle:.1f} ms; beside {count:,} {crowd} ({seconds:.1f} s), {name}: median {middle:.1f} "
                f"ms, {middle / idle:.1f} times idle, max {max(taken):.0f} ms, {len(taken)} measured",
                flush=True,
            )


async def run_rounds(url: str, count: int, rounds: int) -> None:
    """Run the rounds on one executor."""
    registry = Registry()
    for name in ("Child", "Lone", "Timer"):
        handler = state(start=True, next=["done"])(work)
        registry.add(build_module(workflow=Workflow(name), work=handler, done=end()))
    registry.add(build_parent_module(count))
    observer = EndObserver()
    async with open_engine(url, registry, ExecutorSettings(), observer=observer) as engine:
        assert engine.executor is not None
        async with run_executor(engine.executor):
            await measure_idle(engine, observer)  # to warm up
            for _ in range(rounds):
                await measure_round(engine, observer, count)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=10_000, help="how many children, and how many timers")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    run_loop(run_rounds(given.url, given.count, given.rounds))


if __name__ == "__main__":
    main()
