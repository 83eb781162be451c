"""What a database does to a handler's transaction: lost answers, deadlocks, ended sessions, refused writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import databases
import pymysql
import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context, Transaction
from flowlet.workflow.retry import Retry
from flowlet.workflow.workflow import Workflow
from tests.conftest import URL_FIXTURES
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.handler_transaction.ledger import build_orders_module, open_ledger_harness, read_ledger, write_ledger

ADD_SQL = "UPDATE account SET amount = amount + 1 WHERE id = :id"


@pytest.mark.parametrize("was_written", [True, False])
async def test_a_commit_whose_answer_was_lost_is_recognised_or_the_handler_runs_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, was_written: bool
) -> None:
    runs = []

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        await write_ledger(ctx, "paid")
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        drop_first_commit(flow, monkeypatch, was_written=was_written)

        ended = await flow.run_to_end(await flow.start("Orders"))

        assert ended.status is Status.FINISHED
        assert await read_ledger(flow) == ["paid"]
        assert runs == ([1] if was_written else [1, 1])


def drop_first_commit(flow: Harness, patch: pytest.MonkeyPatch, *, was_written: bool) -> None:
    """Let the connection of the first handler's transaction die at its COMMIT: just after it, or just before."""
    transaction = flow.store.instances.transaction
    lost: list[bool] = []

    @asynccontextmanager
    async def drop_connection_at_commit() -> AsyncIterator[object]:
        if lost:
            async with transaction() as session:
                yield session
            return
        lost.append(True)
        async with transaction() as session:
            yield session
            if not was_written:
                raise StoreUnavailableError("the connection was lost")
        raise StoreUnavailableError("the connection was lost")

    patch.setattr(flow.store.instances, "transaction", drop_connection_at_commit)


async def test_a_statement_that_is_stopped_at_the_timeout_is_a_failed_attempt(mariadb_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("SELECT SLEEP(5)")
        return "done"

    module = build_workflow_module(
        workflow=Workflow("Orders", retry=Retry(limit=0)), **build_single_state(check, timeout="200ms")
    )
    async with open_ledger_harness(mariadb_url, module) as flow, asyncio.timeout(20):
        failed = await flow.get(await flow.start("Orders"))

    assert "the attempt took longer than 200 milliseconds" in str(failed.reason)


@pytest.mark.parametrize("is_swallowed", [True, False])
@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
async def test_a_deadlock_is_no_fault_of_the_handler(
    request: pytest.FixtureRequest, fixture: str, is_swallowed: bool
) -> None:
    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        await write_ledger(ctx, f"run {len(runs)}")
        if len(runs) == 1:
            async with ctx.transaction() as connection:
                try:
                    await lose_deadlock(url, connection)
                except Exception:
                    if not is_swallowed:
                        raise
            with pytest.raises(RuntimeError, match="let it pass"):
                await write_ledger(ctx, "after the deadlock")
        return "done"

    runs: list[int] = []
    url = request.getfixturevalue(fixture)
    async with open_ledger_harness(url, build_orders_module(check)) as flow, asyncio.timeout(20):
        ended = await flow.run_to_end(await flow.start("Orders"))

        assert ended.status is Status.FINISHED
        assert runs == [1, 1]
        assert await read_ledger(flow) == ["run 2"]


async def lose_deadlock(url: str, connection: Transaction) -> None:
    """Lose a deadlock against a transaction that has written more, and is more patient."""
    if "postgres" in url:
        await connection.execute("SET LOCAL deadlock_timeout = '50ms'")
    async with databases.Database(url) as database, database.connection() as other:
        await other.execute("CREATE TABLE account (id integer PRIMARY KEY, amount integer NOT NULL)")
        await other.execute("INSERT INTO account VALUES (1, 0), (2, 0)")
        await other.execute("BEGIN")
        await other.execute(ADD_SQL, {"id": 2})
        for id in range(3, 20):
            await other.execute("INSERT INTO account VALUES (:id, 0)", {"id": id})
        await connection.execute(ADD_SQL, {"id": 1})
        crossing = asyncio.create_task(other.execute(ADD_SQL, {"id": 1}))
        try:
            await connection.execute(ADD_SQL, {"id": 2})
        finally:
            await crossing
            await other.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("fixture", "deadlock"),
    [
        ("postgres_url", asyncpg.DeadlockDetectedError("deadlock detected")),
        ("mariadb_url", pymysql.err.OperationalError(1213, "Deadlock found")),
        ("postgres_url", asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction")),
        ("mariadb_url", pymysql.err.OperationalError(1290, "running with the --read-only option")),
    ],
)
async def test_a_deadlock_of_the_transitions_own_commit_is_none_either(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, fixture: str, deadlock: Exception
) -> None:
    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        await write_ledger(ctx, "paid")
        return "done"

    async def is_lease_lost(*_values: object, **_more: object) -> bool:
        monkeypatch.undo()
        raise deadlock

    runs: list[int] = []
    async with open_ledger_harness(request.getfixturevalue(fixture), build_orders_module(check)) as flow:
        monkeypatch.setattr(flow.store.instances, "commit_in_transaction", is_lease_lost)

        await flow.run_to_end(await flow.start("Orders"))

        assert runs == [1, 1]
        assert await read_ledger(flow) == ["paid"]


async def test_a_server_that_takes_no_writes_any_more_is_no_fault_of_the_handler(postgres_url: str) -> None:
    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        if len(runs) == 1:
            async with ctx.transaction() as connection:
                await connection.execute("SET TRANSACTION READ ONLY")
        await write_ledger(ctx, "paid")
        return "done"

    runs: list[int] = []
    async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
        ended = await flow.run_to_end(await flow.start("Orders"))

        assert ended.status is Status.FINISHED
        assert runs == [1, 1]
        assert await read_ledger(flow) == ["paid"]


RAISE_LOCK_TIMEOUT = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'locked' USING ERRCODE = 'lock_not_available'; END $$",
    "mariadb": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205, MESSAGE_TEXT = 'Lock wait timeout exceeded'",
}


@pytest.mark.parametrize("server", RAISE_LOCK_TIMEOUT)
async def test_a_transaction_that_the_server_does_not_open_in_time_is_no_fault_of_the_handler(
    request: pytest.FixtureRequest, server: str
) -> None:
    """A node of Galera that waits for the others answers BEGIN by a lock timeout."""

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        connections = flow.store.connections.dialect.connections
        with pytest.MonkeyPatch.context() as patch:
            if len(runs) == 1:
                patch.setattr(type(connections), "begin_handler_sql", RAISE_LOCK_TIMEOUT[server])
            await write_ledger(ctx, "paid")
        return "done"

    runs: list[int] = []
    url = request.getfixturevalue(URL_FIXTURES[server])
    async with open_ledger_harness(url, build_orders_module(check)) as flow:
        ended = await flow.run_to_end(await flow.start("Orders"))

        assert ended.status is Status.FINISHED
        assert runs == [1, 1]
        assert await read_ledger(flow) == ["paid"]
