"""A client that locks rows in a transaction of the engine, prints a line, and says nothing any more.

Run as: python -m tests.chaos.machine.silent_client URL
"""

from __future__ import annotations

import asyncio
import sys

from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store

__all__ = ["LOCK_SQL", "run_client"]

LOCK_SQL = "SELECT step FROM flowlet_schema_version FOR UPDATE"


async def run_client(url: str) -> None:
    """Lock the rows until this process ends."""

    async def lock_and_wait(session: DatabaseSession) -> None:
        await session.execute("BEGIN")
        await session.fetch_rows(LOCK_SQL)
        print("locked", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.Event().wait()

    async with open_store(url) as store:
        await store.connections.run_on_engine(lock_and_wait)


if __name__ == "__main__":
    asyncio.run(run_client(sys.argv[1]))
