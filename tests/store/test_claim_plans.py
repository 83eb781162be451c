"""The plans of each step of a claim, beside many due instances of others: it reads its own lanes and nothing else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.housekeeping.unserved import UnservedReasons
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.test_counter_plans import PlanRecordingConnections
from tests.store.test_plans import (
    ExplainingAsyncpgConnection,
    RecordingAiomysqlConnection,
    count_handler_reads,
    explain_statements,
    fill_instances,
    read_query_plans,
    set_trace_callback,
)

TYPES = ("Orders", "Own", "Missing")
GROUPS = ("default", "mail")
LANE = "executor_group=? AND workflow_type=? AND priority=?"


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


async def fill_lanes(engine: EngineHarness, analyze: str) -> None:
    """Fill the table: some 18,000 due instances of a foreign workflow, and 1,000 each that are gated, due, and ours."""
    await fill_instances(engine)
    foreign = "UPDATE flowlet_workflow SET workflow_type = 'Foreign', status = 'NEW', next_activation = 1"
    await engine.execute_sql(f"{foreign} WHERE MOD(id, 20) <> 0")
    gated = "UPDATE flowlet_workflow SET workflow_type = 'Orders', gate = 'hold:1'"
    await engine.execute_sql(f"{gated} WHERE MOD(id, 20) = 1")
    await engine.execute_sql("UPDATE flowlet_workflow SET workflow_type = 'Own' WHERE MOD(id, 40) = 0")
    await engine.execute_sql("UPDATE flowlet_workflow SET priority = 5 WHERE MOD(id, 400) = 0")
    await engine.execute_sql(f"{analyze} flowlet_workflow")


async def claim_watched(engine: EngineHarness, limit: int, watch_connection: Callable[[Any], Any]) -> None:
    """Claim on a connection that the test watches."""
    connections = engine.store.connections
    request = ClaimRequest("executor-a", GROUPS, TYPES, limit, engine.clock.now())

    async def claim(session: DatabaseSession) -> Any:
        return await connections.dialect.writes.claim(watch_connection(session.raw), request)

    assert limit // 2 < len((await connections.run_on_engine(claim)).rows) <= limit  # those of the highest priority


async def find_next_watched(engine: EngineHarness, watch_connection: Callable[[Any], Any]) -> None:
    """Look for the next due time on a connection that the test watches, which reads for the console too."""
    connections = engine.store.connections

    async def find_next(session: DatabaseSession) -> Any:
        raw = watch_connection(session.raw)
        return await connections.dialect.writes.find_next_due(raw, GROUPS, TYPES, engine.clock.now() - 1)

    assert await connections.read(find_next) == engine.clock.now()


class ReadRecordingConnections(PlanRecordingConnections):
    """Connections that keep the plan of every statement outside of a transaction."""

    async def write(self, work: Callable[[DatabaseSession], Awaitable[Any]], **options: Any) -> Any:
        return await self._hands.store.connections.write(work, **options)


async def read_explaining_plans(engine: EngineHarness, explain: str) -> list[str]:
    """Return the plans of three steps of explaining: the lanes of a group, and a page of two of them."""
    connections = ReadRecordingConnections(engine, explain)
    reasons = UnservedReasons(connections)
    await reasons.begin_lap()
    for _ in range(3):
        assert await reasons.run_step(now=engine.clock.now() + 10_000_000)
    return connections.plans[1:]  # without that of the executors


async def test_sqlite_claims_and_explains_by_lanes(sqlite_url: str) -> None:
    statements: list[str] = []
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        await fill_lanes(hands, "ANALYZE")
        connections = hands.store.connections
        for run in (connections.run_on_engine, connections.read):
            await run(lambda session: set_trace_callback(session.raw, statements.append))
        await claim_watched(hands, 100, lambda raw: raw)
        await find_next_watched(hands, lambda raw: raw)
        for run in (connections.run_on_engine, connections.read):
            await run(lambda session: set_trace_callback(session.raw, None))

        plans = await connections.run_on_engine(lambda session: read_query_plans(session.raw, statements))
        plans += "\n".join(await read_explaining_plans(hands, "EXPLAIN QUERY PLAN")).splitlines()

    looks = [line for line in plans if re.search(r"(SCAN|SEARCH) (flowlet_workflow|w)\b", line)]
    assert not [line for line in looks if "INDEX flowlet_workflow_due (exec" not in line and "PRIMARY KEY" not in line]
    used = "\n".join(looks)
    for part in ("executor_group=? AND workflow_type=?)", f"{LANE})", f"{LANE} AND next_activation<?)"):
        assert f"flowlet_workflow_due ({part}" in used, used
    assert f"flowlet_workflow_due ({LANE} AND next_activation=? AND rowid>?)" in used, used


async def test_postgresql_claims_and_explains_by_lanes(postgres_url: str) -> None:
    plans: list[str] = []
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        await fill_lanes(hands, "ANALYZE")

        await claim_watched(hands, 100, lambda raw: ExplainingAsyncpgConnection(raw, plans))
        await find_next_watched(hands, lambda raw: ExplainingAsyncpgConnection(raw, plans))
        plans += await read_explaining_plans(hands, "EXPLAIN")

    used = "\n".join(plans)
    assert not re.search(r"Seq Scan on flowlet_workflow\b", used), used
    indexes = set(re.findall(r"using (\w+) on flowlet_workflow", used))
    assert indexes == {"flowlet_workflow_due", "flowlet_workflow_pkey"}, used
    conditions = [line for line in used.splitlines() if "Index Cond: ((executor_group" in line]
    assert not [line for line in conditions if "workflow_type" not in line and "executor_group >" not in line], used
    assert "LockRows" in plans[1], "the rows of a lane are locked inside of its part, up to its share"
    assert "Sort Key: w" not in plans[1], plans[1]


async def test_mariadb_stores_what_its_indexes_are_made_of(mariadb_url: str) -> None:
    sql = (
        "SELECT column_name, extra FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND extra LIKE '%GENERATED%'"
    )
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        extras = dict(await hands.fetch_rows(sql))

    assert extras.keys() >= {"due_type", "due", "gated_status", "gated_due", "failing"}
    assert set(extras.values()) == {"STORED GENERATED"}  # indexes of virtual columns can be corrupted: MDEV-38140


async def test_mariadb_claims_and_explains_by_lanes(mariadb_url: str) -> None:
    statements: list[tuple[str, Any]] = []
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        await fill_lanes(hands, "ANALYZE TABLE")
        connections = hands.store.connections

        def watch(raw: Any) -> RecordingAiomysqlConnection:
            return RecordingAiomysqlConnection(raw, statements)

        before = await connections.run_on_engine(lambda session: count_handler_reads(session.raw))
        await claim_watched(hands, 100, watch)
        await claim_watched(hands, 8, watch)
        claimed = await connections.run_on_engine(lambda session: count_handler_reads(session.raw))
        await find_next_watched(hands, watch)
        used = await connections.run_on_engine(lambda session: explain_statements(session.raw, statements))
        plans = await read_explaining_plans(hands, "EXPLAIN")

    assert claimed - before < 10 * 108
    assert {key for _, _, key in used} <= {"flowlet_workflow_due", "PRIMARY"}
    assert not [(sql, type) for sql, type, _ in used if type in ("ALL", "index")]
    assert not [plan for plan in plans if "flowlet_workflow" in plan and "flowlet_workflow_due" not in plan]
    assert not [plan for plan in plans if "filesort" in plan and "index for group-by" not in plan], plans
