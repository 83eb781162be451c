"""The driver's connection behind a connection or a session of ``databases`` or SQLAlchemy."""

from __future__ import annotations

from typing import Any

from flowlet.store.dialects.caller import call_in_thread, is_of_library

__all__ = ["find_driver_connection"]


async def find_driver_connection(connection: Any) -> Any:
    """Return what a caller's statements run on in the end; an object of another library is returned as it is.

    SQLAlchemy begins a transaction with the first statement, so one is run: it would not know of ours.

    Args:
        connection: A connection or a session, synchronous or not.
    """
    if is_of_library(connection, "databases") and hasattr(connection, "raw_connection"):
        return connection.raw_connection
    if not is_of_library(connection, "sqlalchemy"):
        return connection
    from sqlalchemy import Connection, text
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    if isinstance(connection, scoped_session | async_scoped_session):
        connection = connection()
    if isinstance(connection, AsyncSession):
        connection = await connection.connection()
    if isinstance(connection, AsyncConnection):
        await connection.execute(text("SELECT 1"))
        return (await connection.get_raw_connection()).driver_connection
    if isinstance(connection, Session):
        connection = await call_in_thread(connection.connection)
    if isinstance(connection, Connection):
        await call_in_thread(connection.exec_driver_sql, "SELECT 1")
        return connection.connection.driver_connection
    return connection
