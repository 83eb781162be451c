"""A handler's own transaction: its writes and its transition are committed together, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from flowlet.context import Context
from flowlet.errors import Fail, StoreUnavailableError
from flowlet.instances import ActionKind, Status
from flowlet.retry import Retry
from flowlet.states import Workflow, end, state
from flowlet.testing import Harness
from flowlet.transitions import Next, child
from tests.engine.making import one_state, workflow_module

Handler = Callable[[Context], Awaitable[object]]


async def pay(ctx: Context, note: str) -> None:
    """Write a line of the application's own table."""
    async with ctx.transaction() as connection:
        await connection.execute("INSERT INTO ledger (note) VALUES (:note)", {"note": note})


@asynccontextmanager
async def shop(database_url: str, *modules: ModuleType) -> AsyncIterator[Harness]:
    """Open a harness on a database that has a table of the application's own."""
    async with Harness(modules, database_url=database_url) as flow:
        table = "CREATE TABLE ledger (note varchar(50) NOT NULL)"
        await flow.store.connections.write(lambda session: session.execute(table))
        yield flow


async def ledger(flow: Harness) -> list[str]:
    rows = await flow.store.connections.read(lambda session: session.rows("SELECT note FROM ledger ORDER BY note"))
    return [row[0] for row in rows]


def orders(check: object) -> ModuleType:
    workflow = Workflow("Orders", retry=Retry(limit=1, min="1m", max="1m"))
    return workflow_module(workflow=workflow, **one_state(check))


