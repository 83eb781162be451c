"""The plans of the statements that run all the time: by an index, however many instances there are."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from flowlet.database_url import get_sqlite_path
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.batch import Batch, ClaimRequest
from flowlet.store.dialects.sqlite import writes as sqlite_writes
from flowlet.store.instances import CommitResult
from flowlet.store.opening import open_store
from flowlet.store.reports.error_times import read_first_seen
from flowlet.store.reports.errors import count_failed, read_error_groups, read_failing_types
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.search.query import SearchQuery
from flowlet.workflow.states import Next, end, state
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, open_engine

INSTANCE_COUNT = 20_000


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


async def fill_instances(engine: EngineHarness) -> None:
    """Create an instance and copy it, until there are twenty thousand: most of them ended, some due."""
    await engine.create_instance()
    columns = (
        "workflow_type, definition_version, business_key, executor_group, priority, status, state, vars, "
        "next_activation, created, modified"
    )
    fresh = {"sqlite": "lower(hex(randomblob(16)))", "mysql": "UUID()", "postgresql": "gen_random_uuid()"}
    name = fresh[engine.store.connections.dialect.name]
    count = 1
    while count < INSTANCE_COUNT:
        await engine.execute_sql(
            f"INSERT INTO flowlet_workflow (external_id, {columns}) SELECT {name}, {columns} FROM flowlet_workflow"
        )
        count *= 2
    await engine.execute_sql(
        "UPDATE flowlet_workflow SET status = 'FINISHED', next_activation = NULL WHERE MOD(id, 20) <> 0"
    )


def build_claim_request(engine: EngineHarness) -> ClaimRequest:
    return ClaimRequest("executor-a", ("default",), engine.registry.names, 100, engine.clock.now())


async def test_sqlite_writes_no_index_for_a_step_in_the_same_lease(sqlite_url: str) -> None:
    async with open_store(sqlite_url):
        with contextlib.closing(sqlite3.connect(get_sqlite_path(sqlite_url))) as connection:
            step, other = [
                {row[1] for row in connection.execute(f"EXPLAIN {sql}", [None] * sql.count("?"))}
                for sql in (sqlite_writes._COMMIT_STEP.sql, sqlite_writes._COMMIT.sql)
            ]

    assert "Insert" in step
    assert {"IdxInsert", "IdxDelete"}.isdisjoint(step)
    assert {"IdxInsert", "IdxDelete"} <= other


async def claim_and_commit(engine: EngineHarness, watch_connection: Callable[[Any], Any]) -> None:
    """Claim a hundred instances and commit their transitions, on a connection that a test watches."""
    hand = await engine.add_executor()
    connections = engine.store.connections
    dialect = connections.dialect

    async def claim_watched(session: DatabaseSession) -> Any:
        return await dialect.writes.claim(watch_connection(session.raw), build_claim_request(engine))

    claimed = INSTANCE_READER.parse_all((await connections.run_on_engine(claim_watched)).rows)
    transitions = sorted(
        [await hand.run_instance(one) for one in claimed], key=lambda transition: transition.instance.id
    )
    batch = Batch(hand.id, transitions, engine.clock.now())
    committed = await connections.run_on_engine(
        lambda session: dialect.writes.commit(watch_connection(session.raw), batch)
    )
    assert len(committed.applied_ids) == 100


class ExplainingAsyncpgConnection:
    """An asyncpg connection that explains every statement before it runs it."""

    def __init__(self, raw: Any, plans: list[str]) -> None:
        self._raw = raw
        self._plans = plans

    async def fetch(self, sql: str, *values: Any) -> Any:
        rows = await self._raw.fetch(f"EXPLAIN {sql}", *values)
        self._plans.append("\n".join(row[0] for row in rows))
        return await self._raw.fetch(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return (await self.fetch(sql, *values))[0][0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


async def test_postgresql_claims_and_commits_without_reading_the_whole_table(postgres_url: str) -> None:
    plans: list[str] = []
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        await fill_instances(hands)
        await hands.execute_sql("ANALYZE flowlet_workflow")

        await claim_and_commit(hands, lambda raw: ExplainingAsyncpgConnection(raw, plans))

    used = "\n".join(plans)
    assert not re.search(r"Seq Scan on flowlet_workflow\b", used), used
    assert "flowlet_workflow_due" in used
    assert "flowlet_workflow_pkey" in used


class RecordingAiomysqlConnection:
    """An aiomysql connection, and every statement that was run on it, with its values."""

    def __init__(self, raw: Any, statements: list[tuple[str, Any]]) -> None:
        self._raw = raw
        self._statements = statements

    @asynccontextmanager
    async def cursor(self) -> AsyncIterator[Any]:
        async with self._raw.cursor() as cursor:
            execute = cursor.execute

            async def record_and_execute(sql: str, values: Any = None) -> Any:
                self._statements.append((sql, values))
                return await execute(sql, values)

            cursor.execute = record_and_execute
            yield cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


async def test_mariadb_claims_and_commits_without_reading_the_whole_table(mariadb_url: str) -> None:
    statements: list[tuple[str, Any]] = []
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands:
        await fill_instances(hands)
        await hands.execute_sql("ANALYZE TABLE flowlet_workflow")
        await claim_and_commit(hands, lambda raw: RecordingAiomysqlConnection(raw, statements))

        connections = hands.store.connections
        rows_read = await connections.run_on_engine(lambda session: count_handler_reads(session.raw))
        used = await connections.run_on_engine(lambda session: explain_statements(session.raw, statements))

    assert rows_read < 10 * 100
    assert {key for _, _, key in used} == {"flowlet_workflow_due", "PRIMARY"}
    assert not [(sql, type) for sql, type, _ in used if type in ("ALL", "index")]


async def count_handler_reads(raw: Any) -> int:
    """Return how many rows and index entries the connection has read for the engine: for a hundred instances."""
    async with raw.cursor() as cursor:
        await cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(row[1]) for row in await cursor.fetchall())


async def explain_statements(raw: Any, statements: list[tuple[str, Any]]) -> list[tuple[str, str, str]]:
    """Return how each statement reads ``flowlet_workflow``: the statement, the kind of access, and the index."""
    used = []
    for sql, values in statements:
        if " flowlet_workflow " not in f"{sql} ".replace("\n", " ") or "INSERT" in sql:
            continue
        async with raw.cursor() as cursor:
            await cursor.execute(f"EXPLAIN {sql}", values)
            rows = await cursor.fetchall()
        used += [(sql, row[3], row[5]) for row in rows if row[2] in ("flowlet_workflow", "w")]
    return used


async def test_sqlite_claims_and_commits_without_reading_the_whole_table(sqlite_url: str) -> None:
    statements: list[str] = []
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        await fill_instances(hands)
        await hands.execute_sql("ANALYZE")
        connections = hands.store.connections
        await connections.run_on_engine(lambda session: set_trace_callback(session.raw, statements.append))
        await claim_and_commit(hands, lambda raw: raw)
        await connections.run_on_engine(lambda session: set_trace_callback(session.raw, None))

        plans = await connections.run_on_engine(lambda session: read_query_plans(session.raw, statements))

    used = "\n".join(plans)
    assert not re.search(r"SCAN flowlet_workflow(?! USING)", used), used
    lane = "executor_group=? AND workflow_type=? AND priority=?"
    assert f"flowlet_workflow_due ({lane} AND next_activation<?)" in used
    assert "SEARCH flowlet_workflow USING INTEGER PRIMARY KEY" in used


async def set_trace_callback(raw: Any, callback: Callable[[str], None] | None) -> None:
    await raw._execute(raw._conn.set_trace_callback, callback)


async def read_query_plans(raw: Any, statements: list[str], *, words: str = "flowlet_workflow") -> list[str]:
    """Return the plans of the statements that have these words."""
    wanted = [sql for sql in statements if words in sql]
    return [row[3] for sql in wanted for row in await raw.execute_fetchall(f"EXPLAIN QUERY PLAN {sql}")]


async def test_postgresql_updates_in_place_what_goes_straight_on(empty_postgres_url: str) -> None:
    @state(start=True, next=["again", "done"])
    async def again() -> Next | str:
        return "again"

    async with open_engine(empty_postgres_url, build_workflow_module(again=again, done=end())) as hands:
        hand = await hands.add_executor()
        instance = await hand.claim_instance(await hands.create_instance())
        before = await count_updates(hands)

        for _ in range(20):
            hands.clock.advance(1)
            assert await hand.commit_transitions(await hand.run_instance(instance)) == [CommitResult.COMMITTED]
            instance = await hands.get_instance(instance.id)

        after = await count_updates(hands)
        assert (after[0] - before[0], after[1] - before[1]) == (20, 20)


async def count_updates(engine: EngineHarness) -> tuple[int, int]:
    """Return how many updates there were, and how many of them stayed on the row's page without touching an index."""
    sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'flowlet_workflow'"

    async def read_update_counts(session: Any) -> Any:
        await session.execute("SELECT pg_stat_force_next_flush()")
        await session.execute("SELECT pg_stat_clear_snapshot()")
        return await session.fetch_rows(sql)

    ((all_, hot),) = await engine.store.connections.run_on_engine(read_update_counts)
    return all_, hot


