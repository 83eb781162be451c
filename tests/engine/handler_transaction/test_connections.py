"""The connection of a handler's transaction: who may use it, until when, and what is left for others."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from flowlet.errors import Fail
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context, Transaction
from tests.engine.handler_transaction.ledger import build_orders_module, open_ledger_harness, read_ledger, write_ledger


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


async def test_nobody_can_end_the_transaction_through_its_connection(database_url: str) -> None:
    seen = []

    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            seen.append(hasattr(connection, "transaction"))
        return "done"

    async with open_ledger_harness(database_url, build_orders_module(check)) as flow:
        await flow.start("Orders")

    assert seen == [False]
