"""The plans of an admission through a limit by a variable, beside five thousand other keys: its cost is flat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from flowlet.definition.limits.limit_policy import LimitPolicy, build_limit_policy
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.limits.admission import AdmissionStore
from flowlet.store.limits.survey import AdmissionRequest
from flowlet.workflow.limits import Limit
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.gates.test_gate_plans import ORDERS_MODULE, ClaimRecordingConnections, CountingConnections
from tests.store.test_plans import fill_instances

WANTED = 8
GENERIC_AFTER = 7
"""After how many runs PostgreSQL may have made a plan that holds for all values."""


def build_policy() -> LimitPolicy:
    policy = build_limit_policy("Orders", "check", 1, limit=Limit(2, by="customer"))
    assert policy is not None
    return policy


async def fill_keys(engine: EngineHarness, analyze: str | None, key: str) -> AdmissionRequest:
    """Put twenty thousand instances behind a limit, four of each key; return a request that begins in the middle."""
    policy = build_policy()
    await engine.store.limits.save_policies([policy])
    await fill_instances(engine)
    behind = f"status = 'IN_PROGRESS', executor_group = 'default', gate = {key}, next_activation = id"
    await engine.execute_sql(f"UPDATE flowlet_workflow SET {behind}".replace("{scope}", policy.scope))
    if analyze is not None:
        await engine.execute_sql(f"{analyze} flowlet_workflow")
    return build_request(engine)


def build_request(engine: EngineHarness) -> AdmissionRequest:
    policy = build_policy()
    return AdmissionRequest(
        executor_id="executor-a",
        scope=policy.scope,
        type="Orders",
        version=1,
        policy=policy,
        groups=("default",),
        limit=WANTED,
        now=engine.clock.now(),
        after=f"{policy.scope}/3000",
    )


async def read_admission_plans(engine: EngineHarness, request: AdmissionRequest, explain: str) -> str:
    """Return the plans of an admission without that of reading the leased rows."""
    connections = ClaimRecordingConnections(engine, explain)
    admitted = await AdmissionStore(connections).admit(request)
    assert len(admitted.instances) == WANTED
    assert len({one.gate for one in admitted.instances}) == WANTED
    return "\n".join(plan for plan in connections.plans if "flowlet_workflow" in plan and "pkey" not in plan)


async def test_sqlite_admits_by_the_index_of_gates(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        request = await fill_keys(hands, "ANALYZE", "'{scope}/' || (id / 4)")

        plans = await read_admission_plans(hands, request, "EXPLAIN QUERY PLAN")

    looks = [line for line in plans.splitlines() if "flowlet_workflow" in line or " w " in line]
    assert looks
    assert not [line for line in looks if "SCAN flowlet_workflow" in line], plans
    assert "flowlet_workflow_gate (gate=? AND status=? AND priority=? AND next_activation<?)" in plans, plans


async def test_postgresql_admits_by_the_index_of_gates(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        request = await fill_keys(hands, "ANALYZE", "'{scope}/' || (id / 4)")

        plans = await read_admission_plans(hands, request, "EXPLAIN")

    assert "flowlet_workflow_gate on flowlet_workflow" in plans
    assert "Seq Scan on flowlet_workflow" not in plans, plans


async def test_postgresql_admits_by_the_index_of_gates_without_statistics(empty_postgres_url: str) -> None:
    async with open_engine(empty_postgres_url, ORDERS_MODULE) as hands:
        request = build_request(hands)
        await hands.store.limits.save_policies([build_policy()])
        for _ in range(GENERIC_AFTER):  # the sessions keep plans that were made for an empty table
            await hands.store.admission.admit(request)
        await fill_keys(hands, None, "'{scope}/' || (id / 4)")
        connections = SequentialReads(hands)

        for _ in range(GENERIC_AFTER):
            admitted = await AdmissionStore(connections).admit(request)
            assert len(admitted.instances) == WANTED
        plans = await read_admission_plans(hands, request, "EXPLAIN")

    assert connections.read_counts == [0] * 2 * GENERIC_AFTER
    assert "Seq Scan on flowlet_workflow" not in plans, plans


class SequentialReads(Connections):
    """Connections that count the rows of instances that each unit of work has read by no index."""

    def __init__(self, engine: EngineHarness) -> None:
        self._hands = engine
        self.read_counts: list[int] = []

    async def read(self, work: Callable[[DatabaseSession], Awaitable[Any]]) -> Any:
        return await self.write(work)

    async def write(self, work: Callable[[DatabaseSession], Awaitable[Any]], **options: Any) -> Any:
        return await self._hands.store.connections.write(lambda session: self._count(session, work), **options)

    async def _count(self, session: DatabaseSession, work: Callable[[DatabaseSession], Awaitable[Any]]) -> Any:
        sql = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'flowlet_workflow'"
        ((before,),) = await session.fetch_rows(sql)
        result = await work(session)
        ((after,),) = await session.fetch_rows(sql)
        self.read_counts.append(int(after) - int(before))
        return result


async def test_mariadb_admits_by_the_index_of_gates(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        request = await fill_keys(hands, "ANALYZE TABLE", "CONCAT('{scope}/', id DIV 4)")
        connections = CountingConnections(hands)

        await AdmissionStore(connections).admit(request)

    surveyed, admitted = connections.read_counts
    assert surveyed < 500
    assert admitted < 500