async def test_sqlite_groups_errors_without_reading_what_has_not_failed(sqlite_url: str) -> None:
    statements: list[str] = []
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands:
        await fill_instances(hands)
        connections = hands.store.connections
        await connections.read(lambda session: set_trace_callback(session.raw, statements.append))
        await read_first_seen(connections, await read_error_groups(connections))
        await read_error_groups(connections, type="Orders")
        await read_failing_types(connections)
        await count_failed(connections)
        await hands.store.queries.search(SearchQuery(fingerprint="0123456789abcdef"))
        await connections.read(lambda session: set_trace_callback(session.raw, None))

        plans = await connections.run_on_engine(
            lambda session: read_query_plans(session.raw, statements, words="FROM flowlet_workflow")
        )

    looks = [line for line in plans if re.search(r"(SCAN|SEARCH) (flowlet_workflow|n|w)\b", line)]
    assert len(looks) >= 5
    indexes = (
        "COVERING INDEX flowlet_workflow_failing",
        "INDEX flowlet_workflow_failing (fingerprint=?",
        "INTEGER PRIMARY KEY",
    )
    assert not [
        line for line in looks if not any(name in line for name in (*indexes, "INDEX flowlet_workflow_status ("))
    ]


async def test_postgresql_reads_a_long_history_of_long_ago_without_what_was_written_since(postgres_url: str) -> None:
    fill = "INSERT INTO flowlet_action (workflow_id, kind, at) SELECT {}, 'TRANSITION', i FROM generate_series(1, {}) i"
    async with open_engine(postgres_url, ORDERS_MODULE) as hands:
        await hands.execute_sql(fill.format("7", 2_000))
        await hands.execute_sql(fill.format("1000 + i", 20_000))
        await hands.execute_sql("ANALYZE flowlet_action")

        order = hands.store.connections.dialect.expressions.newest_first_sql
        sql = f"EXPLAIN SELECT * FROM flowlet_action WHERE workflow_id = 7 ORDER BY {order} LIMIT 400"
        plan = "\n".join(row[0] for row in await hands.fetch_rows(sql))

    assert "flowlet_action_workflow" in plan
    assert "pkey" not in plan
