"""What a ``Context`` costs a child: children whose handler takes one and reads its parent, against children without.

    python benchmarks/children.py postgresql://postgres@127.0.0.1/bench --children 3000 --rounds 5

The rounds alternate, and the figure is the median of the ratios of two rounds that follow each other: 1.3 at most is
what is wanted. The children of a family are created by one transition; what is measured is from its commit to the end
of the last child.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import timedelta
from statistics import median
from types import ModuleType
from typing import Any

from flowlet.assembly import open_engine, run_executor
from flowlet.definition.registry import Registry
from flowlet.runtime import run_loop
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import Store
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow


async def work() -> str:
    """End, without a context."""
    return "done"


async def work_with_context(ctx: Context) -> str:
    """End, after a look at the parent."""
    assert ctx.parent is not None
    return "done"


async def work_with_unused_context(ctx: Context) -> str:
    """End; the context is there, and its relatives are not used."""
    ctx.log("done")
    return "done"


def build_child_module(name: str, handler: Any) -> ModuleType:
    """Return a workflow of one handler."""
    return build_module(workflow=Workflow(name), work=state(start=True, next=["done"])(handler), done=end())


def build_parent_module(kind: str, count: int) -> ModuleType:
    """Return a workflow that spawns children, and ends when they have ended."""

    @state(start=True, next=["wait"])
    async def begin() -> Next:
        return wait.spawn(child(kind) for _ in range(count)).when_children_end()

    @state(next=["done"])
    async def wait(ctx: Context) -> None:
        ctx.log("all children have ended")

    return build_module(workflow=Workflow(f"{kind}Parent"), begin=begin, wait=wait, done=end())


def build_module(**members: Any) -> ModuleType:
    """Return a module with these members."""
    module = ModuleType("family", "A family.")
    vars(module).update(members)
    return module


KINDS = {"Plain": work, "Unused": work_with_unused_context, "Parent": work_with_context}


async def measure_family(store: Store, registry: Registry, kind: str) -> float:
    """Run a family, and return the seconds that its children took."""
    now = store.clock.now()
    new = registry.get_definition(f"{kind}Parent").build_instance(None, now=now)
    began = time.perf_counter()
    (created,) = await store.instances.create([new], now=now)
    while not (await store.queries.get(created.id)).has_ended:
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def run_rounds(url: str, children: int, rounds: int) -> None:
    """Run the rounds, and print the medians."""
    registry = Registry()
    for kind, handler in KINDS.items():
        registry.add(build_child_module(kind, handler))
        registry.add(build_parent_module(kind, children))
    settings = ExecutorSettings(poll_interval=timedelta(seconds=15))
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    async with open_engine(url, registry, settings) as engine:
        assert engine.executor is not None
        async with run_executor(engine.executor):
            for kind in KINDS:  # a round to warm up
                await measure_family(engine.store, registry, kind)
            for _ in range(rounds):
                for kind in KINDS:
                    seconds[kind].append(await measure_family(engine.store, registry, kind))
    for kind, measured in seconds.items():
        ratios = [one / plain for one, plain in zip(measured, seconds["Plain"], strict=True)]
        rate = children / median(measured)
        print(f"{kind:8} {rate:8,.0f} children/s   {median(ratios):.2f} times as long as without a context")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--children", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    run_loop(run_rounds(given.url, given.children, given.rounds))


if __name__ == "__main__":
    main()
