"""The plans of looking for gates, and of a claim through one, beside many instances behind it and behind others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.gates.version_gates import GatedClaim, VersionGates
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.test_counter_plans import PlanRecordingConnections, PlanRecordingSession
from tests.store.test_plans import count_handler_reads, fill_instances

GATES = ("version:000000000000/000000000000", "version:000000000000/111111111111")
CLAIM_LIMIT = 100


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


class ClaimRecordingConnections(PlanRecordingConnections):
    """Connections that keep the plan of every query, and claim in a transaction."""

    async def write(self, work: Callable[[DatabaseSession], Awaitable[Any]], **options: Any) -> Any:
        connections = self._hands.store.connections
        return await connections.write(lambda session: work(PlanRecordingSession(session, self)), **options)


async def fill_gates(engine: EngineHarness, analyze: str) -> None:
    """Put all but a few of twenty thousand instances behind two gates: due, in two priorities, or due much later."""
    await fill_instances(engine)
    behind = f"status = 'IN_PROGRESS', gate = '{GATES[0]}', next_activation = id"
    await engine.execute_sql(f"UPDATE flowlet_workflow SET {behind} WHERE MOD(id, 20) <> 0")
    await engine.execute_sql(f"UPDATE flowlet_workflow SET gate = '{GATES[1]}' WHERE MOD(id, 20) = 1")
    await engine.execute_sql("UPDATE flowlet_workflow SET priority = 5 WHERE MOD(id, 20) = 2")
    later = engine.clock.now() + 1_000_000
    await engine.execute_sql(
        f"UPDATE flowlet_workflow SET priority = 7, next_activation = {later} WHERE MOD(id, 4) = 3"
    )
    await engine.execute_sql(f"{analyze} flowlet_workflow")


async def read_gate_plans(engine: EngineHarness, explain: str) -> list[str]:
    """Return the plans of a look for gates, and of a claim through one of them."""
    connections = ClaimRecordingConnections(engine, explain)
    gates = VersionGates(connections)
    assert (await gates.find_gates()).versions == GATES
    claimed, next_due = await gates.claim(GatedClaim("executor-a", GATES[0], CLAIM_LIMIT, engine.clock.now()))

    assert [instance.priority for instance in claimed] == [5] * CLAIM_LIMIT
    assert {instance.gate for instance in claimed} == {GATES[0]}
    assert next_due == engine.clock.now() + 1_000_000
    assert len(connections.plans) == len(GATES) + 1 + 3, "the gates and their end; first due, the rows, their columns"
    return connections.plans[:-1]


async def test_sqlite_looks_and_claims_by_the_index_of_gates(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        await fill_gates(hands, "ANALYZE")

        plans = "\n".join(await read_gate_plans(hands, "EXPLAIN QUERY PLAN"))

    looks = [line for line in plans.splitlines() if "flowlet_workflow" in line]
    assert looks
    assert not [line for line in looks if "INDEX flowlet_workflow_gate (gate" not in line], plans
    assert "flowlet_workflow_gate (gate=? AND status=? AND priority=? AND next_activation<?)" in plans, plans
    assert "TEMP B-TREE" not in plans


async def test_postgresql_looks_and_claims_by_the_index_of_gates(postgres_url: str) -> None:
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        await fill_gates(hands, "ANALYZE")

        plans = "\n".join(await read_gate_plans(hands, "EXPLAIN"))

    assert "flowlet_workflow_gate on flowlet_workflow" in plans
    assert "Seq Scan on flowlet_workflow" not in plans, plans
    assert "Sort" not in plans, plans


async def test_mariadb_looks_and_claims_by_the_index_of_gates(mariadb_url: str) -> None:
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        await fill_gates(hands, "ANALYZE TABLE")
        connections = CountingConnections(hands)
        gates = VersionGates(connections)

        await gates.find_gates()
        await gates.claim(GatedClaim("executor-a", GATES[0], CLAIM_LIMIT, hands.clock.now()))
        plans = await read_gate_plans(hands, "EXPLAIN")

    looked, claimed = connections.read_counts
    assert looked < 20
    assert claimed < 10 * CLAIM_LIMIT
    tables = [line for plan in plans for line in plan.splitlines() if "flowlet_workflow" in line]
    assert not [line for line in tables if "flowlet_workflow_gate" not in line], plans
    assert not [plan for plan in plans if "filesort" in plan], plans


class CountingConnections(Connections):
    """Connections that count the rows and index entries that each unit of work has read."""

    def __init__(self, engine: EngineHarness) -> None:
        self._hands = engine
        self.read_counts: list[int] = []

    async def read(self, work: Callable[[DatabaseSession], Awaitable[Any]]) -> Any:
        return await self._hands.store.connections.read(lambda session: self._count(session, work))

    async def write(self, work: Callable[[DatabaseSession], Awaitable[Any]], **options: Any) -> Any:
        return await self._hands.store.connections.write(lambda session: self._count(session, work), **options)

    async def _count(self, session: DatabaseSession, work: Callable[[DatabaseSession], Awaitable[Any]]) -> Any:
        before = await count_handler_reads(session.raw)
        result = await work(session)
        self.read_counts.append(await count_handler_reads(session.raw) - before)
        return result
