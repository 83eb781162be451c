"""Transactions that a test begins with each library, on a pool of one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import aiosqlite
import asyncpg
import databases
import psycopg
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

__all__ = ["OPENERS", "Transactions"]

Transactions = Callable[[], AbstractAsyncContextManager[Any]]
"""Begins a transaction for the length of a block, and rolls it back if the block raises."""


@asynccontextmanager
async def open_databases(url: str) -> AsyncIterator[Transactions]:
    async with databases.Database(url) as database:

        @asynccontextmanager
        async def begin() -> AsyncIterator[Any]:
            async with database.connection() as connection, connection.transaction():
                yield connection

        yield begin


@asynccontextmanager
async def open_async_sqlalchemy(url: str) -> AsyncIterator[Transactions]:
    engine = create_async_engine(_name_driver(url, postgresql="asyncpg", mysql="aiomysql", sqlite="aiosqlite"))
    try:
        yield engine.begin
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_async_orm(url: str) -> AsyncIterator[Transactions]:
    async with open_async_sqlalchemy(url) as begin_connection:

        @asynccontextmanager
        async def begin() -> AsyncIterator[Any]:
            async with begin_connection() as connection, AsyncSession(connection) as session:
                yield session

        yield begin


@asynccontextmanager
async def open_async_sqlalchemy_on_psycopg(url: str) -> AsyncIterator[Transactions]:
    engine = create_async_engine(_name_driver(url, postgresql="psycopg"), pool_size=1, max_overflow=0)
    try:
        yield engine.begin
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_sync_orm(url: str) -> AsyncIterator[Transactions]:
    engine = sqlalchemy.create_engine(_name_driver(url, postgresql="psycopg", mysql="pymysql", sqlite="pysqlite"))

    @asynccontextmanager
    async def begin() -> AsyncIterator[Any]:
        with Session(engine) as session, session.begin():
            yield session

    try:
        yield begin
    finally:
        engine.dispose()


@asynccontextmanager
async def open_asyncpg(url: str) -> AsyncIterator[Transactions]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:

        @asynccontextmanager
        async def begin() -> AsyncIterator[Any]:
            async with pool.acquire() as connection, connection.transaction():
                yield connection

        yield begin


@asynccontextmanager
async def open_psycopg(url: str) -> AsyncIterator[Transactions]:
    @asynccontextmanager
    async def begin() -> AsyncIterator[Any]:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, connection.transaction():
            yield connection

    yield begin


@asynccontextmanager
async def open_aiomysql(url: str) -> AsyncIterator[Transactions]:
    parts = urlsplit(url)
    options = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password or ""}
    connection = await aiomysql.connect(db=parts.path[1:], cursorclass=aiomysql.DictCursor, **options)

    @asynccontextmanager
    async def begin() -> AsyncIterator[Any]:
        try:
            yield connection
            await connection.commit()
        except BaseException:
            await connection.rollback()
            raise

    yield begin
    connection.close()


@asynccontextmanager
async def open_aiosqlite(url: str) -> AsyncIterator[Transactions]:
    async with aiosqlite.connect(urlsplit(url).path[1:]) as connection:

        @asynccontextmanager
        async def begin() -> AsyncIterator[Any]:
            try:
                yield connection
                await connection.commit()
            except BaseException:
                await connection.rollback()
                raise

        yield begin


def _name_driver(url: str, **drivers: str) -> str:
    scheme = url.partition(":")[0]
    return url.replace(scheme, f"{scheme}+{drivers[scheme]}", 1)


OPENERS: list[tuple[str, Callable[[str], AbstractAsyncContextManager[Transactions]]]] = [
    *(
        (system, opener)
        for system in ("sqlite_url", "postgres_url", "mariadb_url")
        for opener in (open_databases, open_async_sqlalchemy, open_async_orm, open_sync_orm)
    ),
    ("postgres_url", open_async_sqlalchemy_on_psycopg),
    ("postgres_url", open_asyncpg),
    ("postgres_url", open_psycopg),
    ("mariadb_url", open_aiomysql),
    ("sqlite_url", open_aiosqlite),
]
"""The fixture of a database's URL, and what begins transactions on it."""
