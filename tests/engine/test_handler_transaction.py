"""A handler's own transaction: its writes and its transition are committed together, or not at all."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import asyncpg
import databases
import pymysql
import pytest

from flowlet.errors import Fail, StoreUnavailableError
from flowlet.instance.instance import ActionKind, Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context, Transaction
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, Workflow, end, state
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module

Handler = Callable[[Context], Awaitable[object]]
ADD_SQL = "UPDATE account SET amount = amount + 1 WHERE id = :id"


async def write_ledger(ctx: Context, note: str) -> None:
    """Write a line of the application's own table."""
    async with ctx.transaction() as connection:
        await connection.execute("INSERT INTO ledger (note) VALUES (:note)", {"note": note})


@asynccontextmanager
async def open_ledger_harness(database_url: str, *modules: ModuleType) -> AsyncIterator[Harness]:
    """Open a harness on a database that has a table of the application's own."""
    async with Harness(modules, database_url=database_url) as flow:
        table = "CREATE TABLE ledger (note varchar(50) NOT NULL)"
        await flow.store.connections.write(lambda session: session.execute(table))
        yield flow


async def read_ledger(flow: Harness) -> list[str]:
    rows = await flow.store.connections.read(
        lambda session: session.fetch_rows("SELECT note FROM ledger ORDER BY note")
    )
    return [row[0] for row in rows]


def build_orders_module(check: object) -> ModuleType:
    workflow = Workflow("Orders", retry=Retry(limit=1, min="1m", max="1m"))
    return build_workflow_module(workflow=workflow, **build_single_state(check))


