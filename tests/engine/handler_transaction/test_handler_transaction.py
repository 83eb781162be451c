"""A handler's own transaction: its writes and its transition are committed together, or not at all."""

from __future__ import annotations

import asyncio

from flowlet.errors import Fail
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.handler_transaction.ledger import build_orders_module, open_ledger_harness, read_ledger, write_ledger


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
