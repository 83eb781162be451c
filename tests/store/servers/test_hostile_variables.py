"""Servers with unusual variables, and the errors that servers give in unusual states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store
from tests.database_servers import DatabaseServer
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import open_engine
from tests.faults.mariadb_pair import ReplicatedProgram
from tests.store.servers.test_session_settings import open_connections

MARIADB_VARIABLES = {
    "completion_type": "CHAIN",  # a COMMIT begins the next transaction
    "sql_select_limit": 1,  # rows are left out without a word
    "max_join_size": 1,  # a SELECT that may examine more rows is refused
    "max_error_count": 0,  # warnings are counted, and not shown
    "lc_messages": "de_DE",
    "max_statement_time": 5,
}
POSTGRES_VARIABLES = {
    "statement_timeout": "'400ms'",
    "lock_timeout": "'400ms'",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "plan_cache_mode": "force_generic_plan",
}
INSTANCE_COUNT = 40


async def finish() -> str:
    return "done"


@pytest.fixture
def hostile_mariadb_url(mariadb_server: DatabaseServer, mariadb_url: str) -> Iterator[str]:
    """The URL of a database on a server with variables that no session may depend on."""
    execute = mariadb_server.program.execute_statement
    for name, value in MARIADB_VARIABLES.items():
        execute(mariadb_url, f"SET GLOBAL {name} = {value!r}")
    yield mariadb_url
    for name in MARIADB_VARIABLES:
        execute(mariadb_url, f"SET GLOBAL {name} = DEFAULT")


@pytest.fixture
def hostile_postgres_url(postgres_server: DatabaseServer, empty_postgres_url: str) -> str:
    """The URL of a database whose sessions have settings that no engine may depend on."""
    database = empty_postgres_url.rpartition("/")[2]
    for name, value in POSTGRES_VARIABLES.items():
        statement = f"ALTER DATABASE {database} SET {name} = {value}"
        postgres_server.program.execute_statement(empty_postgres_url, statement)
    return empty_postgres_url


async def run_instances(url: str) -> None:
    """Create, claim, run and commit instances, and look at what is in the tables."""
    async with open_engine(url, build_workflow_module(**build_single_state(finish))) as engine:
        executor = await engine.add_executor()
        ids = [await engine.create_instance() for _ in range(INSTANCE_COUNT)]
        claimed = await executor.claim_due()
        assert sorted(one.id for one in claimed) == ids
        await executor.commit_transitions(*[await executor.run_instance(one) for one in claimed])

        assert len(await engine.store.queries.get_many(ids)) == INSTANCE_COUNT
        assert all(one.has_ended for one in (await engine.store.queries.get_many(ids)).values())


async def test_instances_run_on_a_mariadb_server_with_unusual_variables(hostile_mariadb_url: str) -> None:
    await run_instances(hostile_mariadb_url)


async def test_a_commit_leaves_no_transaction_and_a_warning_is_an_error(hostile_mariadb_url: str) -> None:
    async with open_connections(hostile_mariadb_url) as connections:
        await connections.write(lambda session: session.execute("DELETE FROM flowlet_counter"))
        assert await connections.run_on_engine(lambda session: session.fetch_rows("SELECT @@in_transaction")) == [(0,)]

        with pytest.raises(pymysql.err.DataError, match="the server warns: Truncated incorrect"):
            await connections.write(lambda session: session.execute("DO CAST('x' AS INTEGER)"))


async def test_an_engine_and_a_migration_of_mariadb_have_no_time_limit_of_the_server(hostile_mariadb_url: str) -> None:
    async def read_limit(session: DatabaseSession) -> list[tuple[float, int]]:
        return await session.fetch_rows("SELECT @@max_statement_time, @@sql_notes")

    async def lock_and_read(session: DatabaseSession) -> list[tuple[float, int]]:
        await session.dialect.schema.lock_migrations(session.raw)
        limit = await read_limit(session)
        await session.dialect.schema.unlock_migrations(session.raw)
        return [*limit, *await read_limit(session)]

    async with open_connections(hostile_mariadb_url) as connections:
        assert await connections.run_on_engine(read_limit) == [(0, 0)]
        assert await connections.read(read_limit) == [(5, 0)]
        assert await connections.write(lock_and_read) == [(0, 0), (5, 0)]


async def read_settings(session: DatabaseSession) -> list[str]:
    """Return the settings of a session of PostgreSQL."""
    names = ", ".join(f"current_setting('{name}')" for name in POSTGRES_VARIABLES)
    ((*settings,),) = await session.fetch_rows(f"SELECT {names}")
    return settings


async def test_an_engine_of_postgresql_has_no_time_limits_of_the_role(hostile_postgres_url: str) -> None:
    async with open_connections(hostile_postgres_url) as connections:
        assert await connections.run_on_engine(read_settings) == ["0", "200ms", "off", "on", "auto"]
        assert await connections.read(read_settings) == ["400ms", "400ms", "off", "on", "auto"]


async def test_a_migration_of_postgresql_has_no_time_limits_of_the_role(hostile_postgres_url: str) -> None:
    async def lock_and_read(session: DatabaseSession) -> list[str]:
        await session.dialect.schema.lock_migrations(session.raw)
        return await read_settings(session)

    async with open_connections(hostile_postgres_url) as connections:
        assert (await connections.write(lock_and_read))[:2] == ["0", "0"]


@pytest.mark.parametrize("format", ["STATEMENT", "ROW"])
async def test_a_binary_log_of_statements_is_refused_with_the_cure(format: str) -> None:
    server = DatabaseServer.of(ReplicatedProgram(1))
    try:
        url = server.create_database()
        server.program.execute_statement(url, f"SET GLOBAL binlog_format = '{format}'")
        if format == "ROW":
            await run_instances(url)
            return
        with pytest.raises(StoreUnavailableError, match=r"binlog_format is STATEMENT.* SET GLOBAL binlog_format = 'R"):
            async with open_store(url):
                pass
    finally:
        server.close_server()


@pytest.mark.parametrize("code", [1047, 1129, 1135, 1158, 1159, 1160, 1161, 1203, 1226, 3032])
async def test_an_error_of_a_mariadb_server_that_cannot_work_now_is_an_outage(mariadb_url: str, code: int) -> None:
    statement = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'not now'"
    async with open_connections(mariadb_url) as connections:
        with pytest.raises(StoreUnavailableError, match="not now"):
            await connections.write(lambda session: session.execute(statement))


@pytest.mark.parametrize("code", [1290, 1792, 1836, 1047, 3032])
async def test_a_mariadb_server_that_takes_no_writes_is_left(mariadb_url: str, code: int) -> None:
    statement = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'not now'"
    async with open_connections(mariadb_url) as connections:
        before = await connections.read(lambda session: session.fetch_rows("SELECT CONNECTION_ID()"))
        with pytest.raises(StoreUnavailableError, match="not now"):
            await connections.write(lambda session: session.execute(statement))

        assert await connections.read(lambda session: session.fetch_rows("SELECT CONNECTION_ID()")) != before


@pytest.mark.parametrize(
    ("text", "is_outage"),
    [
        ("Error while appending a fragment(provider status: Not connected to Primary Component)", True),
        ("Got error 139 during COMMIT", False),
    ],
)
async def test_a_commit_that_a_node_of_galera_could_not_send_is_an_outage_and_the_node_is_left(
    mariadb_url: str, text: str, is_outage: bool
) -> None:
    statement = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1180, MESSAGE_TEXT = '{text}'"
    async with open_connections(mariadb_url) as connections:
        before = await connections.read(lambda session: session.fetch_rows("SELECT CONNECTION_ID()"))
        with pytest.raises(StoreUnavailableError if is_outage else pymysql.err.OperationalError, match="Error|error"):
            await connections.write(lambda session: session.execute(statement))

        after = await connections.read(lambda session: session.fetch_rows("SELECT CONNECTION_ID()"))
        assert (after != before) == is_outage


@pytest.mark.parametrize("state", ["53100", "53200", "53300", "57P01", "57P02", "57P03", "58000", "58030", "08006"])
async def test_an_error_of_a_postgresql_server_that_cannot_work_now_is_an_outage(postgres_url: str, state: str) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{state}'; END $$"
    async with open_connections(postgres_url) as connections:
        with pytest.raises(StoreUnavailableError, match="not now"):
            await connections.write(lambda session: session.execute(statement))


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
async def test_a_conflict_of_postgresql_is_tried_again(postgres_url: str, state: str) -> None:
    attempts: list[int] = []

    async def conflict_once(session: Any) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            await session.execute(f"DO $$ BEGIN RAISE EXCEPTION 'busy' USING ERRCODE = '{state}'; END $$")
        return len(attempts)

    async with open_connections(postgres_url) as connections:
        assert await connections.write(conflict_once) == 2


async def test_a_server_group_that_rolls_back_at_the_commit_is_tried_again(mariadb_url: str) -> None:
    attempts: list[int] = []

    async def conflict_once(session: Any) -> int:
        attempts.append(1)
        if len(attempts) == 1:
            await session.execute("SIGNAL SQLSTATE '40000' SET MYSQL_ERRNO = 3101, MESSAGE_TEXT = 'rolled back'")
        return len(attempts)

    async with open_connections(mariadb_url) as connections:
        assert await connections.write(conflict_once) == 2
