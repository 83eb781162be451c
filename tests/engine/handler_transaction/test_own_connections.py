"""A handler writes with a library of its own, and its transition is part of that transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import StaticPool

from flowlet.errors import Fail
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context
from tests.engine.handler_transaction.ledger import build_orders_module, open_ledger_harness, read_ledger

INSERT = "INSERT INTO ledger (note) VALUES ('paid')"
Source = Callable[[], Any]


@asynccontextmanager
async def open_async_engine(url: str, **drivers: str) -> AsyncIterator[Any]:
    """An engine of SQLAlchemy with one connection."""
    scheme = url.partition(":")[0]
    engine = create_async_engine(url.replace(scheme, f"{scheme}+{drivers[scheme]}", 1), pool_size=1, max_overflow=0)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_sessions(url: str) -> AsyncIterator[Source]:
    async with open_async_engine(url, postgresql="asyncpg", mysql="aiomysql", sqlite="aiosqlite") as engine:
        yield async_sessionmaker(engine)


@asynccontextmanager
async def open_connections(url: str) -> AsyncIterator[Source]:
    async with open_async_engine(url, postgresql="psycopg") as engine:
        yield engine.connect


@asynccontextmanager
async def open_begun_connections(url: str) -> AsyncIterator[Source]:
    async with open_async_engine(url, postgresql="asyncpg") as engine:
        yield engine.begin


@asynccontextmanager
async def open_sync_sessions(url: str) -> AsyncIterator[Source]:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1), pool_size=1, max_overflow=0)
    yield sessionmaker(engine)
    engine.dispose()


@asynccontextmanager
async def open_asyncpg(url: str) -> AsyncIterator[Source]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        yield pool.acquire


@asynccontextmanager
async def open_psycopg(url: str) -> AsyncIterator[Source]:
    yield lambda: psycopg.AsyncConnection.connect(url)


LIBRARIES: list[tuple[str, Callable[[str], AbstractAsyncContextManager[Source]]]] = [
    ("sqlite_url", open_sessions),
    ("mariadb_url", open_sessions),
    ("postgres_url", open_sessions),
    ("postgres_url", open_connections),
    ("postgres_url", open_begun_connections),
    ("postgres_url", open_sync_sessions),
    ("postgres_url", open_asyncpg),
    ("postgres_url", open_psycopg),
]
"""The fixture of a database's URL, and what opens connections or sessions of a library."""


async def write_paid(opened: Any) -> None:
    """Write a line of the ledger with any of the libraries."""
    is_sqlalchemy = type(opened).__module__.startswith("sqlalchemy")
    written = opened.execute(sqlalchemy.text(INSERT) if is_sqlalchemy else INSERT)
    if hasattr(written, "__await__"):
        await written


@pytest.mark.parametrize(("system", "library"), LIBRARIES)
async def test_writes_of_a_library_are_committed_with_the_transition(
    request: pytest.FixtureRequest, system: str, library: Callable[[str], AbstractAsyncContextManager[Source]]
) -> None:
    url = request.getfixturevalue(system)
    async with library(url) as source:

        async def check(ctx: Context) -> str:
            async with ctx.transaction(source) as opened:
                await write_paid(opened)
            async with ctx.transaction(source) as again:
                assert again is opened
            ctx.vars["attempts"] = ctx.attempt
            if ctx.attempt == 1:
                raise ValueError("late")
            return "done"

        async with open_ledger_harness(url, build_orders_module(check)) as flow:
            id = await flow.start("Orders")
            assert await read_ledger(flow) == []

            ended = await flow.run_to_end(id)

            assert (ended.status, ended.vars) == (Status.FINISHED, {"attempts": 2})
            assert await read_ledger(flow) == ["paid"]
            history = [line.kind.value for line in await flow.history(id)]
            assert history.count("TRANSITION") == 1


