"""The code of the page about SQLAlchemy, asyncpg and psycopg runs, on PostgreSQL."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from flowlet.app import Flowlet
from flowlet.settings import Settings
from tests.docs.pages import read_blocks

PAGE = "docs/how-to/use-an-orm.md"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The files of the page, which can be imported."""
    for block in read_blocks(PAGE):
        if block.title:
            (tmp_path / block.title).parent.mkdir(exist_ok=True)
            (tmp_path / block.title).write_text(block.text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name == "shop" or name.startswith("shop.")]:
        del sys.modules[name]


async def test_the_handler_of_the_page_books_once(shop: None, empty_postgres_url: str) -> None:
    scheme, _, rest = empty_postgres_url.partition("://")
    ledger: Any = importlib.import_module("shop.ledger")
    ledger.engine = create_async_engine(f"{scheme}+asyncpg://{rest}")
    ledger.open_session.configure(bind=ledger.engine)
    app = Flowlet(["shop.ledger"], settings=Settings(database_url=empty_postgres_url))

    async with ledger.engine.begin() as connection:
        await connection.run_sync(ledger.Base.metadata.create_all)
    async with app.running():
        booked = await app.start_and_wait("LedgerWorkflow", {"amount": 1200})
    async with ledger.engine.connect() as connection:
        amounts = list((await connection.execute(sqlalchemy.select(ledger.Entry.amount))).scalars())
    await ledger.engine.dispose()

    assert (booked.state, amounts) == ("booked", [1200])


async def test_the_functions_of_the_page_write_and_start_together(shop: None, empty_postgres_url: str) -> None:
    scheme, _, rest = empty_postgres_url.partition("://")
    engine = create_async_engine(f"{scheme}+asyncpg://{rest}")
    sync_engine = sqlalchemy.create_engine(f"{scheme}+psycopg://{rest}")
    app = Flowlet(["shop.orders"], settings=Settings(database_url=empty_postgres_url))
    sqlalchemy_async, sqlalchemy_sync = map(importlib.import_module, ("shop.sqlalchemy_async", "shop.sqlalchemy_sync"))
    with_asyncpg, with_psycopg = map(importlib.import_module, ("shop.with_asyncpg", "shop.with_psycopg"))

    async with app.running(), asyncpg.create_pool(empty_postgres_url, min_size=1, max_size=1) as pool:
        await pool.execute("CREATE TABLE orders (id bigint PRIMARY KEY, item text)")
        await pool.execute("CREATE TABLE payments (order_id bigint, amount bigint)")
        await sqlalchemy_async.place_order(app, async_sessionmaker(engine))
        await with_asyncpg.take_payment(app, pool)
        await with_psycopg.take_payment(app, empty_postgres_url)
        await sqlalchemy_sync.place_order(app, sessionmaker(sync_engine))
        paid = await app.wait((await app.start("OrderWorkflow", {"id": 0}, external_id="order-7")).id)
        waiting = await app.wait(
            (await app.start("OrderWorkflow", {"id": 0}, external_id="order-8")).id, states="await_payment"
        )
        items = [row["item"] for row in await pool.fetch("SELECT item FROM orders ORDER BY id")]
        payments = await pool.fetchval("SELECT count(*) FROM payments")
    await engine.dispose()
    sync_engine.dispose()

    assert (paid.state, paid.vars["id"]) == ("done", 7)
    assert (waiting.state, waiting.vars["id"]) == ("await_payment", 8)
    assert (items, payments) == (["typewriter", "lamp"], 2)
