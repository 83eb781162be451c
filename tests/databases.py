"""Migrated databases for tests: migrations run once, and their result is used again."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from flowlet.store.opening import open_store

__all__ = ["migrate_database"]


def migrate_database(url: str) -> None:
    """Create the tables in an empty database, whether or not this thread runs an event loop."""

    async def run() -> None:
        async with open_store(url):
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(run())).result()