@pytest.mark.parametrize("library", [open_sessions, open_connections, open_asyncpg])
async def test_a_cancelled_handler_gives_the_connection_back(
    postgres_url: str, library: Callable[[str], AbstractAsyncContextManager[Source]]
) -> None:
    async with library(postgres_url) as source:

        async def check(ctx: Context) -> str:
            async with ctx.transaction(source) as opened:
                await write_paid(opened)
                if ctx.attempt == 1:
                    task = asyncio.current_task()
                    assert task
                    task.cancel()
                    await asyncio.Event().wait()
            return "done"

        async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
            ended = await flow.run_to_end(await flow.start("Orders"))

            assert (ended.status, await read_ledger(flow)) == (Status.FINISHED, ["paid"])


async def test_a_handler_that_ends_its_librarys_transaction_has_failed(postgres_url: str) -> None:
    async with open_asyncpg(postgres_url) as source:

        async def check(ctx: Context) -> str:
            async with ctx.transaction(source) as opened:
                await opened.execute("ROLLBACK")
            return "done"

        async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
            ended = await flow.run_to_end(await flow.start("Orders"))

    assert ended.status is Status.FAILED
    assert "has ended the transaction of ctx.transaction()" in (ended.reason or "")


async def test_a_transition_is_not_committed_in_the_next_transaction_of_a_returned_connection(
    postgres_url: str,
) -> None:
    async with open_sessions(postgres_url) as source, AsyncExitStack() as stack:

        async def check(ctx: Context) -> str:
            if ctx.attempt == 1:
                async with ctx.transaction(source) as opened:
                    await opened.rollback()  # the engine's only connection is free again
                await write_paid(await stack.enter_async_context(source()))
            else:
                await stack.aclose()
            return "done"

        async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
            id = await flow.start("Orders")
            ended = await flow.run_to_end(id)

            (failed,) = [line for line in await flow.history(id) if line.kind.value == "ERROR"]
            assert (ended.status, await read_ledger(flow)) == (Status.FINISHED, [])
            assert "has ended the transaction of ctx.transaction()" in (failed.text or "")


async def test_a_connection_that_is_lost_or_cannot_be_opened_fails_the_attempt(postgres_url: str) -> None:
    async with open_asyncpg(postgres_url) as source:

        async def check(ctx: Context) -> str:
            if ctx.attempt == 1:
                async with ctx.transaction(source) as opened, asyncpg.create_pool(postgres_url, min_size=1) as other:
                    await other.execute("SELECT pg_terminate_backend($1)", opened.get_server_pid())
                    raise ValueError("the server closed it")
            async with ctx.transaction(raise_timeout):
                pass
            return "done"

        async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
            id = await flow.start("Orders")
            ended = await flow.run_to_end(id)

            errors = [line.text for line in await flow.history(id) if line.kind.value == "ERROR"]
            assert ended.status is Status.FAILED
            assert errors == ["ValueError: the server closed it", "TimeoutError: no connection became free"]


def raise_timeout() -> AbstractAsyncContextManager[Any]:
    """Fail as a pool does that has no connection left."""
    raise TimeoutError("no connection became free")


async def test_what_cannot_be_shared_fails_the_attempt_with_the_reason(postgres_url: str) -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

    async def check(ctx: Context) -> str:
        sources: list[Source] = [engine.connect, lambda: 7, lambda: memoryview(b"")]
        texts = []
        for source in sources:
            with pytest.raises(Exception, match=r"cannot (share|begin) a transaction|no context manager") as caught:
                async with ctx.transaction(source):
                    pass
            texts.append(str(caught.value))
        raise Fail(" / ".join(texts))

    async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
        ended = await flow.run_to_end(await flow.start("Orders"))
    engine.dispose()

    assert "sqlite3.Connection, which cannot share a transaction" in (ended.reason or "")
    assert "int, no context manager" in (ended.reason or "")


async def test_one_activation_has_one_transaction(postgres_url: str) -> None:
    async with open_asyncpg(postgres_url) as source:

        async def check(ctx: Context) -> str:
            async with ctx.transaction():
                pass
            async with ctx.transaction(source):
                pass
            return "done"

        async with open_ledger_harness(postgres_url, build_orders_module(check)) as flow:
            ended = await flow.run_to_end(await flow.start("Orders"))

    assert "twice in one activation with different arguments" in (ended.reason or "")