async def test_what_a_handler_writes_is_committed_with_its_transition(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await write_ledger(ctx, "paid")
        ctx.vars["paid"] = True
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        id = await flow.start("Orders")

        assert (await flow.get(id)).status is Status.FINISHED
        assert await flow.vars(id) == {"paid": True}
        assert await read_ledger(flow) == ["paid"]


async def test_a_handler_that_keeps_its_lease_may_write_in_each_state(database_url: str) -> None:
    @state(start=True, next=["second"])
    async def first(ctx: Context) -> None:
        await write_ledger(ctx, "first")

    @state(next=["done"])
    async def second(ctx: Context) -> None:
        await write_ledger(ctx, "second")

    async with open_ledger_harness(database_url, build_workflow_module(first=first, second=second, done=end())) as flow:
        assert (await flow.get(await flow.start("Orders"))).status is Status.FINISHED
        assert await read_ledger(flow) == ["first", "second"]


async def test_two_uses_in_one_handler_are_one_transaction(database_url: str) -> None:
    seen = []

    async def check(ctx: Context) -> str:
        await write_ledger(ctx, "first")
        async with ctx.transaction() as connection:
            seen.append(len(await connection.fetch_all("SELECT note FROM ledger")))
        await write_ledger(ctx, "second")
        if ctx.attempt == 1:
            raise ValueError("late")
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        id = await flow.start("Orders")
        assert await read_ledger(flow) == []

        await flow.run_to_end(id)

        assert await read_ledger(flow) == ["first", "second"]
        assert seen == [1, 1]


async def test_a_failed_attempt_takes_its_writes_back_and_keeps_its_lines(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        ctx.log("about to pay")
        await write_ledger(ctx, "paid")
        raise Fail("the customer is gone")

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        id = await flow.start("Orders")

        assert await read_ledger(flow) == []
        kinds = [line.kind for line in await flow.history(id)]
        assert kinds == [ActionKind.CREATED, ActionKind.LOG, ActionKind.ERROR, ActionKind.FAILED]


async def test_a_statement_that_the_database_refuses_fails_the_attempt(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await write_ledger(ctx, "paid")
        async with ctx.transaction() as connection:
            await connection.execute("INSERT INTO ledger (note) VALUES (NULL)")
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        id = await flow.start("Orders")

        assert await read_ledger(flow) == []
        assert (await flow.get(id)).attempt == 1


async def test_a_refusal_that_a_handler_swallowed_is_still_both_or_nothing(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await write_ledger(ctx, f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            try:
                async with ctx.transaction() as connection:
                    await connection.execute("INSERT INTO ledger (note) VALUES (NULL)")
            except Exception as error:  # noqa: BLE001 - each driver has its own
                ctx.log(type(error).__name__)
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        id = await flow.start("Orders")

        ended = await flow.run_to_end(id)

        assert ended.status is Status.FINISHED
        moves = await flow.history(id, ActionKind.TRANSITION)
        assert await read_ledger(flow) == [f"attempt {moves[0].attempt}"]


async def test_a_lost_lease_takes_the_writes_with_it(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await take_lease_away(box[0], ctx.workflow.id)
        await write_ledger(ctx, "paid")
        return "done"

    box: list[Harness] = []
    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        box.append(flow)
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.state, instance.status) == ("check", Status.EXECUTING)
        assert len(await flow.history(id)) == 1
        assert await read_ledger(flow) == []


async def take_lease_away(flow: Harness, id: int) -> None:
    """Move an instance's fencing token, as a repair by another executor does."""
    sql = "UPDATE flowlet_workflow SET token = token + 1 WHERE id = :id"
    await flow.store.connections.write(lambda session: session.execute(sql, {"id": id}))


async def test_a_transition_that_the_store_refuses_takes_the_writes_with_it(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def check(ctx: Context) -> Next:
        await write_ledger(ctx, "paid")
        return wait.spawn(child("Orders").with_ids(external_id="taken"))

    @state(next=["done"])
    async def wait() -> None: ...

    async with open_ledger_harness(database_url, build_workflow_module(check=check, wait=wait, done=end())) as flow:
        await flow.start("Orders", external_id="taken", group="elsewhere")
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.state, instance.attempt, instance.children) == ("check", 1, 0)
        assert "external id" in str(instance.reason)
        assert await read_ledger(flow) == []


async def test_a_pause_that_came_before_is_taken_up_in_the_same_transaction(database_url: str) -> None:
    @state(start=True, next=["ship"])
    async def check(ctx: Context) -> None:
        await box[0].operations.pause(ctx.workflow.id, username="anna")
        await write_ledger(ctx, "paid")

    @state(next=["done"])
    async def ship() -> None: ...

    box: list[Harness] = []
    async with open_ledger_harness(database_url, build_workflow_module(check=check, ship=ship, done=end())) as flow:
        box.append(flow)
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.state, instance.status, instance.held_status) == ("ship", Status.PAUSED, Status.IN_PROGRESS)
        assert await read_ledger(flow) == ["paid"]
        await flow.operations.resume(id, username="anna")
        await flow.settle()
        assert (await flow.get(id)).status is Status.FINISHED


async def test_a_handler_that_is_stopped_at_its_timeout_takes_its_writes_back(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("INSERT INTO ledger (note) VALUES ('paid')")
            await asyncio.Event().wait()
        return "done"

    module = build_workflow_module(
        workflow=Workflow("Orders", retry=Retry(limit=0)), **build_single_state(check, timeout="200ms")
    )
    async with open_ledger_harness(database_url, module) as flow:
        failed = await flow.get(await flow.start("Orders"))

        assert "the attempt took longer than 200 milliseconds" in str(failed.reason)
        assert await read_ledger(flow) == []


async def test_no_connection_is_lost_however_often_handlers_fail(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await write_ledger(ctx, "paid")
        if ctx.vars["fails"]:
            raise Fail("closed")
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        for number in range(40):
            await flow.start("Orders", vars={"fails": number != 20}, settle=False)

        async with asyncio.timeout(30):
            await flow.settle()

        assert await read_ledger(flow) == ["paid"]
        assert await flow.store.queries.count_by_type_and_status() == {
            ("Orders", "FAILED"): 39,
            ("Orders", "FINISHED"): 1,
        }


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


async def test_own_transactions_leave_connections_for_everything_else(database_url: str) -> None:
    async def hold_transaction() -> None:
        async with flow.store.connections.transaction():
            await is_over.wait()

    is_over = asyncio.Event()
    async with open_ledger_harness(database_url) as flow:
        holding = [asyncio.create_task(hold_transaction()) for _ in range(12)]

        async with asyncio.timeout(10):
            counts = await flow.store.queries.count_by_type_and_status()

        is_over.set()
        await asyncio.gather(*holding)
        assert counts == {}


async def test_one_that_waits_for_its_turn_can_be_cancelled(sqlite_url: str) -> None:
    async def run_second_transaction() -> None:
        async with flow.store.connections.transaction():
            raise AssertionError("unreachable")

    async with open_ledger_harness(sqlite_url) as flow, flow.store.connections.transaction():
        waiting = asyncio.create_task(run_second_transaction(), context=contextvars.Context())

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await waiting


async def test_a_transaction_that_a_child_task_opened_is_the_whole_handlers(sqlite_url: str) -> None:
    async def check(ctx: Context) -> str:
        await asyncio.create_task(write_ledger(ctx, "paid"))
        with pytest.raises(RuntimeError, match="SQLite's only write lock is held"):
            await box[0].operations.create("Orders")
        return "done"

    box: list[Harness] = []
    async with open_ledger_harness(sqlite_url, build_orders_module(check)) as flow:
        box.append(flow)
        async with asyncio.timeout(10):
            id = await flow.start("Orders")

        assert (await flow.get(id)).status is Status.FINISHED
        assert await read_ledger(flow) == ["paid"]


async def test_a_task_that_outlives_its_handler_may_write_on_sqlite_but_not_through_its_connection(
    database_url: str,
) -> None:
    async def write_later(ctx: Context, connection: Transaction) -> None:
        await is_over.wait()
        with pytest.raises(RuntimeError, match="has ended"):
            await connection.execute("INSERT INTO ledger (note) VALUES ('late')")
        with pytest.raises(RuntimeError, match="has ended"):
            await write_ledger(ctx, "late")
        await box[0].operations.create("Orders", external_id="later", vars={"is_second": True})

    async def check(ctx: Context) -> str:
        if not ctx.vars:
            async with ctx.transaction() as connection:
                await connection.execute("INSERT INTO ledger (note) VALUES ('paid')")
                tasks.append(asyncio.create_task(write_later(ctx, connection)))
        return "done"

    box: list[Harness] = []
    tasks: list[asyncio.Task[None]] = []
    is_over = asyncio.Event()
    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        box.append(flow)
        await flow.start("Orders")

        is_over.set()
        await tasks[0]

        assert await read_ledger(flow) == ["paid"]


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


@pytest.mark.parametrize("writes_again", [True, False])
async def test_a_server_that_ends_one_idle_transaction_is_not_away(postgres_url: str, writes_again: bool) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
        await box[0].store.connections.read(lambda session: session.fetch_rows("SELECT pg_sleep(0.2)"))
        if writes_again:
            await write_ledger(ctx, "paid")
        return "done"

    box: list[Harness] = []
    module = build_workflow_module(workflow=Workflow("Orders", retry=Retry(limit=0)), **build_single_state(check))
    async with open_ledger_harness(postgres_url, module) as flow, asyncio.timeout(20):
        box.append(flow)
        failed = await flow.get(await flow.start("Orders"))

        assert failed.status is Status.FAILED
        assert await read_ledger(flow) == []


async def test_nobody_can_end_the_transaction_through_its_connection(database_url: str) -> None:
    seen = []

    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            seen.append(hasattr(connection, "transaction"))
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        await flow.start("Orders")

    assert seen == [False]


async def test_an_instance_is_created_within_a_handlers_own_transaction(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        if ctx.workflow.external_id != "second":
            async with ctx.transaction() as connection:
                await box[0].operations.create("Orders", external_id="second", connection=connection)
            if ctx.attempt == 1:
                raise ValueError("late")
        return "done"

    box: list[Harness] = []
    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        box.append(flow)
        id = await flow.start("Orders")
        assert len(await flow.store.queries.count_by_type_and_status()) == 1

        await flow.run_to_end(id)
        await flow.settle()

        assert await flow.store.queries.count_by_type_and_status() == {("Orders", "FINISHED"): 2}


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
