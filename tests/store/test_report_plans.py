"""The plans of what the dashboard asks: by an index, and no more of it than is shown, however much has ended."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from flowlet.store.connection import Connections, Session
from flowlet.store.reports.activity import groups, overdue, queues, recent, running, upcoming
from flowlet.store.reports.executors import executors
from tests.engine.hands import Hands, opened
from tests.store.test_plans import ORDERS, fill

LINES = """
INSERT INTO workflow_action (workflow_id, kind, at, from_state, to_state)
SELECT id, 'TRANSITION', created, 'check', 'done' FROM workflow
"""


class Watched:
    """The connections of a database, and every statement that is read by them, with its values."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.dialect = connections.dialect
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def read(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run statements that only read, and keep them."""
        return await self._connections.read(lambda session: work(Noted(session, self.asked)))


class Noted:
    """A session that notes what is asked of it."""

    def __init__(self, session: Session, asked: list[tuple[str, dict[str, Any]]]) -> None:
        self._session = session
        self.dialect = session.dialect
        self._asked = asked

    async def rows(self, sql: str, values: dict[str, Any]) -> Any:
        self._asked.append((sql, values))
        return await self._session.rows(sql, values)


async def filled(hands: Hands, analyze: str) -> None:
    """Fill the tables: 20,000 instances, a thousand of them due or due soon, twenty held, and lines of history."""
    await fill(hands)
    await hands.execute(LINES)
    soon = {"soon": hands.clock.now() + 60_000_000}
    await hands.execute("UPDATE workflow SET next_activation = :soon WHERE MOD(id, 40) = 0", soon)
    held = "UPDATE workflow SET status = 'EXECUTING', executor_id = 'executor-a' WHERE MOD(id, 1000) = 0"
    await hands.execute(held)
    await hands.hand("executor-a")
    for table in ("workflow", "workflow_action"):
        await hands.execute(f"{analyze} {table}")


async def ask(hands: Hands) -> Watched:
    """Ask for all that the dashboard shows of the large tables."""
    watched: Any = Watched(hands.store.connections)
    now = hands.clock.now()
    ahead = await queues(watched, (await groups(watched)).names)
    assert len(await running(watched, limit=5)) == 5
    assert len(await upcoming(watched, ahead, now=now, limit=5)) == 5
    assert len(await overdue(watched, ahead, now=now, limit=1)) == 1
    assert len(await recent(watched, limit=9)) == 9
    assert [one.busy > 15 for one in await executors(watched, now=now)] == [True]
    return watched  # type: ignore[no-any-return]  # the reports take it for connections


async def test_postgresql_reads_no_more_than_is_shown(postgres_url: str) -> None:
    async with opened(postgres_url, ORDERS) as hands:
        await filled(hands, "ANALYZE")
        asked = (await ask(hands)).asked

        plans = [row[0] for sql, values in asked for row in await hands.rows(f"EXPLAIN {sql}", values)]

    used = "\n".join(plans)
    assert not re.search(r"Seq Scan on workflow(_action)?\b", used), used
    assert "using workflow_due" in used
    assert "workflow_held" in used


async def test_mariadb_reads_no_more_than_is_shown(mariadb_url: str) -> None:
    async with opened(mariadb_url, ORDERS) as hands:
        await filled(hands, "ANALYZE TABLE")
        asked = (await ask(hands)).asked

        read = [(await read_by(hands, sql, values), sql) for sql, values in asked]

    assert not [each for each in read if each[0] > 300], read


async def read_by(hands: Hands, sql: str, values: dict[str, Any]) -> int:
    """Return how many rows and index entries a statement reads."""

    async def work(session: Session) -> int:
        before = await session.rows("SHOW SESSION STATUS LIKE 'Handler_read%'")
        await session.rows(sql, values)
        after = await session.rows("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(row[1]) for row in after) - sum(int(row[1]) for row in before)

    return await hands.store.connections.read(work)


async def test_sqlite_reads_no_more_than_is_shown(sqlite_url: str) -> None:
    async with opened(sqlite_url, ORDERS) as hands:
        await filled(hands, "ANALYZE")
        asked = (await ask(hands)).asked

        plans = [row[3] for sql, values in asked for row in await hands.rows(f"EXPLAIN QUERY PLAN {sql}", values)]

    used = "\n".join(plans)
    scanned = [line for line in plans if re.match(r"SCAN (workflow|w|a)\b", line)]
    assert not [line for line in scanned if "INDEX" not in line], used
    assert "workflow_due (executor_group=? AND priority=? AND next_activation>?)" in used
    assert "workflow_held" in used
