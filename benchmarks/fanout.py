"""How long a lone workflow takes while a parent spawns thousands of children, against an idle executor.

    python benchmarks/fanout.py postgresql://postgres@127.0.0.1/bench --children 10000 --rounds 3

Each round measures lone workflows on the idle executor, then from the create of a parent to the end of its last child:
of the same priority as the children in one family, of a higher one in the next. What is measured of a lone workflow is
from its create to the commit of its end. Wanted are medians of at most 5 times the idle one, and 2 times with the
higher priority.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from statistics import median
from types import ModuleType
from typing import Any

from flowlet.assembly import Engine, open_engine, run_executor
from flowlet.definition.registry import Registry
from flowlet.instance.transition import Transition
from flowlet.runtime import run_loop
from flowlet.settings import ExecutorSettings
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow

PAUSE_SECONDS = 0.02


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
    """Notes when instances end."""

    def __init__(self) -> None:
        self.ended: dict[int, asyncio.Future[float]] = {}

    def expect(self, id: int) -> asyncio.Future[float]:
        """Return the future of the time at which an instance ends."""
        return self.ended.setdefault(id, asyncio.get_running_loop().create_future())

    def on_transition(self, transition: Transition) -> None:
        """Note the time of an end."""
        if transition.ended_us is not None and transition.instance.type != "Child":
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


async def measure_beside(engine: Engine, observer: EndObserver, priority: int) -> tuple[list[float], float]:
    """Return the times of lone workflows beside a family, and how many seconds that took."""
    began = time.perf_counter()
    parent = observer.expect((await engine.operations.create("Parent")).id)
    taken = []
    while not parent.done():
        taken.append(await measure_lone(engine, observer, priority))
        await asyncio.sleep(PAUSE_SECONDS)
    return taken, parent.result() - began


async def run_rounds(url: str, children: int, rounds: int) -> None:
    """Run the rounds, and print the medians."""
    registry = Registry()
    for name in ("Child", "Lone"):
        handler = state(start=True, next=["done"])(work)
        registry.add(build_module(workflow=Workflow(name), work=handler, done=end()))
    registry.add(build_parent_module(children))
    observer = EndObserver()
    async with open_engine(url, registry, ExecutorSettings(), observer=observer) as engine:
        assert engine.executor is not None
        async with run_executor(engine.executor):
            await measure_idle(engine, observer)  # to warm up
            for _ in range(rounds):
                idle = median(await measure_idle(engine, observer))
                print(f"idle: median {idle:.1f} ms", flush=True)
                for name, priority in (("the same priority", 0), ("a higher priority", 5)):
                    taken, seconds = await measure_beside(engine, observer, priority)
                    middle = median(taken)
                    print(
                        f"beside {children:,} children ({seconds:.1f} s), {name}: median {middle:.1f} ms, "
                        f"{middle / idle:.1f} times idle, max {max(taken):.0f} ms, {len(taken)} measured",
                        flush=True,
                    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--children", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    run_loop(run_rounds(given.url, given.children, given.rounds))


if __name__ == "__main__":
    main()
