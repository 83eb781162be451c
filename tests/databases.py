"""Migrated databases for tests: migrations run once, and their result is used again."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from flowlet.store.opening import open_store

__all__ = ["GRANT_WRITES", "SCHEMA", "WRITER", "build_writer_url", "find_schema", "migrate_database"]

SCHEMA = "Work-flows of 1"
"""The schema of its own that a database may have: a name that has to be quoted, and is in no search path."""
WRITER, WRITER_PASSWORD = "flowlet_writer", "flowlet"
"""A role that may read and write the tables of that schema, and create nothing."""
GRANT_WRITES = f"""
DO $$ BEGIN
    CREATE ROLE {WRITER} LOGIN PASSWORD '{WRITER_PASSWORD}';
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA "{SCHEMA}" TO {WRITER};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{SCHEMA}" TO {WRITER};
"""


def migrate_database(url: str, *, schema: str | None = None) -> None:
    """Create the tables in an empty database, whether or not this thread runs an event loop."""

    async def run() -> None:
        async with open_store(url, schema=schema):
            pass

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(run())).result()


def build_writer_url(url: str) -> str:
    """Return the URL of a PostgreSQL database for the role that may create nothing."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{WRITER}:{WRITER_PASSWORD}@{parts.netloc.rpartition('@')[2]}").geturl()


def find_schema(url: str) -> str | None:
    """Return the schema that a test's database has its tables in: that of the role which may create nothing."""
    return SCHEMA if urlsplit(url).username == WRITER else None
