"""The instances that wait for another version: counted by the index of gates, and grouped by state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.instance.instance import Status
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.store.database_session import DatabaseSession
from flowlet.store.gates.gated_instances import (
    GatedGroup,
    _count_in_session,
    count_gated_by_type,
    read_gated_groups,
)
from flowlet.store.gates.version_gates import GatedClaim, GatedInstances
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.store.search.test_plans import ANALYZE_SQL, ExplainingSearchSession
from tests.store.store_harness import NOW, StoreHarness

BY_INDEX = {
    "sqlite": "USING COVERING INDEX flowlet_workflow_gate",
    "postgresql": "Index Only Scan using flowlet_workflow_gate",
    "mysql": "flowlet_workflow_gate",
}


@pytest.fixture
async def store_harness(database_url: str) -> AsyncIterator[StoreHarness]:
    async with open_store(database_url, schema=find_schema(database_url), clock=VirtualClock()) as store:
        yield StoreHarness(store)


def build_gate(type: str, *digests: str, group: str = "default") -> str:
    return str(VersionGate(compute_lane(type, group), digests))


async def create_gated(store_harness: StoreHarness, gate: str, *, type: str = "Orders", **columns: Any) -> int:
    given = {"status": Status.IN_PROGRESS, "state": "pay", "reason": "waits for another version: no such state"}
    return await store_harness.create_instance(type=type, gate=gate, **{**given, **columns})


async def test_they_are_counted_by_workflow_over_all_gates(store_harness: StoreHarness) -> None:
    for gate in (build_gate("Orders", "a"), build_gate("Orders", "a", "b"), build_gate("Orders", "a", group="night")):
        await create_gated(store_harness, gate)
    await create_gated(store_harness, build_gate("Loans", "a"), type="Loans")
    await create_gated(store_harness, build_gate("Orders", "a"), status=Status.PAUSED)
    await create_gated(store_harness, "limit:pay/all")
    await create_gated(store_harness, "watch:pay")
    await store_harness.create_instance()

    assert await count_gated_by_type(store_harness.store.connections) == {"Orders": 3, "Loans": 1}


async def test_those_that_wait_for_long_are_grouped_by_gate_and_state(store_harness: StoreHarness) -> None:
    one, other = build_gate("Orders", "a"), build_gate("Orders", "a", "b")
    first = await create_gated(store_harness, one)
    await create_gated(store_harness, one, reason=None)
    ship = await create_gated(store_harness, one, state="ship", reason=None)
    again = await create_gated(store_harness, other, reason="other")
    await create_gated(store_harness, one, modified=NOW + 1)

    found = await read_gated_groups(store_harness.store.connections, gated_before=NOW)

    assert found == [
        GatedGroup(one, "Orders", "default", "pay", 2, first, "waits for another version: no such state"),
        GatedGroup(other, "Orders", "default", "pay", 1, again, "other"),
        GatedGroup(one, "Orders", "default", "ship", 1, ship),
    ]


async def test_nothing_waits_in_an_empty_database(store_harness: StoreHarness) -> None:
    connections = store_harness.store.connections

    assert (await count_gated_by_type(connections), await read_gated_groups(connections, gated_before=NOW)) == ({}, [])


async def test_the_index_of_gates_counts_them(store_harness: StoreHarness) -> None:
    for _ in range(50):
        await create_gated(store_harness, build_gate("Orders", "a"))
    await store_harness.execute_sql(ANALYZE_SQL[store_harness.store.connections.dialect.name])

    async def explain(session: DatabaseSession) -> str:
        explaining = ExplainingSearchSession(session)
        assert await _count_in_session(explaining) == {"Orders": 50}  # type: ignore[arg-type]  # passes everything on
        return explaining.plan

    plan = await store_harness.store.connections.run_on_engine(explain)

    assert BY_INDEX[store_harness.store.connections.dialect.name] in plan


@pytest.mark.parametrize("url_fixture", ["postgres_url", "mariadb_url"])  # SQLite has one writer, who waits
async def test_what_is_due_and_locked_is_said_to_be_due(url_fixture: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(url_fixture)
    async with open_store(url, schema=find_schema(url), clock=VirtualClock()) as store:
        harness, gate = StoreHarness(store), build_gate("Orders", "a")
        id = await create_gated(harness, gate, next_activation=NOW - 5)
        await create_gated(harness, gate, next_activation=NOW + 3_600_000_000, priority=5)
        claim = GatedClaim("executor-a", gate, 10, NOW)

        async def claim_beside(session: DatabaseSession) -> GatedInstances:
            await session.fetch_rows("SELECT id FROM flowlet_workflow WHERE id = :id FOR UPDATE", {"id": id})
            return await store.version_gates.claim(claim)

        assert await store.connections.write(claim_beside) == ([], NOW)
        claimed, next_due = await store.version_gates.claim(claim)

    assert ([one.id for one in claimed], next_due) == ([id], NOW + 3_600_000_000)
