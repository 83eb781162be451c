"""The plans of what the dashboard asks: by an index, and no more of it than is shown, however much has ended."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.reports.activity import (
    read_groups,
    read_overdue,
    read_queues,
    read_recent_actions,
    read_running,
    read_upcoming,
)
from flowlet.store.reports.executors import read_executors
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.test_plans import ORDERS_MODULE, fill_instances

INSERT_HISTORY_SQL = """
INSERT INTO flowlet_action (workflow_id, kind, at, from_state, to_state)
SELECT id, 'TRANSITION', created, 'check', 'done' FROM flowlet_workflow
"""


class RecordingConnections:
    """The connections of a database, and every statement that is read by them, with its values."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.dialect = connections.dialect
        self.statements: list[tuple[str, dict[str, Any]]] = []

    async def read(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run statements that only read, and keep them."""
        return await self._connections.read(lambda session: work(RecordingSession(session, self.statements)))


class RecordingSession:
    """A session that notes what is asked of it."""

    def __init__(self, session: DatabaseSession, asked: list[tuple[str, dict[str, Any]]]) -> None:
        self._session = session
        self.dialect = session.dialect
        self._asked = asked

    async def fetch_rows(self, sql: str, values: dict[str, Any]) -> Any:
        self._asked.append((sql, values))
        return await self._session.fetch_rows(sql, values)


async def fill_tables(engine: EngineHarness, analyze: str) -> None:
    """Fill the tables: 20,000 instances, a thousand of them due or due soon, twenty held, and lines of history."""
    await fill_instances(engine)
    await engine.execute_sql(INSERT_HISTORY_SQL)
    soon = {"soon": engine.clock.now() + 60_000_000}
    await engine.execute_sql("UPDATE flowlet_workflow SET next_activation = :soon WHERE MOD(id, 40) = 0", soon)
    held = "UPDATE flowlet_workflow SET status = 'EXECUTING', executor_id = 'executor-a' WHERE MOD(id, 1000) = 0"
    await engine.execute_sql(held)
    await engine.add_executor("executor-a")
    for table in ("flowlet_workflow", "flowlet_action"):
        await engine.execute_sql(f"{analyze} {table}")


async def read_dashboard(engine: EngineHarness) -> RecordingConnections:
    """Ask for all that the dashboard shows of the large tables."""
    watched: Any = RecordingConnections(engine.store.connections)
    now = engine.clock.now()
    ahead = await read_queues(watched, (await read_groups(watched)).names)
    assert len(await read_running(watched, limit=5)) == 5
    assert len(await read_upcoming(watched, ahead, now=now, limit=5)) == 5
    assert len(await read_overdue(watched, ahead, now=now, limit=1)) == 1
    assert len(await read_recent_actions(watched, limit=9)) == 9
    assert [one.busy > 15 for one in await read_executors(watched, now=now)] == [True]
    return watched  # type: ignore[no-any-return]  # the reports take it for connections


async def test_postgresql_reads_no_more_than_is_shown(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        await fill_tables(hands, "ANALYZE")
        asked = (await read_dashboard(hands)).statements

        plans = [row[0] for sql, values in asked for row in await hands.fetch_rows(f"EXPLAIN {sql}", values)]

    used = "\n".join(plans)
    assert not re.search(r"Seq Scan on flowlet_(workflow|action)\b", used), used
    assert "using flowlet_workflow_due" in used
    assert "flowlet_workflow_held" in used


async def test_mariadb_reads_no_more_than_is_shown(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        await fill_tables(hands, "ANALYZE TABLE")
        asked = (await read_dashboard(hands)).statements

        read = [(await count_rows_read(hands, sql, values), sql) for sql, values in asked]

    assert not [each for each in read if each[0] > 300], read


async def count_rows_read(engine: EngineHarness, sql: str, values: dict[str, Any]) -> int:
    """Return how many rows and index entries a statement reads."""

    async def measure_reads(session: DatabaseSession) -> int:
        before = await session.fetch_rows("SHOW SESSION STATUS LIKE 'Handler_read%'")
        await session.fetch_rows(sql, values)
        after = await session.fetch_rows("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(row[1]) for row in after) - sum(int(row[1]) for row in before)

    return await engine.store.connections.read(measure_reads)


async def test_sqlite_reads_no_more_than_is_shown(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        await fill_tables(hands, "ANALYZE")
        asked = (await read_dashboard(hands)).statements

        plans = [row[3] for sql, values in asked for row in await hands.fetch_rows(f"EXPLAIN QUERY PLAN {sql}", values)]

    used = "\n".join(plans)
    scanned = [line for line in plans if re.match(r"SCAN (flowlet_workflow|w|a)\b", line)]
    assert not [line for line in scanned if "INDEX" not in line], used
    lane = "executor_group=? AND workflow_type=? AND priority=?"
    assert f"flowlet_workflow_due ({lane} AND next_activation>?)" in used
    assert "flowlet_workflow_held" in used
