"""The figures of a graph: exact ones of a small history, and none that cost more the more has ended."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from flowlet.operations.service import Operations
from flowlet.store.reports.graph_statistics import (
    GraphStatistics,
    StateStatistics,
    TransitionStatistics,
    read_graph_statistics,
)
from flowlet.workflow.context import Context
from flowlet.workflow.states import end, error, manual, state
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_workflow_module
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine
from tests.store.test_plans import fill_instances


def build_errands_module() -> ModuleType:
    """Return a workflow whose variable ``to`` says where an instance goes from its first state."""

    @state(start=True, next=["check", "review", "done"])
    async def check(ctx: Context) -> str:
        to: str = ctx.vars["to"]
        return to

    @manual(next=["done", "lost"], deadline="1 day", on_deadline="lost")
    def review() -> None: ...

    return build_workflow_module(check=check, review=review, done=end(), lost=error())


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[EngineHarness]:
    """A database with errands; a test that takes it runs on each of the three."""
    async with open_engine(database_url, build_errands_module()) as hands:
        yield hands


async def create_and_leave(engine: EngineHarness, executor: ManualExecutor, target: str, *, delay_seconds: int) -> int:
    """Return an instance that has left its first state after some seconds."""
    id = await engine.create_instance(vars={"to": target})
    engine.clock.advance(delay_seconds * SECOND_MICROSECONDS)
    await executor.run_due_instance(id)
    return id


async def read_graph(engine: EngineHarness, name: str = "Orders") -> GraphStatistics:
    return await read_graph_statistics(engine.store.connections, name)


async def test_shares_medians_and_who_is_open_are_those_of_the_history(engine: EngineHarness) -> None:
    hand, operations = await engine.add_executor(), Operations(engine.store, engine.registry)
    first = engine.clock.now()
    answered = await create_and_leave(engine, hand, "review", delay_seconds=1)
    await create_and_leave(engine, hand, "review", delay_seconds=2)
    await create_and_leave(engine, hand, "done", delay_seconds=10)
    await create_and_leave(engine, hand, "review", delay_seconds=6)
    engine.clock.advance(100 * SECOND_MICROSECONDS)
    await operations.answer(answered, "done", username="ada")
    await hand.run_due_instance(answered)
    await engine.create_instance(vars={"to": "check"})

    found = await read_graph(engine)

    assert (found.open_by_state, found.failed_by_state) == ({"check": 1, "review": 2}, {})
    assert not found.open_is_at_least
    assert (found.sampled, found.since) == (5, first)
    assert found.transitions == {
        ("check", "review"): TransitionStatistics(3, 0.6, 2.0),
        ("check", "done"): TransitionStatistics(1, 0.2, 10.0),
        ("review", "done"): TransitionStatistics(1, 1 / 3, 118.0),
    }
    assert found.states == {
        "check": StateStatistics(4, 4.0, 10.0, 0.0, 5),
        "review": StateStatistics(1, 118.0, 118.0, 0.0, 3),
    }


async def test_a_share_is_of_those_that_entered_and_failed_ones_are_counted_where_they_are(
    engine: EngineHarness,
) -> None:
    hand = await engine.add_executor()
    for target in ("done", "nowhere", "nowhere", "nowhere"):
        await create_and_leave(engine, hand, target, delay_seconds=1)

    found = await read_graph(engine)

    assert found.transitions == {("check", "done"): TransitionStatistics(1, 0.25, 1.0)}
    assert found.failed_by_state == {"check": 3}
    assert found.open_by_state == {}


async def test_answers_and_deadlines_are_counted_apart(engine: EngineHarness) -> None:
    hand, operations = await engine.add_executor(), Operations(engine.store, engine.registry)
    ids = [await create_and_leave(engine, hand, "review", delay_seconds=1) for _ in range(4)]
    for id in ids[:3]:
        await operations.answer(id, "lost", username="ada")
        await hand.run_due_instance(id)
    engine.clock.advance(2 * 86_400 * SECOND_MICROSECONDS)
    await hand.run_due_instance(ids[3])

    found = await read_graph(engine)

    assert found.transitions["review", "lost"].share == 1.0
    assert found.transitions["review", "lost"].deadline_share == 0.25


async def test_the_way_back_into_the_same_state_is_a_way_and_begins_a_new_stay(engine: EngineHarness) -> None:
    hand = await engine.add_executor()
    id = await engine.create_instance(vars={"to": "check"})
    for seconds in (3, 5):
        engine.clock.advance(seconds * SECOND_MICROSECONDS)
        instance = await hand.claim_instance(id)
        await hand.commit_transitions(await hand.run_instance(instance))
        await engine.execute_sql("UPDATE flowlet_workflow SET status = 'IN_PROGRESS', executor_id = NULL")

    found = await read_graph(engine)

    assert found.transitions == {("check", "check"): TransitionStatistics(2, 2 / 3, 4.0)}
    assert found.states["check"].median_seconds == 4.0


async def test_moves_by_hand_are_ways_and_moves_by_force_are_none(engine: EngineHarness) -> None:
    operations = Operations(engine.store, engine.registry)
    moved, forced = await engine.create_instance(vars={"to": "done"}), await engine.create_instance(vars={"to": "done"})
    engine.clock.advance(7 * SECOND_MICROSECONDS)
    await operations.move(moved, "review", username="ada")
    await operations.move(forced, "lost", username="ada", force=True, reason="it is lost")

    found = await read_graph(engine)

    assert found.transitions == {("check", "review"): TransitionStatistics(1, 0.5, 7.0)}
    assert found.states == {"check": StateStatistics(1, 7.0, 7.0, None, 2)}
    assert found.open_by_state == {"review": 1}


async def test_a_definition_that_nobody_has_started_has_no_figures(engine: EngineHarness) -> None:
    assert await read_graph(engine, "Nobody's") == GraphStatistics({}, {}, False, 0, None, {}, {})


async def test_the_sample_are_the_newest_and_has_bounds(engine: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = await engine.add_executor()
    for seconds in (1, 2, 3):
        await create_and_leave(engine, hand, "done", delay_seconds=seconds)

    monkeypatch.setattr("flowlet.store.reports.graph_statistics.MAX_SAMPLED_INSTANCES", 2)
    assert (await read_graph(engine)).transitions == {("check", "done"): TransitionStatistics(2, 1.0, 2.5)}
    monkeypatch.setattr("flowlet.store.reports.graph_statistics.SAMPLE_WINDOW", 1)
    assert (await read_graph(engine)).transitions == {("check", "done"): TransitionStatistics(1, 1.0, 3.0)}
    monkeypatch.setattr("flowlet.store.reports.graph_statistics.MAX_SAMPLED_ENTRIES", 1)
    assert (await read_graph(engine)).sampled == 0


async def test_more_open_ones_than_are_counted_are_told_to_be_more(
    engine: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.store.reports.graph_statistics.MAX_COUNTED_OPEN", 2)
    for _ in range(4):
        await engine.create_instance()

    found = await read_graph(engine)

    assert (found.open_by_state, found.open_is_at_least) == ({"check": 3}, True)


class StatementExplainingConnections:
    """Connections that explain every statement before it is read."""

    def __init__(self, engine: EngineHarness, explain: str, plans: list[str]) -> None:
        self._connections = engine.store.connections
        self._explain = explain
        self._plans = plans

    async def read(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run_explained(session: Any) -> Any:
            rows = session.fetch_rows

            async def explain_and_read(sql: str, values: Any = None) -> Any:
                self._plans += [str(row[-1]) for row in await rows(f"{self._explain} {sql}", values)]
                return await rows(sql, values)

            session.fetch_rows = explain_and_read
            return await work(session)

        return await self._connections.read(run_explained)


async def read_graph_plans(engine: EngineHarness, explain: str) -> str:
    """Return the plans of the report, where twenty thousand instances have five lines of history each."""
    await fill_instances(engine)
    for kind in ("CREATED", "TRANSITION", "LOG", "ERROR", "TRANSITION"):
        await engine.execute_sql(
            "INSERT INTO flowlet_action (workflow_id, kind, at, from_state, to_state) "
            f"SELECT id, '{kind}', created, state, state FROM flowlet_workflow ORDER BY id"
        )
    await engine.execute_sql("ANALYZE")
    plans: list[str] = []
    connections: Any = StatementExplainingConnections(engine, explain, plans)
    found = await read_graph_statistics(connections, "Orders")
    assert found.sampled == 1_000
    return "\n".join(plans)


async def test_postgresql_reads_neither_table_as_a_whole(postgres_url: str) -> None:
    async with open_engine(postgres_url, build_errands_module()) as hands:
        used = await read_graph_plans(hands, "EXPLAIN")

    assert not re.search(r"Seq Scan on flowlet_workflow", used), used
    for index in ("flowlet_workflow_status", "flowlet_action_workflow"):
        assert index in used, used


async def test_sqlite_reads_neither_table_as_a_whole(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, build_errands_module()) as hands:
        used = await read_graph_plans(hands, "EXPLAIN QUERY PLAN")

    assert not re.search(r"SCAN flowlet_workflow(?!.* USING)", used), used
    for index in ("flowlet_workflow_status", "flowlet_action_workflow"):
        assert index in used, used
