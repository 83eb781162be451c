"""The plans of what counts and tells counts: by an index over what is open, by the key over what is of late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowlet.store.connection import Connections, Session
from flowlet.store.reads import Reads
from flowlet.store.reports.throughput import throughput
from tests.engine.hands import Hands, opened
from tests.engine.making import one_state, workflow_module
from tests.store.tallying import MINUTE
from tests.store.test_plans import fill


async def finishing() -> str:
    return "done"


ORDERS = workflow_module(**one_state(finishing))


class Explaining(Connections):
    """Connections that keep the plan of every query, as the database tells it."""

    def __init__(self, hands: Hands, explain: str) -> None:
        self._hands = hands
        self.word = explain
        self.dialect = hands.store.connections.dialect
        self.plans: list[str] = []

    async def read(self, work: Callable[[Session], Any]) -> Any:
        """Run the work on a session that explains what it is asked for."""
        return await self._hands.store.connections.read(lambda session: work(_Explained(session, self)))


class _Explained(Session):
    def __init__(self, session: Session, explaining: Explaining) -> None:
        super().__init__(session.connection, session.dialect)
        self._explaining = explaining

    async def rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        plan = await super().rows(f"{self._explaining.word} {sql}", values)
        self._explaining.plans.append("\n".join(" ".join(str(value) for value in row) for row in plan))
        return await super().rows(sql, values)


async def plans_of_counts(hands: Hands, explain: str) -> list[str]:
    """Return the plans of counting instances, where most have ended, half of these as FAILED."""
    await fill(hands)
    await hands.execute("UPDATE workflow SET status = 'FAILED' WHERE MOD(id, 2) = 1")
    await hands.execute("UPDATE workflow SET status = 'PAUSED' WHERE status = 'NEW' AND MOD(id, 40) = 0")
    await analyse(hands)
    explaining = Explaining(hands, explain)

    counts = await Reads(explaining).counts()

    assert sum(counts.values()) == (await hands.rows("SELECT COUNT(*) FROM workflow WHERE MOD(id, 20) = 0"))[0][0]
    assert {status for _, status in counts} == {"NEW", "PAUSED"}
    return explaining.plans[:1]


async def analyse(hands: Hands) -> None:
    table = "TABLE " if hands.store.connections.dialect.name == "mysql" else ""
    for name in ("workflow", "workflow_tally"):
        await hands.execute(f"ANALYZE {table}{name}")


async def test_sqlite_counts_what_is_open_by_the_index_over_it(sqlite_url: str) -> None:
    async with opened(sqlite_url, ORDERS) as hands:
        (plan,) = await plans_of_counts(hands, "EXPLAIN QUERY PLAN")

    assert "SEARCH workflow USING COVERING INDEX workflow_status (status=?)" in plan


async def test_postgresql_counts_what_is_open_by_the_index_over_it(postgres_url: str) -> None:
    async with opened(postgres_url, ORDERS) as hands:
        (plan,) = await plans_of_counts(hands, "EXPLAIN")

    assert "workflow_status" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Index Cond: (status = ANY" in plan, plan


async def test_mariadb_counts_what_is_open_by_the_index_over_it(mariadb_url: str) -> None:
    async with opened(mariadb_url, ORDERS) as hands:
        (plan,) = await plans_of_counts(hands, "EXPLAIN")

    assert "workflow range workflow_status workflow_status" in plan, plan


async def plans_of_throughput(hands: Hands, explain: str) -> list[str]:
    """Return the plan of the report of the last hour, where there are counts of many more."""
    now = hands.clock.now() - hands.clock.now() % MINUTE
    sql = "INSERT INTO workflow_tally VALUES (1, :start, 0, 'Orders', 1, 0, 1, 0, 0)"

    async def work(session: Session) -> None:
        for place in range(1000):
            await session.execute(sql, {"start": now - place * MINUTE})
        copied = "transitions, failures, finished, failed, cancelled FROM workflow_tally WHERE workflow_type = 'Orders'"
        for type in ("A", "B", "C", "D", "E", "F", "G"):
            await session.execute(f"INSERT INTO workflow_tally SELECT minutes, start, 0, '{type}', {copied}")

    await hands.store.connections.write(work)
    await analyse(hands)
    explaining = Explaining(hands, explain)
    spans = await throughput(explaining, since=now - 60 * MINUTE, until=now, step=MINUTE)
    assert sum(span.transitions for span in spans) == 8 * 60
    return explaining.plans


async def test_sqlite_tells_the_last_hour_by_the_key(sqlite_url: str) -> None:
    async with opened(sqlite_url, ORDERS) as hands:
        (plan,) = await plans_of_throughput(hands, "EXPLAIN QUERY PLAN")

    assert "workflow_tally_1 (minutes=? AND start>? AND start<?)" in plan, plan


async def test_postgresql_tells_the_last_hour_by_the_key(postgres_url: str) -> None:
    async with opened(postgres_url, ORDERS) as hands:
        (plan,) = await plans_of_throughput(hands, "EXPLAIN")

    assert "workflow_tally_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan


async def test_mariadb_tells_the_last_hour_by_the_key(mariadb_url: str) -> None:
    async with opened(mariadb_url, ORDERS) as hands:
        (plan,) = await plans_of_throughput(hands, "EXPLAIN")

    assert "workflow_tally range PRIMARY PRIMARY" in plan, plan
