"""The figures of a graph: exact ones of a small history, and none that cost more the more has ended."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from flowlet.context import Context
from flowlet.operations import Operations
from flowlet.states import end, error, manual, state
from flowlet.store.reports.graph import Graph, Stay, Way, graph
from tests.engine.hands import Hand, Hands, opened
from tests.engine.making import SECOND, workflow_module
from tests.store.test_plans import fill


def errands() -> ModuleType:
    """Return a workflow whose variable ``to`` says where an instance goes from its first state."""

    @state(start=True, next=["check", "review", "done"])
    async def check(ctx: Context) -> str:
        to: str = ctx.vars["to"]
        return to

    @manual(next=["done", "lost"])
    def review() -> None: ...

    return workflow_module(check=check, review=review, done=end(), lost=error())


@pytest.fixture
async def hands(database_url: str) -> AsyncIterator[Hands]:
    """A database with errands; a test that takes it runs on each of the three."""
    async with opened(database_url, errands()) as hands:
        yield hands


async def left(hands: Hands, hand: Hand, to: str, *, after: int) -> int:
    """Return an instance that has left its first state after some seconds."""
    id = await hands.create(vars={"to": to})
    hands.clock.advance(after * SECOND)
    await hand.move(id)
    return id


async def figures(hands: Hands, name: str = "Orders") -> Graph:
    return await graph(hands.store.connections, name)


async def test_shares_medians_and_who_is_open_are_those_of_the_history(hands: Hands) -> None:
    hand, operations = await hands.hand(), Operations(hands.store, hands.registry)
    first = hands.clock.now()
    answered = await left(hands, hand, "review", after=1)
    await left(hands, hand, "review", after=2)
    await left(hands, hand, "done", after=10)
    await left(hands, hand, "review", after=6)
    hands.clock.advance(100 * SECOND)
    await operations.answer(answered, "done", username="ada")
    await hand.move(answered)
    await hands.create(vars={"to": "check"})

    found = await figures(hands)

    assert (found.open, found.open_is_at_least) == ({"check": 1, "review": 2}, False)
    assert (found.sampled, found.since) == (5, first)
    assert found.ways == {
        ("check", "review"): Way(3, 0.75, 2.0),
        ("check", "done"): Way(1, 0.25, 10.0),
        ("review", "done"): Way(1, 1.0, 118.0),
    }
    assert found.stays == {"check": Stay(4, 4.0, 10.0, 0.0), "review": Stay(1, 118.0, 118.0, 0.0)}


async def test_the_way_back_into_the_same_state_is_a_way_and_begins_a_new_stay(hands: Hands) -> None:
    hand = await hands.hand()
    id = await hands.create(vars={"to": "check"})
    for seconds in (3, 5):
        hands.clock.advance(seconds * SECOND)
        instance = await hand.claim_one(id)
        await hand.commit(await hand.run(instance))
        await hands.execute("UPDATE workflow SET status = 'IN_PROGRESS', executor_id = NULL")

    found = await figures(hands)

    assert found.ways == {("check", "check"): Way(2, 1.0, 4.0)}
    assert found.stays["check"].median_seconds == 4.0


async def test_moves_by_hand_are_ways_and_moves_by_force_are_none(hands: Hands) -> None:
    operations = Operations(hands.store, hands.registry)
    moved, forced = await hands.create(vars={"to": "done"}), await hands.create(vars={"to": "done"})
    hands.clock.advance(7 * SECOND)
    await operations.move(moved, "review", username="ada")
    await operations.move(forced, "lost", username="ada", force=True, reason="it is lost")

    found = await figures(hands)

    assert found.ways == {("check", "review"): Way(1, 1.0, 7.0)}
    assert found.stays == {"check": Stay(1, 7.0, 7.0, None)}
    assert found.open == {"review": 1}


async def test_a_definition_that_nobody_has_started_has_no_figures(hands: Hands) -> None:
    assert await figures(hands, "Nobody's") == Graph({}, False, 0, None, {}, {})


async def test_the_sample_are_the_newest_and_has_bounds(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = await hands.hand()
    for seconds in (1, 2, 3):
        await left(hands, hand, "done", after=seconds)

    monkeypatch.setattr("flowlet.store.reports.graph.SAMPLED", 2)
    assert (await figures(hands)).ways == {("check", "done"): Way(2, 1.0, 2.5)}
    monkeypatch.setattr("flowlet.store.reports.graph.NEWEST", 1)
    assert (await figures(hands)).ways == {("check", "done"): Way(1, 1.0, 3.0)}
    monkeypatch.setattr("flowlet.store.reports.graph.LINES", 1)
    assert (await figures(hands)).sampled == 0


async def test_more_open_ones_than_are_counted_are_told_to_be_more(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.store.reports.graph.COUNTED", 2)
    for _ in range(4):
        await hands.create()

    found = await figures(hands)

    assert (found.open, found.open_is_at_least) == ({"check": 3}, True)


class Explained:
    """Connections that explain every statement before it is read."""

    def __init__(self, hands: Hands, explain: str, plans: list[str]) -> None:
        self._connections = hands.store.connections
        self._explain = explain
        self._plans = plans

    async def read(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def explained(session: Any) -> Any:
            rows = session.rows

            async def both(sql: str, values: Any = None) -> Any:
                self._plans += [str(row[-1]) for row in await rows(f"{self._explain} {sql}", values)]
                return await rows(sql, values)

            session.rows = both
            return await work(session)

        return await self._connections.read(explained)


async def plans_of(hands: Hands, explain: str) -> str:
    """Return the plans of the report, where twenty thousand instances have five lines of history each."""
    await fill(hands)
    for kind in ("CREATED", "TRANSITION", "LOG", "ERROR", "TRANSITION"):
        await hands.execute(
            "INSERT INTO workflow_action (workflow_id, kind, at, from_state, to_state) "
            f"SELECT id, '{kind}', created, state, state FROM workflow ORDER BY id"
        )
    await hands.execute("ANALYZE")
    plans: list[str] = []
    connections: Any = Explained(hands, explain, plans)
    found = await graph(connections, "Orders")
    assert found.sampled == 1_000
    return "\n".join(plans)


async def test_postgresql_reads_neither_table_as_a_whole(postgres_url: str) -> None:
    async with opened(postgres_url, errands()) as hands:
        used = await plans_of(hands, "EXPLAIN")

    assert not re.search(r"Seq Scan on workflow", used), used
    for index in ("workflow_status", "action_workflow"):
        assert index in used, used


async def test_sqlite_reads_neither_table_as_a_whole(sqlite_url: str) -> None:
    async with opened(sqlite_url, errands()) as hands:
        used = await plans_of(hands, "EXPLAIN QUERY PLAN")

    assert not re.search(r"SCAN workflow(?!.* USING)", used), used
    for index in ("workflow_status", "action_workflow"):
        assert index in used, used
