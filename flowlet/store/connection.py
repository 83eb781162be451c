"""Connections, and units of work that no cancellation can interrupt: only here and in dialects is ``databases`` used.

``databases.Database.transaction()`` loses a pooled connection when its task is cancelled at the wrong moment. So every
unit of work here runs in a task of its own, shielded from its caller, with BEGIN, COMMIT and ROLLBACK by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from flowlet.clock import shorten_to_deadline
from flowlet.database_url import mask_password
from flowlet.errors import MissingRightsError, RowsLockedError, StoreUnavailableError, TooLargeError
from flowlet.shutdown import run_to_end, wait_until_done
from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.base import Dialect
from flowlet.store.dialects.hosts import describe_error
from flowlet.store.dialects.pooled_database import PooledDatabase
from flowlet.store.dialects.sizes import SizeLimit
from flowlet.store.handler_transaction_state import HandlerTransactionState, handler_transaction, track_transaction
from flowlet.store.work_tasks import WorkTasks
from flowlet.text import MAX_INTEGER

__all__ = ["Connections"]

T = TypeVar("T")
CONFLICT_RETRIES = 20
DEFAULT_TIMEOUT_SECONDS = 60.0
"""A server that does not answer for so long counts as unavailable; the drivers alone would wait longer, or for ever."""
MAX_HANDLER_TRANSACTIONS = 5
"""How many transactions handlers may hold open at once: half of the general pool, so that all else has the rest."""


class Connections:
    """The connections of one process to one database.

    PostgreSQL and MySQL have two pools: a small one for claims and commits, set up for them, and a general one.
    SQLite has one connection that writes, behind a lock, and one that reads. Without ``for_engine`` there is only
    the general one.

    Attributes:
        size_limit: How much the database accepts, as read when it was opened for the engine.
        on_commit: Called with what each transaction of this process has committed, right after it has.
        take_notification: Returns whether a batch that is about to be committed is to notify the other processes.
    """

    def __init__(
        self, url: str, dialect: Dialect, *, for_engine: bool = True, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self.url = url
        self.dialect = dialect
        self.on_commit: Callable[[Commit], None] | None = None
        self.take_notification: Callable[[], bool] = lambda: False
        self.size_limit = SizeLimit(MAX_INTEGER, "none is known")
        self._timeout_seconds = timeout_seconds if dialect.connections.has_pool else None
        self._tasks = WorkTasks()
        self._general = self._build_database(for_engine=False)
        has_two = for_engine or not dialect.connections.has_pool
        self._engine = self._build_database(for_engine=True) if has_two else self._general
        self._write_lock = dialect.connections.build_write_lock()
        self._handler_slots = asyncio.Semaphore(MAX_HANDLER_TRANSACTIONS if dialect.connections.has_pool else 1)
        self._writer: Any = None
        self._reader: Any = None

    async def open(self) -> None:
        """Connect. A cancellation is raised when every connection is closed again.

        Raises:
            StoreUnavailableError: If the database cannot be reached or opened; the password is not shown.
        """
        try:
            await run_to_end(self._open())
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _open(self) -> None:
        try:
            await self.dialect.connections.check_database(self.url)
            await self._engine.connect()
            await self._general.connect()
            if not self.dialect.connections.has_pool:
                self._writer = await self._engine.connection().__aenter__()
                self._reader = await self._general.connection().__aenter__()
            if self._engine is not self._general:
                self.size_limit = await self._run_engine_work(_check_server)
        except Exception as error:
            await self.close()
            text = f"cannot open the database {mask_password(self.url)}: {describe_error(error)}"
            raise StoreUnavailableError(text) from error

    async def wait_until_idle(self, *, timeout: float | None = None) -> None:
        """Return when the units of work that are under way now have ended, or the time is over."""
        await self._tasks.wait_until_idle(timeout=timeout)

    async def close(self) -> None:
        """Refuse further work, finish the units of work in flight within 10 seconds, and disconnect.

        A cancellation is raised when every connection is closed.
        """
        await run_to_end(self._close())

    async def _close(self) -> None:
        await self._tasks.close()
        for held in (self._writer, self._reader):
            if held is not None:
                await held.__aexit__(None, None, None)
        self._writer = self._reader = None
        for database in (self._engine, self._general):
            if database.is_connected:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(database.disconnect(), timeout=10)

    async def write(self, work: Callable[[DatabaseSession], Awaitable[T]], *, is_bounded: bool = True) -> T:
        """Run a unit of work in one transaction, whatever happens to the caller; commit it, or roll all of it back.

        It runs again if the database reports a deadlock or a conflict with another transaction. Without ``is_bounded``
        it has no timeout: a migration waits for another one.

        Raises:
            StoreUnavailableError: If the database is unavailable; nothing was written then, or in the worst case all.
            RuntimeError: On SQLite, inside a handler's own transaction, which holds the only write lock.
        """
        self.refuse_nesting()
        return await self._tasks.run(
            self._run_with_retries(
                lambda: self._run_in_transaction(work),
                shorten_to_deadline(self._timeout_seconds) if is_bounded else None,
            )
        )

    async def read(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        """Run statements that only read, outside of any transaction.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        timeout = shorten_to_deadline(self._timeout_seconds)
        return await self._tasks.run(self._run_with_retries(lambda: self._run_read(work), timeout))

    async def run_on_engine(self, work: Callable[[DatabaseSession], Awaitable[T]], *, waits_for_rows: bool = True) -> T:
        """Run a claim or a batch, which open and end their own transaction, on a connection set up for them.

        Raises:
            StoreUnavailableError: If it is unavailable, the outcome of a COMMIT being unknown; if others lock rows.
        """
        self.refuse_nesting()
        run, timeout = partial(self._run_engine_work, work), shorten_to_deadline(self._timeout_seconds)
        return await self._tasks.run(self._run_with_retries(run, timeout, waits_for_rows=waits_for_rows))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[DatabaseSession]:
        """Yield a session inside an open transaction; the block's end commits it, an exception rolls it back.

        For handlers. Their statements run in their own task. Another task, which a handler's cancellation does not
        reach, acquires and releases the connection, and opens and ends the transaction. At most
        ``MAX_HANDLER_TRANSACTIONS`` are open at once; the next one waits.
        """
        self.refuse_nesting()
        if handler_transaction.get() is None:
            track_transaction()
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[DatabaseSession] = loop.create_future()
        may_commit: asyncio.Future[bool] = loop.create_future()
        async with self._handler_slots:
            holder = self._tasks.start(self._hold_transaction(opened, may_commit))
            either: tuple[asyncio.Future[Any], ...] = (opened, holder)
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not opened.done():
                    await holder  # it raises the error of the failed opening
                yield opened.result()
            except BaseException:
                may_commit.set_result(False)
                await wait_until_done(holder)
                raise
            may_commit.set_result(True)
            await wait_until_done(holder)
            await holder

    async def read_on_writer(self, read: Callable[[Any], Awaitable[T]]) -> T:
        """Run a statement that only reads on the connection that writes to SQLite, also within its transaction.

        Raises:
            StoreUnavailableError: If it is closed.
        """
        if self._writer is None:
            raise StoreUnavailableError("the database is closed")
        return await read(self._writer.raw_connection)

    def report_commit(self, commit: Commit | None) -> None:
        """Report what a transaction of this process has committed; None for nothing that anything waits for."""
        if self.on_commit is not None and commit is not None:
            self.on_commit(commit)

    def refuse_nesting(self) -> None:
        """Refuse to wait for the write lock of SQLite inside a handler's own transaction, which holds it.

        Raises:
            RuntimeError: If the caller is inside such a transaction.
        """
        held = handler_transaction.get()
        if self._writer is not None and held is not None and held.is_open:
            raise RuntimeError(
                "inside ctx.transaction() SQLite's only write lock is held: write through the connection that "
                "ctx.transaction() gives, or after the handler has ended"
            )

    def _build_database(self, *, for_engine: bool) -> PooledDatabase:
        dialect = self.dialect.connections
        options = dialect.build_options(self.url, for_engine=for_engine)
        return PooledDatabase(dialect.build_database_url(self.url), backend=dialect.backend, **options)

    @contextlib.asynccontextmanager
    async def _acquire_session(self) -> AsyncIterator[DatabaseSession]:
        if self._writer is not None:
            async with self._write_lock:
                yield DatabaseSession(self._writer, self.dialect)
            return
        async with self._general.connection() as connection:
            yield DatabaseSession(connection, self.dialect)

    async def _run_in_transaction(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        async with self._acquire_session() as session:
            try:
                return await self._drop_if_useless(session, partial(self._begin_and_commit, work))
            except BaseException:
                await session.roll_back()
                raise

    async def _begin_and_commit(self, work: Callable[[DatabaseSession], Awaitable[T]], session: DatabaseSession) -> T:
        await session.execute(self.dialect.connections.begin_sql)
        result = await work(session)
        await self._commit(session)
        return result

    async def _commit(self, session: DatabaseSession) -> None:
        """Commit, and report it; where instances became due, the transaction itself notifies the other processes."""
        pending = session.pending_commit
        if pending is not None and pending.due_groups:
            await self.dialect.signals.notify(session.raw, sorted(pending.due_groups))
            pending = replace(pending, is_notified=True)
        reported = pending and UNKNOWN_COMMIT  # a COMMIT whose answer is lost may have been done
        try:
            await session.execute("COMMIT")
            reported = pending
        finally:
            self.report_commit(reported)

    async def _commit_handler_work(self, session: DatabaseSession) -> None:
        """Commit what a handler has written, of which little is known; SQLite's signal leaves out its connection."""
        await self._commit(session)
        if self._writer is not None:
            self.report_commit(UNKNOWN_COMMIT)

    async def _hold_transaction(
        self, opened: asyncio.Future[DatabaseSession], may_commit: asyncio.Future[bool]
    ) -> None:
        """Hold a transaction open until ``may_commit`` says how to end it."""
        held = handler_transaction.get() or HandlerTransactionState()
        async with self._acquire_session() as session:
            await session.execute(self.dialect.connections.begin_handler_sql)
            held.is_open = True
            try:
                opened.set_result(session)
                end = self._commit_handler_work if await may_commit else lambda session: session.execute("ROLLBACK")
                await self._drop_if_useless(session, end)
            except BaseException:
                await session.roll_back()
                raise
            finally:
                held.is_open = False
                await session.reset_connection()

    async def _run_engine_work(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        if self._writer is not None:
            async with self._write_lock:
                return await work(DatabaseSession(self._writer, self.dialect))
        async with self._engine.connection() as connection:
            return await self._drop_if_useless(DatabaseSession(connection, self.dialect), work)

    async def _run_read(self, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        if self._reader is not None:
            return await work(DatabaseSession(self._reader, self.dialect))
        async with self._general.connection() as connection:
            return await self._drop_if_useless(DatabaseSession(connection, self.dialect), work)

    async def _drop_if_useless(self, session: DatabaseSession, work: Callable[[DatabaseSession], Awaitable[T]]) -> T:
        """Run the work; if it takes too long, close the connection, so that releasing it does not wait for the work.

        If the server takes no writes any more, all connections are closed: the next ones find the one that does.
        """
        try:
            return await work(session)
        except asyncio.CancelledError:
            self.dialect.connections.drop_connection(session.raw)
            raise
        except Exception as error:
            if self.dialect.errors.is_wrong_server(error):
                await self._leave_server(session)
            raise

    async def _leave_server(self, session: DatabaseSession) -> None:
        if not session.is_lost:
            self.dialect.connections.drop_connection(session.raw)
        for database in {self._engine, self._general}:
            await self.dialect.connections.expire_connections(database.pool)

    async def _run_with_retries(
        self, attempt: Callable[[], Awaitable[T]], timeout_seconds: float | None, *, waits_for_rows: bool = True
    ) -> T:
        for tries in range(CONFLICT_RETRIES):
            try:
                async with self.dialect.connections.limit_work(timeout_seconds):
                    return await attempt()
            except Exception as error:
                if self.dialect.errors.is_unavailable(error):
                    text = f"the database {mask_password(self.url)} is unavailable: {describe_error(error)}"
                    raise StoreUnavailableError(text) from error
                if self.dialect.errors.is_missing_right(error):
                    raise MissingRightsError(await self._describe_missing_rights(error)) from error
                if self.dialect.errors.is_too_large(error):
                    raise TooLargeError(limit_name=str(error)) from error
                is_last = not waits_for_rows or tries == CONFLICT_RETRIES - 1
                if is_last and self.dialect.errors.is_lock_timeout(error):
                    raise RowsLockedError("another transaction has locked rows") from error
                if not self.dialect.errors.is_conflict(error) or tries == CONFLICT_RETRIES - 1:
                    raise
            await asyncio.sleep(0.002 * 2 ** min(tries, 7))  # noqa: TID251 - real time: another transaction has to end
        raise AssertionError("unreachable")

    async def _describe_missing_rights(self, error: Exception) -> str:
        subject = f"the database {mask_password(self.url)}"
        try:
            async with asyncio.timeout(self._timeout_seconds), self._acquire_session() as session:
                return f"{subject}: {await self.dialect.schema.describe_missing_rights(session.raw, error)}"
        except Exception:  # noqa: BLE001 - what the database has said is worth more than why it says no more
            return f"{subject}: {error}"


async def _check_server(session: DatabaseSession) -> SizeLimit:
    """Check what the server has to give, and return how much it accepts."""
    await session.dialect.connections.check_server(session.raw)
    return await session.dialect.connections.read_size_limit(session.raw)
