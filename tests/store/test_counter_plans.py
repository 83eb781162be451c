"""The plans of what counts and tells counts: by an index over what is open, by the key over what is of late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.queries import InstanceQueries
from flowlet.store.reports.throughput import read_throughput
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.counter_totals import MINUTE_MICROSECONDS
from tests.store.test_plans import fill_instances


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


class PlanRecordingConnections(Connections):
    """Connections that keep the plan of every query, as the database tells it."""

    def __init__(self, engine: EngineHarness, explain: str) -> None:
        self._hands = engine
        self.explain_keyword = explain
        self.dialect = engine.store.connections.dialect
        self.plans: list[str] = []

    async def read(self, work: Callable[[DatabaseSession], Any]) -> Any:
        """Run the work on a session that explains what it is asked for."""
        return await self._hands.store.connections.read(lambda session: work(PlanRecordingSession(session, self)))


class PlanRecordingSession(DatabaseSession):
    def __init__(self, session: DatabaseSession, explaining: PlanRecordingConnections) -> None:
        super().__init__(session.connection, session.dialect)
        self._explaining = explaining

    async def fetch_rows(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        plan = await super().fetch_rows(f"{self._explaining.explain_keyword} {sql}", values)
        self._explaining.plans.append("\n".join(" ".join(str(value) for value in row) for row in plan))
        return await super().fetch_rows(sql, values)


async def read_count_plans(engine: EngineHarness, explain: str) -> list[str]:
    """Return the plans of counting instances, where most have ended, half of these as FAILED."""
    await fill_instances(engine)
    await engine.execute_sql("UPDATE flowlet_workflow SET status = 'FAILED' WHERE MOD(id, 2) = 1")
    await engine.execute_sql("UPDATE flowlet_workflow SET status = 'PAUSED' WHERE status = 'NEW' AND MOD(id, 40) = 0")
    await analyze_tables(engine)
    explaining = PlanRecordingConnections(engine, explain)

    counts = await InstanceQueries(explaining, engine.store.state_names, engine.clock).count_by_type_and_status()

    assert (
        sum(counts.values())
        == (await engine.fetch_rows("SELECT COUNT(*) FROM flowlet_workflow WHERE MOD(id, 20) = 0"))[0][0]
    )
    assert {status for _, status in counts} == {"NEW", "PAUSED"}
    return explaining.plans[:1]


async def analyze_tables(engine: EngineHarness) -> None:
    table = "TABLE " if engine.store.connections.dialect.name == "mysql" else ""
    for name in ("flowlet_workflow", "flowlet_counter"):
        await engine.execute_sql(f"ANALYZE {table}{name}")


async def test_sqlite_counts_what_is_open_by_the_index_over_it(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        (plan,) = await read_count_plans(hands, "EXPLAIN QUERY PLAN")

    assert "SEARCH flowlet_workflow USING COVERING INDEX flowlet_workflow_status (status=?)" in plan


async def test_postgresql_counts_what_is_open_by_the_index_over_it(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        (plan,) = await read_count_plans(hands, "EXPLAIN")

    assert "flowlet_workflow_status" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Index Cond: (status = ANY" in plan, plan


async def test_mariadb_counts_what_is_open_by_the_index_over_it(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        (plan,) = await read_count_plans(hands, "EXPLAIN")

    assert "flowlet_workflow range flowlet_workflow_status flowlet_workflow_status" in plan, plan


async def read_throughput_plans(engine: EngineHarness, explain: str) -> list[str]:
    """Return the plan of the report of the last hour, where there are counts of many more."""
    now = engine.clock.now() - engine.clock.now() % MINUTE_MICROSECONDS
    sql = "INSERT INTO flowlet_counter VALUES (1, :start, 0, 'Orders', 1, 0, 1, 0, 0, 0)"

    async def insert_counters(session: DatabaseSession) -> None:
        for place in range(1000):
            await session.execute(sql, {"start": now - place * MINUTE_MICROSECONDS})
        counted = "transitions, failures, finished, failed, cancelled, opened"
        copied = f"{counted} FROM flowlet_counter WHERE workflow_type = 'Orders'"
        for type in ("A", "B", "C", "D", "E", "F", "G"):
            await session.execute(f"INSERT INTO flowlet_counter SELECT minutes, start, 0, '{type}', {copied}")

    await engine.store.connections.write(insert_counters)
    await analyze_tables(engine)
    explaining = PlanRecordingConnections(engine, explain)
    spans = await read_throughput(
        explaining, since=now - 60 * MINUTE_MICROSECONDS, until=now, step_microseconds=MINUTE_MICROSECONDS
    )
    assert sum(span.transitions for span in spans) == 8 * 60
    return explaining.plans


async def test_sqlite_tells_the_last_hour_by_the_key(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        (plan,) = await read_throughput_plans(hands, "EXPLAIN QUERY PLAN")

    assert "flowlet_counter_1 (minutes=? AND start>? AND start<?)" in plan, plan


async def test_postgresql_tells_the_last_hour_by_the_key(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        (plan,) = await read_throughput_plans(hands, "EXPLAIN")

    assert "flowlet_counter_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan


async def test_mariadb_tells_the_last_hour_by_the_key(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        (plan,) = await read_throughput_plans(hands, "EXPLAIN")

    assert "flowlet_counter range PRIMARY PRIMARY" in plan, plan
