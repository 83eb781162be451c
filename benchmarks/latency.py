"""Latency from a create to its first handler on an idle executor, by the same process and by another connection.

python benchmarks/latency.py sqlite:////tmp/bench.db
python benchmarks/latency.py postgresql://postgres@127.0.0.1/bench
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack

import uvloop

from flowlet import Workflow, end, state
from flowlet.assembly import open_engine, run_executor
from flowlet.definition.registry import Registry
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store

workflow = Workflow("Latency")
handler_times: asyncio.Queue[float] = asyncio.Queue()


@state(start=True, next=["done"])
async def begin() -> None:
    """Record the time."""
    handler_times.put_nowait(time.perf_counter())


done = end()


async def measure_latency(operations: Operations, singles: int) -> list[float]:
    """Create workflows one by one, and return the milliseconds until each one's handler ran, sorted."""
    taken = []
    for _ in range(singles):
        at = time.perf_counter()
        await operations.create("Latency")
        taken.append((await handler_times.get() - at) * 1000)
        await asyncio.sleep(0.02)
    return sorted(taken)


async def main(url: str, singles: int) -> None:
    """Run an executor, measure, and print."""
    registry = Registry()
    registry.add(sys.modules[__name__])
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(url, registry, ExecutorSettings()))
        other = await stack.enter_async_context(open_store(url))
        assert engine.executor is not None
        await stack.enter_async_context(run_executor(engine.executor))
        for name, operations in (
            ("same process", engine.operations),
            ("another connection", Operations(other, registry)),
        ):
            await measure_latency(operations, 10)
            taken = await measure_latency(operations, singles)
            p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
            figures = f"median {p50:5.1f} ms, p99 {p99:5.1f} ms, max {taken[-1]:5.1f} ms"
            print(f"{name:21} {figures} of {singles}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--singles", type=int, default=200)
    given = parser.parse_args()
    uvloop.run(main(given.url, given.singles))
