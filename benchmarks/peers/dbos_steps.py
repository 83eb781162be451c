"""Workflows of three durable steps on DBOS, in its system database on PostgreSQL or SQLite.

    python dbos_steps.py postgresql://postgres@127.0.0.1/bench 1000

Prints the workflows per second as JSON. Runs in the environment of the peers (``benchmarks/bench.py``). DBOS has no
backlog that is drained: the rate is from the first start to the last end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dbos import DBOS, DBOSConfig

RUNNING = 64
"""How many workflows run at once."""


async def main(url: str, workflows: int) -> None:
    """Run the workflows, and print the rate."""
    config: DBOSConfig = {"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False}
    DBOS(config=config)

    @DBOS.step()
    async def run_step(number: int) -> int:
        return number

    @DBOS.workflow()
    async def run_workflow(number: int) -> int:
        for _ in range(3):
            number = await run_step(number)
        return number

    DBOS.launch()
    turns = asyncio.Semaphore(RUNNING)

    async def run_one(number: int) -> None:
        async with turns:
            await run_workflow(number)

    began = time.perf_counter()
    await asyncio.gather(*(run_one(number) for number in range(workflows)))
    rate = workflows / (time.perf_counter() - began)
    DBOS.destroy()
    print(json.dumps({"rate": rate}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