async def test_what_a_handler_writes_is_committed_with_its_transition(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await pay(ctx, "paid")
        ctx.vars["paid"] = True
        return "done"

    async with shop(database_url, orders(check)) as flow:
        id = await flow.start("Orders")

        assert (await flow.get(id)).status is Status.FINISHED
        assert await flow.vars(id) == {"paid": True}
        assert await ledger(flow) == ["paid"]


async def test_a_handler_that_keeps_its_lease_may_write_in_each_state(database_url: str) -> None:
    @state(start=True, next=["second"])
    async def first(ctx: Context) -> None:
        await pay(ctx, "first")

    @state(next=["done"])
    async def second(ctx: Context) -> None:
        await pay(ctx, "second")

    async with shop(database_url, workflow_module(first=first, second=second, done=end())) as flow:
        assert (await flow.get(await flow.start("Orders"))).status is Status.FINISHED
        assert await ledger(flow) == ["first", "second"]


async def test_two_uses_in_one_handler_are_one_transaction(database_url: str) -> None:
    seen = []

    async def check(ctx: Context) -> str:
        await pay(ctx, "first")
        async with ctx.transaction() as connection:
            seen.append(len(await connection.fetch_all("SELECT note FROM ledger")))
        await pay(ctx, "second")
        if ctx.attempt == 1:
            raise ValueError("late")
        return "done"

    async with shop(database_url, orders(check)) as flow:
        id = await flow.start("Orders")
        assert await ledger(flow) == []

        await flow.run_to_end(id)

        assert await ledger(flow) == ["first", "second"]
        assert seen == [1, 1]


async def test_a_failed_attempt_takes_its_writes_back_and_keeps_its_lines(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        ctx.log("about to pay")
        await pay(ctx, "paid")
        raise Fail("the customer is gone")

    async with shop(database_url, orders(check)) as flow:
        id = await flow.start("Orders")

        assert await ledger(flow) == []
        kinds = [line.kind for line in await flow.history(id)]
        assert kinds == [ActionKind.CREATED, ActionKind.LOG, ActionKind.ERROR, ActionKind.FAILED]


async def test_a_statement_that_the_database_refuses_fails_the_attempt(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await pay(ctx, "paid")
        async with ctx.transaction() as connection:
            await connection.execute("INSERT INTO ledger (note) VALUES (NULL)")
        return "done"

    async with shop(database_url, orders(check)) as flow:
        id = await flow.start("Orders")

        assert await ledger(flow) == []
        assert (await flow.get(id)).attempt == 1


async def test_a_refusal_that_a_handler_swallowed_is_still_both_or_nothing(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await pay(ctx, f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            try:
                async with ctx.transaction() as connection:
                    await connection.execute("INSERT INTO ledger (note) VALUES (NULL)")
            except Exception as error:  # noqa: BLE001 - each driver has its own
                ctx.log(type(error).__name__)
        return "done"

    async with shop(database_url, orders(check)) as flow:
        id = await flow.start("Orders")

        ended = await flow.run_to_end(id)

        assert ended.status is Status.FINISHED
        moves = await flow.history(id, ActionKind.TRANSITION)
        assert await ledger(flow) == [f"attempt {moves[0].attempt}"]


async def test_a_lost_lease_takes_the_writes_with_it(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await take_away(box[0], ctx.workflow.id)
        await pay(ctx, "paid")
        return "done"

    box: list[Harness] = []
    async with shop(database_url, orders(check)) as flow:
        box.append(flow)
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.state, instance.status) == ("check", Status.EXECUTING)
        assert len(await flow.history(id)) == 1
        assert await ledger(flow) == []


async def take_away(flow: Harness, id: int) -> None:
    """Move an instance's fencing token, as a repair by another executor does."""
    sql = "UPDATE workflow SET token = token + 1 WHERE id = :id"
    await flow.store.connections.write(lambda session: session.execute(sql, {"id": id}))


async def test_a_transition_that_the_store_refuses_takes_the_writes_with_it(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def check(ctx: Context) -> Next:
        await pay(ctx, "paid")
        return wait.spawn(child("Orders").named(external_id="taken"))

    @state(next=["done"])
    async def wait() -> None: ...

    async with shop(database_url, workflow_module(check=check, wait=wait, done=end())) as flow:
        await flow.start("Orders", external_id="taken", group="elsewhere")
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.state, instance.attempt, instance.children) == ("check", 1, 0)
        assert "external id" in str(instance.reason)
        assert await ledger(flow) == []


async def test_a_pause_that_came_before_is_taken_up_in_the_same_transaction(database_url: str) -> None:
    @state(start=True, next=["ship"])
    async def check(ctx: Context) -> None:
        await box[0].operations.pause(ctx.workflow.id, username="anna")
        await pay(ctx, "paid")

    @state(next=["done"])
    async def ship() -> None: ...

    box: list[Harness] = []
    async with shop(database_url, workflow_module(check=check, ship=ship, done=end())) as flow:
        box.append(flow)
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.state, instance.status, instance.held_status) == ("ship", Status.PAUSED, Status.IN_PROGRESS)
        assert await ledger(flow) == ["paid"]
        await flow.operations.resume(id, username="anna")
        await flow.settle()
        assert (await flow.get(id)).status is Status.FINISHED


async def test_a_handler_that_is_stopped_at_its_timeout_takes_its_writes_back(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            await connection.execute("INSERT INTO ledger (note) VALUES ('paid')")
            await asyncio.Event().wait()
        return "done"

    module = workflow_module(workflow=Workflow("Orders", retry=Retry(limit=0)), **one_state(check, timeout="200ms"))
    async with shop(database_url, module) as flow:
        failed = await flow.get(await flow.start("Orders"))

        assert "the attempt took longer than 200 milliseconds" in str(failed.reason)
        assert await ledger(flow) == []


async def test_no_connection_is_lost_however_often_handlers_fail(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        await pay(ctx, "paid")
        if ctx.vars["fails"]:
            raise Fail("closed")
        return "done"

    async with shop(database_url, orders(check)) as flow:
        for number in range(40):
            await flow.start("Orders", vars={"fails": number != 20}, settle=False)

        async with asyncio.timeout(30):
            await flow.settle()

        assert await ledger(flow) == ["paid"]
        assert await flow.store.reads.counts() == {("Orders", "FAILED"): 39, ("Orders", "FINISHED"): 1}


@pytest.mark.parametrize("was_written", [True, False])
async def test_a_commit_whose_answer_was_lost_is_recognised_or_the_handler_runs_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, was_written: bool
) -> None:
    runs = []

    async def check(ctx: Context) -> str:
        runs.append(ctx.attempt)
        await pay(ctx, "paid")
        return "done"

    async with shop(database_url, orders(check)) as flow:
        lose_first_answer(flow, monkeypatch, was_written=was_written)

        id = await flow.start("Orders")

        assert (await flow.get(id)).status is Status.FINISHED
        assert await ledger(flow) == ["paid"]
        assert runs == ([1] if was_written else [1, 1])


def lose_first_answer(flow: Harness, patch: pytest.MonkeyPatch, *, was_written: bool) -> None:
    """Let the connection of the first handler's transaction die at its COMMIT: just after it, or just before."""
    transaction = flow.store.instances.transaction
    lost: list[bool] = []

    @asynccontextmanager
    async def losing() -> AsyncIterator[object]:
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

    patch.setattr(flow.store.instances, "transaction", losing)
