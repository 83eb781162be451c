"""A database that answers, and stops a handler's statement or closes its connection: no fault of the handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowlet.engine.handler_transaction import MAX_EXCUSES
from flowlet.errors import StoreUnavailableError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.workflow import Workflow
from tests.databases import find_schema
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.handler_transaction.ledger import open_ledger_harness, read_ledger, write_ledger

SERVERS = ["postgres_url", "mariadb_url"]
SLOW_SQL = {
    "postgresql": ("SET LOCAL statement_timeout = '20ms'", "SELECT CAST(pg_sleep(5) AS text)"),
    "mysql": ("SET SESSION max_statement_time = 0.02", "SELECT SLEEP(5)"),
}
"""What sets a limit of time, and a statement that exceeds it."""
SESSION_SQL = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
KILL_SQL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


def build_module(check: Any) -> Any:
    workflow = Workflow("Orders", retry=Retry(limit=0))
    return build_workflow_module(workflow=workflow, **build_single_state(check))


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


def get_kind(url: str) -> str:
    return url.partition(":")[0]


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
@pytest.mark.parametrize("is_swallowed", [True, False])
async def test_a_statement_that_the_server_stops_is_no_failed_attempt(server_url: str, is_swallowed: bool) -> None:
    runs = []

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        if len(runs) == 1:
            try:
                await run_slow_statement(ctx, server_url)
            except Exception:
                if not is_swallowed:
                    raise
                raise ValueError("the handler's own words for it") from None
        await write_ledger(ctx, "paid")
        return "done"

    async with open_ledger_harness(server_url, build_module(check)) as flow, asyncio.timeout(30):
        id = await flow.start("Orders")
        await flow.run_to_end(id)

        assert (await flow.get(id)).status is Status.FINISHED
        assert await read_ledger(flow) == ["paid"]
        lines = await flow.store.queries.read_history(id)

    assert runs == [1, 1]
    assert [line.kind for line in lines] == [ActionKind.CREATED, ActionKind.RELEASED, ActionKind.TRANSITION]
    assert "ended the handler's own transaction: " in str(lines[1].text)


async def run_slow_statement(ctx: Context, url: str) -> None:
    limit, statement = SLOW_SQL[get_kind(url)]
    async with ctx.transaction() as connection:
        await connection.execute(limit)
        await connection.fetch_one(statement)


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
async def test_a_statement_that_the_server_stops_each_time_fails_in_the_end(server_url: str) -> None:
    runs = []

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        await run_slow_statement(ctx, server_url)
        return "done"

    async with open_ledger_harness(server_url, build_module(check)) as flow, asyncio.timeout(30):
        id = await flow.start("Orders")
        await flow.run_to_end(id)

        assert (await flow.get(id)).status is Status.FAILED

    assert runs == [1] * (MAX_EXCUSES + 1)


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
@pytest.mark.parametrize("writes_again", [True, False])
async def test_a_connection_that_the_server_closes_is_no_failed_attempt(server_url: str, writes_again: bool) -> None:
    runs = []
    box: list[Harness] = []

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        if len(runs) == 1:
            await close_own_session(ctx, box[0], server_url)
        if len(runs) > 1 or writes_again:
            await write_ledger(ctx, "paid")
        return "done"

    async with open_ledger_harness(server_url, build_module(check)) as flow, asyncio.timeout(30):
        box.append(flow)
        id = await flow.start("Orders")
        await flow.run_to_end(id)

        assert (await flow.get(id)).status is Status.FINISHED
        assert await read_ledger(flow) == ["paid"]

    assert runs == [1, 1]


async def close_own_session(ctx: Context, flow: Harness, url: str) -> None:
    """Let the server close the session of a handler's transaction, and return when it has."""
    async with ctx.transaction() as connection:
        row = await connection.fetch_one(SESSION_SQL[get_kind(url)])
        kill = KILL_SQL[get_kind(url)].format(next(iter(row._mapping.values())))
        await flow.store.connections.write(lambda session: session.execute(kill))
        is_open = True
        while is_open:
            try:
                await connection.fetch_one("SELECT 1")
            except Exception:  # noqa: BLE001 - each driver has its own error of a closed connection
                is_open = False


