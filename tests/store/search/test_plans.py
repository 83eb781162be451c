"""The plans of searches: with twenty thousand instances an index answers what one is there for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.definition.versions.state_names import StateNames
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store
from flowlet.store.search.page import search_instances
from flowlet.store.search.query import SearchQuery, VariableFilter
from tests.databases import find_schema
from tests.store.store_harness import NOW, StoreHarness

INSTANCE_COUNT = 20_000
EXPLAIN_SQL = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN "}
ANALYZE_SQL = {"sqlite": "ANALYZE", "postgresql": "ANALYZE flowlet_workflow", "mysql": "ANALYZE TABLE flowlet_workflow"}
INDEX = "flowlet_workflow_"
"""The beginning of the names of the indexes."""

INDEXED_SEARCHES: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
    ({"workflow_type": "Rare"}, dict.fromkeys(EXPLAIN_SQL, INDEX + "type")),
    ({"workflow_type": "Unknown", "scan_limit": 100, "state": "a"}, dict.fromkeys(EXPLAIN_SQL, INDEX + "type")),
    ({"status": "CANCELLED"}, {**dict.fromkeys(EXPLAIN_SQL, INDEX + "cancelled"), "mysql": INDEX + "status"}),
    ({"is_retrying": True}, {**dict.fromkeys(EXPLAIN_SQL, INDEX + "retrying"), "mysql": INDEX + "status"}),
    ({"waits_for_version": True}, dict.fromkeys(EXPLAIN_SQL, INDEX + "gate")),
    ({"has_next": True, "order_by": "next_activation"}, dict.fromkeys(EXPLAIN_SQL, INDEX + "due")),
    (
        {"status": "WAITING", "has_next": True, "order_by": "next_activation"},
        dict.fromkeys(EXPLAIN_SQL, INDEX + "asking"),
    ),
    ({"prefix": "rare-"}, {"sqlite": "external_id>", "postgresql": "external_id_key", "mysql": "external_id"}),
    ({"prefix": "rare-"}, dict.fromkeys(EXPLAIN_SQL, INDEX + "key")),
)  # fmt: skip
"""What is looked for, and on each database a word of the plan that tells the index."""


class ExplainingSearchSession:
    """A session that explains each statement before it runs it."""

    def __init__(self, session: DatabaseSession) -> None:
        self._session = session
        self.plan = ""
        self.statements: list[str] = []

    async def fetch_rows(self, sql: str, values: dict[str, Any]) -> Any:
        explained = await self._session.fetch_rows(EXPLAIN_SQL[self._session.dialect.name] + sql, values)
        self.plan += "".join(f"{tuple(row)}\n" for row in explained)
        self.statements.append(sql)
        return await self._session.fetch_rows(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.fixture
async def store_harness(database_url: str) -> AsyncIterator[StoreHarness]:
    """Twenty thousand instances that have ended, of which one in a thousand is another one."""
    async with open_store(database_url, schema=find_schema(database_url), clock=VirtualClock()) as store:
        shelf = StoreHarness(store)
        made = [
            shelf.build_new_instance(type="Rare" if n == 0 else "Common", business_key=f"key-{n}") for n in range(1_000)
        ]
        await store.instances.create(made, now=NOW)
        columns = (
            "workflow_type, definition_version, business_key, executor_group, status, state, vars, created, modified"
        )
        fresh = {"sqlite": "lower(hex(randomblob(16)))", "mysql": "UUID()", "postgresql": "gen_random_uuid()"}
        name = fresh[store.connections.dialect.name]
        for _ in range(INSTANCE_COUNT // 1_000 - 1):
            await shelf.execute_sql(
                f"INSERT INTO flowlet_workflow (external_id, {columns}) "
                f"SELECT {name}, {columns} FROM flowlet_workflow WHERE id <= 1000"
            )
        await shelf.execute_sql("UPDATE flowlet_workflow SET status = 'FINISHED', next_activation = NULL WHERE id > 20")
        await shelf.execute_sql("UPDATE flowlet_workflow SET status = 'CANCELLED' WHERE MOD(id, 1000) = 500")
        await shelf.execute_sql("UPDATE flowlet_workflow SET attempt = 1 WHERE id < 5")
        await shelf.execute_sql(ANALYZE_SQL[store.connections.dialect.name])
        yield shelf


async def test_an_index_answers_each_search_that_one_is_there_for(store_harness: StoreHarness) -> None:
    connections = store_harness.store.connections

    for query, words in INDEXED_SEARCHES:
        plan, found = await connections.read(lambda session, query=query: explain_search(session, query))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

        assert words[connections.dialect.name] in plan, (query, plan)
        assert "Seq Scan" not in plan, (query, plan)
        assert found < 1_000


async def test_of_few_that_an_index_leaves_no_other_index_is_walked(store_harness: StoreHarness) -> None:
    """PostgreSQL plans a statement for any value after five runs: it would take a rare type for a common one."""
    text = [VariableFilter("colour", "red")]
    fewest: list[dict[str, Any]] = [{"workflow_type": "Rare"}, {"status": "NEW"}, {"status": "CANCELLED"}]

    async def read_statements(session: DatabaseSession) -> list[str]:
        explaining = ExplainingSearchSession(session)
        for query in fewest:
            whole = SearchQuery(**query, variables=text, scan_limit=1_000)
            await search_instances(explaining, whole, StateNames({}))  # type: ignore[arg-type]  # as good as a session
        return explaining.statements

    statements = await store_harness.store.connections.read(read_statements)

    pages = [sql for sql in statements if ":row_limit" in sql]
    assert ["ORDER BY id + 0 DESC" in sql for sql in pages] == [True, True, True]


async def test_each_status_has_a_plan_of_its_own(store_harness: StoreHarness) -> None:
    """Of one plan for any status, PostgreSQL would use the index of ids to find the few of a rare one."""

    async def read_statements(session: DatabaseSession) -> list[str]:
        explaining = ExplainingSearchSession(session)
        for status in ("NEW", "EXECUTING", ["FAILED", "PAUSED"]):
            await search_instances(explaining, SearchQuery(status=status), StateNames({}))  # type: ignore[arg-type]  # as good as a session
        return explaining.statements

    statements = await store_harness.store.connections.read(read_statements)

    found = [re.findall(r"status IN \([^)]*\)", sql)[0] for sql in statements if ":row_limit" in sql]
    assert found == ["status IN ('NEW')", "status IN ('EXECUTING')", "status IN ('FAILED', 'PAUSED')"]


async def test_lanes_are_read_one_by_one_only_where_nearly_all_of_them_matches(store_harness: StoreHarness) -> None:
    by_next: dict[str, Any] = {"has_next": True, "order_by": "next_activation"}
    unfiltered: list[dict[str, Any]] = [
        {},
        {"variables": []},
        {"workflow_type": "Common"},
        {"executor_group": "default"},
    ]
    filtered: list[dict[str, Any]] = [
        *({"external_id": "x"}, {"parent_id": 1}, {"status": "NEW"}, {"is_retrying": True}, {"state": "check"})
    ]

    async def has_lanes(session: DatabaseSession, query: dict[str, Any]) -> bool:
        explaining = ExplainingSearchSession(session)
        await search_instances(explaining, SearchQuery(**query, **by_next), StateNames({}))  # type: ignore[arg-type]  # as good as a session
        return any("priority = 0" in sql for sql in explaining.statements if ":row_limit" in sql)

    async def look(session: DatabaseSession) -> list[bool]:
        return [await has_lanes(session, query) for query in (*unfiltered, *filtered)]

    assert await store_harness.store.connections.read(look) == [True] * 4 + [False] * 5


async def explain_search(session: DatabaseSession, query: dict[str, Any]) -> tuple[str, int]:
    """Return the plans of a search's statements, and how many it found."""
    explaining = ExplainingSearchSession(session)
    names = StateNames({"Unknown": {"a": "b"}})
    found = await search_instances(explaining, SearchQuery(**query), names)  # type: ignore[arg-type]  # as good as a session
    return explaining.plan, found.total
