"""Fill an empty database with instances and histories, such as the million for the figures of the pages.

    python benchmarks/fill.py postgresql://postgres@127.0.0.1/million --workflows 1000000 --lines 5
    python benchmarks/fill.py sqlite:////tmp/many.db --workflows 200000

It bypasses the store and uses each database's fastest method: COPY, one long transaction, multi-row inserts. The same
seed gives the same rows, with times relative to now. The definitions are in ``benchmarks/lives``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import asyncpg
import pymysql
from histories import InstanceHistory, generate_histories
from people import fill_people

from flowlet.database_url import normalize_database_url
from flowlet.definition.registry import Registry
from flowlet.instance.instance import Status
from flowlet.store.counter_buckets import (
    COUNTER_ROW_NAMES,
    MINUTE,
    SHARED_WRITER_ID,
    CounterBucket,
    count_end,
    sum_buckets,
)
from flowlet.store.counters import ROLLUP_LEVELS
from flowlet.store.opening import Store, open_store
from flowlet.store.rows import ACTION_COLUMNS
from flowlet.store.tables import WORKFLOW

WORKFLOW_MODULES = sorted(str(path) for path in (Path(__file__).with_name("lives")).glob("*.py"))
CHUNK_SIZE = 20_000
TABLES = ("flowlet_workflow", "flowlet_action")


class BulkWriter(Protocol):
    """A connection that writes many rows at once."""

    async def write(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None: ...

    async def finish(self) -> None: ...


class PostgresBulkWriter:
    """Writes by COPY, and creates the indexes that are not constraints afterwards."""

    def __init__(self, connection: Any, indexes: list[tuple[str, str]]) -> None:
        self._connection = connection
        self._indexes = indexes

    @classmethod
    async def open(cls, url: str) -> PostgresBulkWriter:
        connection = await asyncpg.connect(url)
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        found = await connection.fetch(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE indrelid = ANY($1::regclass[]) AND NOT indisunique",
            list(TABLES),
        )
        for name, _ in found:
            await connection.execute(f"DROP INDEX {name}")
        return cls(connection, [tuple(row) for row in found])

    async def write(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        await self._connection.copy_records_to_table(table, records=rows, columns=columns)

    async def finish(self) -> None:
        for _, definition in self._indexes:
            await self._connection.execute(definition)
        for table in TABLES:
            await self._connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))"
            )
        await self._connection.execute("VACUUM ANALYZE")
        await self._connection.close()


class SQLiteBulkWriter:
    """Writes each chunk in one transaction, without waiting for the disk."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA cache_size = -500000")

    async def write(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns))
        with self._connection as connection:
            connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    async def finish(self) -> None:
        self._connection.execute("ANALYZE")
        self._connection.commit()
        self._connection.close()


class MySQLBulkWriter:
    """Writes by multi-row inserts."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path.strip("/"),
            charset="utf8mb4",
        )
        with self._connection.cursor() as cursor:
            cursor.execute("SET SESSION unique_checks = 0")

    async def write(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join(["%s"] * len(columns))
        with self._connection.cursor() as cursor:
            cursor.max_stmt_length = 4_000_000
            cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        self._connection.commit()

    async def finish(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f"ANALYZE TABLE {', '.join(TABLES)}")
            cursor.fetchall()
        self._connection.close()


async def open_writer(url: str) -> BulkWriter:
    """Return the writer for the database of a URL."""
    if url.startswith("postgresql"):
        return await PostgresBulkWriter.open(url)
    if url.startswith("mysql"):
        return MySQLBulkWriter(url)
    return SQLiteBulkWriter(unquote(url.removeprefix("sqlite:///").partition("?")[0]))


def generate_counts(history: InstanceHistory, *, now: int) -> Iterator[CounterBucket]:
    """Return the counts of an instance, in the time spans that the store keeps for their age."""
    name = history.row["workflow_type"]
    for action in history.actions:
        if action["kind"] in ("TRANSITION", "ERROR"):
            is_move = action["kind"] == "TRANSITION"
            yield CounterBucket(*_find_span(action["at"], now), name, int(is_move), int(not is_move))
    if (at := history.row["ended"]) is not None:
        minutes, start = _find_span(at, now)
        yield count_end(Status(history.row["status"]), minutes=minutes, start=start, type=name)


def _find_span(at: int, now: int) -> tuple[int, int]:
    return next(
        ((minutes, at - at % size) for age, minutes, size in ROLLUP_LEVELS if at < now - age), (1, at - at % MINUTE)
    )


def split_chunks(instances: Iterable[InstanceHistory], size: int) -> Iterator[list[InstanceHistory]]:
    """Return the histories in lists of at most ``size``."""
    rest = iter(instances)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


async def fill_database(store: Store, url: str, arguments: argparse.Namespace) -> None:
    """Write everything, and print how long it took."""
    if await store.connections.read(lambda session: session.fetch_rows("SELECT 1 FROM flowlet_workflow LIMIT 1")):
        raise SystemExit("the database already has workflows: give an empty one")
    registry = Registry()
    registry.load_all(WORKFLOW_MODULES)
    await store.definitions.save_definitions(registry.definitions, now=store.clock.now())
    writer, began = await open_writer(url), time.perf_counter()
    now = store.clock.now()
    counts: list[CounterBucket] = []
    written = lines = 0
    made = generate_histories(arguments.workflows, arguments.lines, now=now)
    columns: tuple[str, ...] = ()
    action_names = tuple(column.name for column in ACTION_COLUMNS)
    for chunk in split_chunks(made, CHUNK_SIZE):
        columns = columns or tuple(one.name for one in WORKFLOW.columns if one.name in chunk[0].row)
        await writer.write("flowlet_workflow", columns, [tuple([one.row[name] for name in columns]) for one in chunk])
        actions = [tuple([line.get(name) for name in action_names]) for one in chunk for line in one.actions]
        await writer.write("flowlet_action", action_names, actions)
        counts = sum_buckets([*counts, *(count for one in chunk for count in generate_counts(one, now=now))])
        written, lines = written + len(chunk), lines + len(actions)
        print(f"\r{written:,} workflows, {lines:,} lines, {time.perf_counter() - began:.0f} s", end="", flush=True)
    await writer.write(
        "flowlet_counter",
        COUNTER_ROW_NAMES,
        [(SHARED_WRITER_ID, *one) for one in counts],
    )
    await fill_people(store, registry, writer)
    print("\nindexes and statistics ...", flush=True)
    await writer.finish()
    print(f"filled in {time.perf_counter() - began:.0f} s")


async def main(arguments: argparse.Namespace) -> None:
    """Fill the database."""
    async with open_store(arguments.url) as store:
        await fill_database(store, normalize_database_url(arguments.url), arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--workflows", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=5, help="the average number of actions of a workflow")
    asyncio.run(main(parser.parse_args()))
