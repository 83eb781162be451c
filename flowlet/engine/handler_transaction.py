"""A handler's own transaction: its writes and the transition are one commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from types import TracebackType

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.committer import RejectedError, toggle_pause
from flowlet.engine.outage import retry_while_away
from flowlet.engine.release import build_release
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import ActionKind
from flowlet.instance.transition import Transition
from flowlet.store.database_session import DatabaseSession
from flowlet.store.handler_connection import HandlerConnection
from flowlet.store.handler_transaction_state import track_transaction
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store

__all__ = ["HandlerTransaction"]

CommitFunction = Callable[[Transition], Awaitable[Transition | None]]
RETRY_DELAY_MICROSECONDS = MICROSECONDS_PER_SECOND
"""When an instance that is handed back is due: the fault may still last, and no attempt is counted."""


class _RollbackError(Exception):
    """Ends the transaction without its writes."""


class HandlerTransaction:
    """The transaction that ``Context.transaction`` opens on first use, and in which the transition is committed.

    The block around the activation rolls back whatever has not been committed when it ends.
    """

    def __init__(self, store: Store, executor_id: str) -> None:
        self._store = store
        self._executor_id = executor_id
        self._transaction_block: AbstractAsyncContextManager[DatabaseSession] | None = None
        self._connection: HandlerConnection | None = None
        self._open_lock: asyncio.Lock | None = None
        self._has_failed_to_open = False
        self._has_ended = False

    async def __aenter__(self) -> HandlerTransaction:
        track_transaction()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_ended = True
        if self._open_lock is not None:
            async with self._open_lock:  # a task that the handler has left behind may be opening it right now
                await self._roll_back()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[HandlerConnection]:
        """Yield the connection; every use within one activation is the same transaction.

        Raises:
            RuntimeError: If the activation is over.
        """
        self._open_lock = self._open_lock or asyncio.Lock()
        async with self._open_lock:
            if self._has_ended:
                raise RuntimeError("ctx.transaction() was called in an activation that has ended")
            connection = self._connection = self._connection or await self._open_connection()
        yield connection

    async def commit(self, transition: Transition, commit: CommitFunction) -> Transition | None:
        """Commit the handler's writes together with its transition; a failed attempt commits without them.

        An attempt that was ended by a deadlock, or because the store went away, does not count: its instance is handed
        back, to run again.

        Raises:
            RejectedError: If the store refuses the transition; nothing was written.
        """
        self._has_ended = True
        if self._open_lock is None:
            return await commit(transition)
        async with self._open_lock:
            return await self._commit_opened(transition, commit)

    async def _commit_opened(self, transition: Transition, commit: CommitFunction) -> Transition | None:
        connection, block = self._connection, self._transaction_block
        conflict = None if connection is None else connection.conflict
        if any(action.kind is ActionKind.ERROR for action in transition.actions):
            is_excused = self._has_failed_to_open or await self._roll_back_and_check_excuse(transition, conflict)
            return await commit(self._release_instance(transition) if is_excused else transition)
        if connection is None or block is None:
            return await commit(transition)
        connection.end()
        try:
            if conflict is not None:
                raise conflict
            committed = await self._commit_in_session(connection.session, transition)
        except Exception as error:
            if await self._roll_back_and_check_excuse(transition, error):
                return await commit(self._release_instance(transition))
            raise RejectedError(error) from error
        if committed is None:
            await self._roll_back()
            return None
        self._connection = self._transaction_block = None
        return await self._finish_commit(block, committed, commit)

    async def _commit_in_session(self, session: DatabaseSession, transition: Transition) -> Transition | None:
        now = self._store.clock.now()
        instances = self._store.instances
        for candidate in (transition, toggle_pause(transition)):
            if await instances.commit_in_transaction(session, self._executor_id, candidate, now=now):
                return candidate
        return None

    async def _finish_commit(
        self, block: AbstractAsyncContextManager[DatabaseSession], committed: Transition, commit: CommitFunction
    ) -> Transition | None:
        """Send COMMIT; where its answer is lost, find out whether it was committed."""
        try:
            await block.__aexit__(None, None, None)
        except Exception as error:
            if self._is_store_unavailable(error):
                return await self._resolve_unknown_commit(committed, commit)
            if self._store.connections.dialect.errors.is_deadlock(error):
                return await commit(self._release_instance(committed))
            raise RejectedError(error) from error
        return committed

    async def _resolve_unknown_commit(self, transition: Transition, commit: CommitFunction) -> Transition | None:
        """Find out whether a commit whose answer was lost was applied; if not, hand the instance back to run again."""
        verdict = await retry_while_away(
            partial(self._store.instances.read_commit_result, self._executor_id, transition),
            self._store.clock,
            f"reading whether a transition of workflow {transition.instance.id} was committed",
        )
        if verdict is CommitResult.COMMITTED:
            self._store.instances.report_committed(self._executor_id, [transition])
            return transition
        if verdict is CommitResult.LOST:
            return None
        return await commit(self._release_instance(transition))

    async def _roll_back_and_check_excuse(self, transition: Transition, error: Exception | None) -> bool:
        """Roll back, and return whether the handler was stopped by a deadlock, or by a store that does not answer.

        A lost connection proves nothing: servers close those of slow transactions, and drivers close those whose
        statement was cancelled.
        """
        is_lost = self._connection is not None and self._connection.session.is_lost
        await self._roll_back()
        if error is not None and self._store.connections.dialect.errors.is_deadlock(error):
            return True
        if not is_lost and (error is None or not self._is_store_unavailable(error)):
            return False
        try:
            await self._store.instances.read_commit_result(self._executor_id, transition)
        except StoreUnavailableError:
            return True
        return False

    def _is_store_unavailable(self, error: Exception) -> bool:
        return isinstance(error, StoreUnavailableError) or self._store.connections.dialect.errors.is_unavailable(error)

    def _release_instance(self, transition: Transition) -> Transition:
        now = self._store.clock.now()
        reason = "a deadlock, or a store that went away, ended the handler's own transaction"
        back = build_release(transition.instance, now=now, executor_id=self._executor_id, reason=reason)
        return replace(back, next_activation_us=now + RETRY_DELAY_MICROSECONDS)

    async def _open_connection(self) -> HandlerConnection:
        block = self._store.instances.transaction()
        try:
            session = await block.__aenter__()
        except Exception as error:
            self._has_failed_to_open = self._is_store_unavailable(error)
            raise
        self._transaction_block, self._has_failed_to_open = block, False
        return HandlerConnection(session)

    async def _roll_back(self) -> None:
        connection, self._connection = self._connection, None
        block, self._transaction_block = self._transaction_block, None
        if connection is None or block is None:
            return
        connection.end()
        error = _RollbackError()
        with contextlib.suppress(StoreUnavailableError):
            await block.__aexit__(_RollbackError, error, None)