async def test_a_transaction_that_was_idle_for_too_long_is_named_as_such(postgres_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("SELECT 1")
        await box[0].store.connections.read(lambda session: session.fetch_rows("SELECT CAST(pg_sleep(0.2) AS text)"))
        await write_ledger(ctx, "paid")
        return "done"

    box: list[Harness] = []
    async with open_store(postgres_url) as store:
        await store.connections.write(limit_idle_transactions)
    async with open_ledger_harness(postgres_url, build_module(check)) as flow, asyncio.timeout(30):
        box.append(flow)
        failed = await flow.get(await flow.start("Orders"))

        assert failed.status is Status.FAILED
        assert "and idle_in_transaction_session_timeout is 0.02 s" in str(failed.reason)
        assert await read_ledger(flow) == []


async def limit_idle_transactions(session: DatabaseSession) -> None:
    ((name,),) = await session.fetch_rows("SELECT CAST(current_database() AS text)")
    await session.execute(f"ALTER DATABASE \"{name}\" SET idle_in_transaction_session_timeout = '20ms'")


async def test_limits_of_idle_sessions_are_read_by_their_names(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        limits = await store.connections.read(lambda session: session.dialect.connections.read_idle_limits(session.raw))

    assert limits == ({"wait_timeout": 28800.0} if get_kind(database_url) == "mysql" else {})


@pytest.mark.parametrize("server_url", SERVERS, indirect=True)
async def test_a_statement_of_the_store_that_the_server_stops_is_an_outage(server_url: str) -> None:
    async def run(session: DatabaseSession) -> None:
        limit, statement = SLOW_SQL[get_kind(server_url)]
        await session.execute(limit)
        await session.fetch_rows(statement)

    async with open_store(server_url, schema=find_schema(server_url)) as store:
        with pytest.raises(StoreUnavailableError):
            await store.connections.write(run)


async def test_a_statement_that_would_end_the_transaction_is_refused(
    database_url: str, subtests: pytest.Subtests
) -> None:
    async def check(ctx: Context) -> str:
        await write_ledger(ctx, "paid")
        async with ctx.transaction() as connection:
            await connection.execute(statement)
        return "done"

    async with open_ledger_harness(database_url, build_module(check)) as flow:
        for statement in ("COMMIT", " rollback work", "END", "begin", "START TRANSACTION", "Rollback;"):
            with subtests.test(statement):
                failed = await flow.get(await flow.start("Orders"))

                assert failed.status is Status.FAILED
                assert "inside ctx.transaction(): Flowlet commits it with the transition" in str(failed.reason)
                assert await read_ledger(flow) == []


@pytest.mark.parametrize("is_last", [True, False])
async def test_a_transaction_that_a_handler_has_ended_all_the_same_is_a_failed_attempt(
    database_url: str, is_last: bool
) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("INSERT INTO ledger (note) VALUES ('kept')")
            try:
                await connection.execute("/* not seen */ COMMIT")
            except RuntimeError:
                if not is_last:
                    raise
        return "done"

    async with open_ledger_harness(database_url, build_module(check)) as flow:
        failed = await flow.get(await flow.start("Orders"))

        assert failed.status is Status.FAILED
        assert "a statement has ended the transaction of ctx.transaction()" in str(failed.reason)
        assert await read_ledger(flow) == ["kept"]


async def test_savepoints_are_the_handlers_own(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("SAVEPOINT before_it")
            await connection.execute("INSERT INTO ledger (note) VALUES ('undone')")
            await connection.execute("ROLLBACK TO SAVEPOINT before_it")
        await write_ledger(ctx, "paid")
        return "done"

    async with open_ledger_harness(database_url, build_module(check)) as flow:
        ended = await flow.get(await flow.start("Orders"))

        assert ended.status is Status.FINISHED
        assert await read_ledger(flow) == ["paid"]
