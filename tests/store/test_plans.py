"""The plans of the statements that run all the time: by an index, however many instances there are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flowlet.states import end, state
from flowlet.store.dialect import ClaimRequest
from flowlet.store.instances import Verdict
from flowlet.transitions import Next
from tests.engine.hands import Hands, opened
from tests.engine.making import one_state, workflow_module

MANY = 20_000


async def finishing() -> str:
    return "done"


ORDERS = workflow_module(**one_state(finishing))


async def fill(hands: Hands) -> None:
    """Create an instance and copy it, until there are twenty thousand: most of them ended, some due."""
    await hands.create()
    columns = (
        "workflow_type, definition_version, business_key, executor_group, priority, status, state, vars, "
        "next_activation, created, modified"
    )
    fresh = {"sqlite": "lower(hex(randomblob(16)))", "mysql": "UUID()", "postgresql": "gen_random_uuid()"}
    name = fresh[hands.store.connections.dialect.name]
    count = 1
    while count < MANY:
        await hands.execute(f"INSERT INTO workflow (external_id, {columns}) SELECT {name}, {columns} FROM workflow")
        count *= 2
    await hands.execute("UPDATE workflow SET status = 'FINISHED', next_activation = NULL WHERE MOD(id, 20) <> 0")


def request(hands: Hands) -> ClaimRequest:
    return ClaimRequest("executor-a", ("default",), hands.registry.names, 100, hands.clock.now())


class Statements:
    """A driver's connection that explains every statement before it runs it."""

    def __init__(self, raw: Any, plans: list[str]) -> None:
        self._raw = raw
        self._plans = plans

    async def fetch(self, sql: str, *values: Any) -> Any:
        rows = await self._raw.fetch(f"EXPLAIN {sql}", *values)
        self._plans.append("\n".join(row[0] for row in rows))
        return await self._raw.fetch(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


async def test_postgresql_claims_and_commits_without_reading_the_whole_table(postgres_url: str) -> None:
    plans: list[str] = []
    async with opened(postgres_url, ORDERS) as hands:
        hand = await hands.hand()
        await fill(hands)
        await hands.execute("ANALYZE workflow")
        store, dialect = hands.store, hands.store.connections.dialect

        claimed = await store.connections.run(lambda session: dialect.claim(Statements(session.raw, plans), request(hands)))
        transitions = [await hand.run(instance) for instance in await hand.claim()]
        await store.connections.run(lambda session: _commit(dialect, Statements(session.raw, plans), transitions))

        assert len(claimed) == len(transitions) == 100
        assert len(plans) == 2
        for plan in plans:
            assert not re.search(r"Seq Scan on workflow\b", plan), plan
            assert "Disabled: true" not in plan
        assert "workflow_due" in plans[0]
        assert "workflow_pkey" in plans[1]


async def _commit(dialect: Any, raw: Any, transitions: list[Any]) -> set[int]:
    from flowlet.store.dialect import Batch

    applied: set[int] = await dialect.commit(raw, Batch("executor-a", transitions, 0))
    return applied


async def test_postgresql_updates_in_place_what_goes_straight_on(postgres_url: str) -> None:
    @state(start=True, next=["again", "done"])
    async def again() -> Next | str:
        return "again"

    async with opened(postgres_url, workflow_module(again=again, done=end())) as hands:
        hand = await hands.hand()
        instance = await hand.claim_one(await hands.create())
        before = await updates(hands)

        for _ in range(20):
            assert await hand.commit(await hand.run(instance)) == [Verdict.COMMITTED]
            instance = await hands.get(instance.id)

        after = await updates(hands)
        assert (after[0] - before[0], after[1] - before[1]) == (20, 20)


async def updates(hands: Hands) -> tuple[int, int]:
    """Return how many updates there were, and how many of them stayed on the row's page without touching an index."""
    sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'workflow'"

    async def work(session: Any) -> Any:
        await session.execute("SELECT pg_stat_force_next_flush()")
        await session.execute("SELECT pg_stat_clear_snapshot()")
        return await session.rows(sql)

    ((all_, hot),) = await hands.store.connections.run(work)
    return all_, hot
