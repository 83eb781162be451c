"""Creating and sending inside a transaction that the caller has begun with a library of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import databases
import psycopg
import pytest
from pydantic import BaseModel

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.errors import StoreError, UnknownInstanceError
from flowlet.settings import Settings
from flowlet.store.opening import Store
from flowlet.workflow.receive import receive
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.operations.callers.caller_transactions import OPENERS, Transactions

LONG_TEXT = "ein Gedicht: 100 % schön :name " * 400


class Payment(BaseModel):
    text: str = ""


@state(start=True, next=["pay"])
async def check() -> None: ...


@receive(messages={"payment": Payment}, next=["done"])
async def pay(message: Payment) -> None: ...


done = end()


class _OwnError(Exception):
    """Ends a block, so that its transaction is rolled back."""


@asynccontextmanager
async def open_app(url: str) -> AsyncIterator[tuple[Flowlet, Store]]:
    """Run an application that only creates."""
    registry = Registry()
    registry.add(build_workflow_module(check=check, pay=pay, done=done, workflow=Workflow("Orders")))
    app = Flowlet(registry=registry, settings=Settings(database_url=url))
    async with app.running(executor=False) as store:
        yield app, store


@pytest.mark.parametrize(("system", "open_transactions"), OPENERS)
async def test_an_instance_and_a_message_are_part_of_the_callers_transaction(
    request: pytest.FixtureRequest,
    system: str,
    open_transactions: Callable[[str], AbstractAsyncContextManager[Transactions]],
) -> None:
    url = request.getfixturevalue(system)
    async with open_app(url) as (app, store), open_transactions(url) as begin:
        with contextlib.suppress(_OwnError):
            async with begin() as connection:
                await app.start("Orders", {"text": LONG_TEXT}, external_id="order-1", connection=connection)
                raise _OwnError
        with pytest.raises(UnknownInstanceError):
            await store.queries.get_by_external_id("order-1")

        async with begin() as connection:
            created = await app.start("Orders", {"text": LONG_TEXT}, external_id="order-1", connection=connection)
            again = await app.start("Orders", external_id="order-1", connection=connection)
            sent = await app.send("payment", Payment(text=LONG_TEXT), to="order-1", key="a", connection=connection)
            repeated = await app.send("payment", to=created.id, key="a", connection=connection)
            with pytest.raises(UnknownInstanceError):
                await store.queries.get_by_external_id("order-1")

        assert (created.is_new, again.is_new, sent.is_new, repeated.is_new) == (True, False, True, False)
        assert (await store.queries.get(created.id)).vars == {"text": LONG_TEXT}
        (message,) = await app.operations.list_unread(created.id)
        assert message.body == {"text": LONG_TEXT}


@pytest.mark.parametrize(("system", "open_transactions"), [pair for pair in OPENERS if pair[0] == "postgres_url"])
async def test_a_cancelled_caller_loses_no_connection(
    request: pytest.FixtureRequest,
    system: str,
    open_transactions: Callable[[str], AbstractAsyncContextManager[Transactions]],
) -> None:
    url = request.getfixturevalue(system)
    async with open_app(url) as (app, store), open_transactions(url) as begin:

        async def create(turns: int, begun: asyncio.Event) -> None:
            async with begin() as connection:
                begun.set()
                await app.start("Orders", external_id=f"order-{turns}", connection=connection)
                await asyncio.Event().wait()

        for turns in range(0, 24, 2):
            begun = asyncio.Event()
            task = asyncio.create_task(create(turns, begun))
            # `databases` itself loses a connection whose BEGIN is cancelled: what is tried here comes after it.
            await begun.wait()
            for _ in range(turns):
                await asyncio.wait([task], timeout=0.0005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with begin() as connection:
            await app.start("Orders", external_id="order-last", connection=connection)

        assert (await store.queries.get_by_external_id("order-last")).state == "check"
        assert sum((await store.queries.count_by_type_and_status()).values()) == 1


async def test_a_connection_without_a_transaction_is_refused(postgres_url: str, sqlite_url: str) -> None:
    async with open_app(postgres_url) as (app, store), databases.Database(postgres_url) as database:
        async with database.connection() as connection:
            with pytest.raises(StoreError, match="no transaction open.*Begin one"):
                await app.start("Orders", connection=connection)
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as psycopg_connection:
            with pytest.raises(StoreError, match="no transaction open"):
                await app.start("Orders", connection=psycopg_connection)
        assert not await store.queries.count_by_type_and_status()


async def test_what_cannot_share_a_transaction_is_refused(postgres_url: str) -> None:
    async with open_app(postgres_url) as (app, _):
        with contextlib.closing(sqlite3.connect(":memory:")) as of_sqlite:
            for connection in (of_sqlite, object(), "postgresql://127.0.0.1/shop"):
                with pytest.raises(StoreError, match="cannot share a transaction.*asyncpg or psycopg 3"):
                    await app.start("Orders", connection=connection)
                with pytest.raises(StoreError, match="cannot share a transaction"):
                    await app.send("payment", to=1, connection=connection)
