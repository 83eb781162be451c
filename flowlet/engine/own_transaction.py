"""A handler's own transaction: its writes and the transition are one commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import TracebackType

from flowlet.clock import SECOND
from flowlet.engine.committer import RejectedError, paused
from flowlet.engine.handover import hand_back
from flowlet.errors import StoreUnavailableError
from flowlet.instances import ActionKind
from flowlet.store.connection import Session, expect_transaction
from flowlet.store.handlers import HandlerConnection
from flowlet.store.instances import Verdict
from flowlet.store.opening import Store
from flowlet.transitions import Transition

__all__ = ["OwnTransaction"]

Commit = Callable[[Transition], Awaitable[Transition | None]]
AGAIN_AFTER = SECOND
"""When an instance that is handed back is due: what went wrong may still be wrong, and no attempt is counted."""


class _RollbackError(Exception):
    """Ends the transaction without its writes."""


class OwnTransaction:
    """The transaction that ``Context.transaction`` opens on first use, and that the transition is committed in.

    The block around the activation rolls back whatever has not been committed when it ends.
    """

    def __init__(self, store: Store, executor_id: str) -> None:
        self._store = store
        self._executor_id = executor_id
        self._block: AbstractAsyncContextManager[Session] | None = None
        self._connection: HandlerConnection | None = None
        self._opening: asyncio.Lock | None = None
        self._could_not_open = False
        self._is_over = False

    @property
    def is_used(self) -> bool:
        """Whether the handler has asked for it: what it committed has not gone through the committer."""
        return self._opening is not None

    async def __aenter__(self) -> OwnTransaction:
        expect_transaction()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        if self._opening is not None:
            async with self._opening:  # a task that the handler has left behind may be opening it only now
                await self._roll_back()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[HandlerConnection]:
        """Yield the connection; every use within one activation is the same transaction.

        Raises:
            RuntimeError: If the activation is over.
        """
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._is_over:
                raise RuntimeError("ctx.transaction() was called in an activation that has ended")
            connection = self._connection = self._connection or await self._opened()
        yield connection

    async def commit(self, transition: Transition, commit: Commit) -> Transition | None:
        """Commit the handler's writes together with its transition; a failed attempt commits without them.

        An attempt that was ended by a deadlock, or because the store went away, is none: its instance is handed back,
        to run again.

        Raises:
            RejectedError: If the store refuses the transition; nothing was written.
        """
        self._is_over = True
        if self._opening is None:
            return await commit(transition)
        async with self._opening:
            return await self._commit_own(transition, commit)

    async def _commit_own(self, transition: Transition, commit: Commit) -> Transition | None:
        connection, block = self._connection, self._block
        conflict = None if connection is None else connection.conflict
        if any(action.kind is ActionKind.ERROR for action in transition.actions):
            is_excused = self._could_not_open or await self._is_excused(transition, conflict)
            return await commit(self._handed_back(transition) if is_excused else transition)
        if connection is None or block is None:
            return await commit(transition)
        connection.end()
        try:
            if conflict is not None:
                raise conflict
            committed = await self._commit_here(connection.session, transition)
        except Exception as error:
            if await self._is_excused(transition, error):
                return await commit(self._handed_back(transition))
            raise RejectedError(error) from error
        if committed is None:
            await self._roll_back()
            return None
        self._connection = self._block = None
        return await self._ended(block, committed, commit)

    async def _commit_here(self, session: Session, transition: Transition) -> Transition | None:
        now = self._store.clock.now()
        instances = self._store.instances
        for candidate in (transition, paused(transition)):
            if await instances.commit_within(session, self._executor_id, candidate, now=now):
                return candidate
        return None

    async def _ended(
        self, block: AbstractAsyncContextManager[Session], committed: Transition, commit: Commit
    ) -> Transition | None:
        """Send COMMIT; where its answer is lost, find out whether it took place."""
        try:
            await block.__aexit__(None, None, None)
        except Exception as error:
            if self._is_away(error):
                return await self._resolve(committed, commit)
            if self._store.connections.dialect.is_deadlock(error):
                return await commit(self._handed_back(committed))
            raise RejectedError(error) from error
        return committed

    async def _resolve(self, transition: Transition, commit: Commit) -> Transition | None:
        """Find out whether a commit whose answer was lost took place; if not, hand the instance back to run again."""
        tries = 0
        while True:
            try:
                verdict = await self._store.instances.judge(self._executor_id, transition)
                break
            except StoreUnavailableError:
                tries += 1
                await self._store.clock.sleep(0.1 * 2 ** min(tries, 5))
        if verdict is Verdict.COMMITTED:
            return transition
        if verdict is Verdict.LOST:
            return None
        return await commit(self._handed_back(transition))

    async def _is_excused(self, transition: Transition, error: Exception | None) -> bool:
        """Roll back, and return whether the handler was stopped by a deadlock, or by a store that does not answer.

        A connection that was lost proves nothing: servers end those of slow transactions, drivers those whose
        statement was cancelled.
        """
        is_lost = self._connection is not None and self._connection.session.is_lost
        await self._roll_back()
        if error is not None and self._store.connections.dialect.is_deadlock(error):
            return True
        if not is_lost and (error is None or not self._is_away(error)):
            return False
        try:
            await self._store.instances.judge(self._executor_id, transition)
        except StoreUnavailableError:
            return True
        return False

    def _is_away(self, error: Exception) -> bool:
        return isinstance(error, StoreUnavailableError) or self._store.connections.dialect.is_unavailable(error)

    def _handed_back(self, transition: Transition) -> Transition:
        now = self._store.clock.now()
        reason = "a deadlock, or a store that went away, ended the handler's own transaction"
        back = hand_back(transition.instance, now=now, executor_id=self._executor_id, reason=reason)
        return replace(back, next_activation=now + AGAIN_AFTER)

    async def _opened(self) -> HandlerConnection:
        block = self._store.instances.transaction()
        try:
            session = await block.__aenter__()
        except Exception as error:
            self._could_not_open = self._is_away(error)
            raise
        self._block, self._could_not_open = block, False
        return HandlerConnection(session)

    async def _roll_back(self) -> None:
        connection, self._connection = self._connection, None
        block, self._block = self._block, None
        if connection is None or block is None:
            return
        connection.end()
        error = _RollbackError()
        with contextlib.suppress(StoreUnavailableError):
            await block.__aexit__(_RollbackError, error, None)
