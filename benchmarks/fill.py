"""Fill an empty database with instances and histories, such as the million for the figures of the pages.

    python benchmarks/fill.py postgresql://postgres@127.0.0.1/million --workflows 1000000 --lines 5
    python benchmarks/fill.py postgresql://postgres@127.0.0.1/large --finished 10000000 --waiting 1000000
    python benchmarks/fill.py sqlite:////tmp/many.db --workflows 200000

It bypasses the store and uses each database's fastest method: COPY, one long transaction, multi-row inserts. The same
seed gives the same rows, with times relative to now. The definitions are in ``benchmarks/lives``. It makes the next
rows while the database writes the last ones, and keeps no others in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import asyncpg
import pymysql
from histories import InstanceHistory, draw_statuses, generate_histories
from people import fill_people

from flowlet.database_url import normalize_database_url
from flowlet.definition.registry import Registry
from flowlet.instance.instance import Status
from flowlet.store.counter_buckets import (
    COUNTER_ROW_NAMES,
    END_COLUMNS,
    MINUTE,
    SHARED_WRITER_ID,
    CounterBucket,
    sum_buckets,
)
from flowlet.store.counters import ROLLUP_LEVELS
from flowlet.store.opening import Store, open_store
from flowlet.store.rows import ACTION_COLUMNS
from flowlet.store.tables import WORKFLOW

WORKFLOW_MODULES = sorted(str(path) for path in (Path(__file__).with_name("lives")).glob("*.py"))
CHUNK_SIZE = 20_000
TABLES = ("flowlet_workflow", "flowlet_action")
ACTION_NAMES = tuple(column.name for column in ACTION_COLUMNS)
COUNTED_KINDS = {"TRANSITION": "transitions", "ERROR": "failures"}


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


class HistoryCounts:
    """The counts of all instances, in the time spans that the store keeps for their age."""

    def __init__(self, now: int) -> None:
        self._levels = [(now - age, minutes, size) for age, minutes, size in ROLLUP_LEVELS]
        self._amounts: Counter[tuple[int, int, str, str]] = Counter()

    def add(self, history: InstanceHistory) -> None:
        """Add what happened to an instance."""
        name, ended = history.row["workflow_type"], history.row["ended"]
        for action in history.actions:
            if (column := COUNTED_KINDS.get(action["kind"])) is not None:
                self._amounts[*self._find_span(action["at"]), name, column] += 1
        if ended is not None:
            self._amounts[*self._find_span(ended), name, END_COLUMNS[Status(history.row["status"])]] += 1

    def sum_up(self) -> list[CounterBucket]:
        """Return one count for each span and type."""
        return sum_buckets(
            CounterBucket(minutes, start, name, **{column: amount})
            for (minutes, start, name, column), amount in self._amounts.items()
        )

    def _find_span(self, at: int) -> tuple[int, int]:
        for limit, minutes, size in self._levels:
            if at < limit:
                return minutes, at - at % size
        return 1, at - at % MINUTE


@dataclass
class Chunk:
    """Rows that are written together."""

    columns: tuple[str, ...]
    instances: list[tuple[Any, ...]]
    actions: list[tuple[Any, ...]]


def build_chunks(histories: Iterable[InstanceHistory], counts: HistoryCounts) -> Iterator[Chunk]:
    """Return the rows of the histories in chunks, and count them."""
    rest = iter(histories)
    columns: tuple[str, ...] = ()
    while made := list(itertools.islice(rest, CHUNK_SIZE)):
        columns = columns or tuple(one.name for one in WORKFLOW.columns if one.name in made[0].row)
        for one in made:
            counts.add(one)
        yield Chunk(
            columns,
            [tuple([one.row[name] for name in columns]) for one in made],
            [tuple([line.get(name) for name in ACTION_NAMES]) for one in made for line in one.actions],
        )


async def fill_database(store: Store, url: str, arguments: argparse.Namespace) -> None:
    """Write everything, and print how long it took."""
    if await store.connections.read(lambda session: session.fetch_rows("SELECT 1 FROM flowlet_workflow LIMIT 1")):
        raise SystemExit("the database already has workflows: give an empty one")
    registry = Registry()
    registry.load_all(WORKFLOW_MODULES)
    await store.definitions.save_definitions(registry.definitions, now=store.clock.now())
    writer, began = await open_writer(url), time.perf_counter()
    counts = await write_histories(writer, arguments, now=store.clock.now())
    await writer.write("flowlet_counter", COUNTER_ROW_NAMES, [(SHARED_WRITER_ID, *one) for one in counts])
    await fill_people(store, registry, writer)
    print(f"\nindexes and statistics after {time.perf_counter() - began:.0f} s ...", flush=True)
    await writer.finish()
    print(f"filled in {time.perf_counter() - began:.0f} s")


async def write_histories(writer: BulkWriter, arguments: argparse.Namespace, *, now: int) -> list[CounterBucket]:
    """Write the instances and their histories, and return the counts of what happened to them."""
    began, counts, instances, lines = time.perf_counter(), HistoryCounts(now), 0, 0
    chunks = build_chunks(choose_histories(arguments, now=now), counts)
    chunk = next(chunks, None)
    while chunk is not None:
        making = asyncio.create_task(asyncio.to_thread(next, chunks, None))
        await writer.write("flowlet_workflow", chunk.columns, chunk.instances)
        await writer.write("flowlet_action", ACTION_NAMES, chunk.actions)
        instances, lines = instances + len(chunk.instances), lines + len(chunk.actions)
        print(f"\r{instances:,} workflows, {lines:,} lines, {time.perf_counter() - began:.0f} s", end="", flush=True)
        chunk = await making
    return counts.sum_up()


def choose_histories(arguments: argparse.Namespace, *, now: int) -> Iterator[InstanceHistory]:
    """Return the histories of the mix that the options describe."""
    finished, waiting = arguments.finished, arguments.waiting
    if not finished + waiting:
        return generate_histories(arguments.workflows, arguments.lines, now=now)
    statuses = draw_statuses(finished, waiting)
    return generate_histories(finished + waiting, arguments.lines, now=now, statuses=statuses)


async def main(arguments: argparse.Namespace) -> None:
    """Fill the database."""
    async with open_store(arguments.url) as store:
        await fill_database(store, normalize_database_url(arguments.url), arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--workflows", type=int, default=1_000_000)
    parser.add_argument("--finished", type=int, default=0, help="make exactly so many FINISHED ones, instead")
    parser.add_argument("--waiting", type=int, default=0, help="and exactly so many WAITING ones, and no others")
    parser.add_argument("--lines", type=int, default=5, help="the average number of actions of a workflow")
    gc.disable()  # no row is part of a cycle, and the collector takes a fifth of the time that making them takes
    asyncio.run(main(parser.parse_args()))
