"""Workflows of three durable steps on pgqueuer: each step is a job that enqueues the next one when it has run.

    python pgqueuer_steps.py postgresql://postgres@127.0.0.1/bench 1000

Prints the workflows per second as JSON. Runs in the environment of the peers (``benchmarks/bench.py``).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta

import asyncpg
from pgqueuer import AsyncpgPoolDriver, Job, PgQueuer

STEPS = ("check", "charge", "ship")


async def main(url: str, workflows: int) -> None:
    """Enqueue the first steps, then run all steps, and print the rate."""
    async with asyncpg.create_pool(url, min_size=2, max_size=10) as pool:
        queue = PgQueuer(AsyncpgPoolDriver(pool))
        await queue.qm.queries.install()
        ended = 0
        has_ended = asyncio.Event()

        def define_step(name: str, following: str | None) -> None:
            @queue.entrypoint(name)
            async def run_step(job: Job) -> None:
                nonlocal ended
                if following is not None:
                    await queue.qm.queries.enqueue(following, job.payload)
                    return
                ended += 1
                if ended == workflows:
                    has_ended.set()

        for name, following in zip(STEPS, (*STEPS[1:], None), strict=True):
            define_step(name, following)
        numbers = [str(number).encode() for number in range(workflows)]
        await queue.qm.queries.enqueue([STEPS[0]] * workflows, numbers, [0] * workflows)
        began = time.perf_counter()
        running = asyncio.create_task(queue.run(dequeue_timeout=timedelta(seconds=1), batch_size=160))
        await has_ended.wait()
        rate = workflows / (time.perf_counter() - began)
        queue.shutdown.set()
        await running
    print(json.dumps({"rate": rate}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
