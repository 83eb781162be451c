"""A handler's own transaction: its writes and the transition are one commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

from flowlet.engine.committer import RejectedError, paused
from flowlet.engine.handover import hand_back
from flowlet.errors import StoreUnavailableError
from flowlet.instances import ActionKind
from flowlet.store.connection import Session
from flowlet.store.instances import Verdict
from flowlet.store.opening import Store
from flowlet.transitions import Transition

__all__ = ["OwnTransaction"]

Commit = Callable[[Transition], Awaitable[Transition | None]]


class _RollbackError(Exception):
    """Ends the transaction without its writes."""


class OwnTransaction:
    """The transaction that ``Context.transaction`` opens on first use, and that the transition is committed in.

    The block around the activation rolls back whatever has not been committed when it ends.
    """

    def __init__(self, store: Store, executor_id: str) -> None:
        self._store = store
        self._executor_id = executor_id
        self._stack = contextlib.AsyncExitStack()
        self._session: Session | None = None
        self._opening: asyncio.Lock | None = None
        self._could_not_open = False

    @property
    def is_asked_for(self) -> bool:
        """Whether the handler has asked for it: then ``commit`` has to be used."""
        return self._session is not None or self._could_not_open

    async def __aenter__(self) -> OwnTransaction:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._roll_back()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        """Yield the connection; every use within one activation is the same transaction."""
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._session is None:
                self._session = await self._opened()
        yield self._session.connection

    async def commit(self, transition: Transition, commit: Commit) -> Transition | None:
        """Commit the handler's writes together with its transition; a failed attempt commits without them.

        An attempt that failed and whose connection was lost is none: its instance is handed back, to run again.

        Raises:
            RejectedError: If the store refuses the transition; nothing was written.
        """
        if any(action.kind is ActionKind.ERROR for action in transition.actions):
            is_cut_off = self._could_not_open or (self._session is not None and self._session.is_lost)
            await self._roll_back()
            return await commit(self._handed_back(transition) if is_cut_off else transition)
        if self._session is None:
            return await commit(transition)
        try:
            committed = await self._commit_here(self._session, transition)
            if committed is None:
                await self._roll_back()
                return None
            session, self._session = self._session, None
            await self._stack.aclose()
            del session
        except StoreUnavailableError:
            return await self._resolve(transition, commit)
        except Exception as error:
            await self._roll_back()
            if self._store.connections.dialect.is_unavailable(error):
                return await self._resolve(transition, commit)
            raise RejectedError(error) from error
        return committed

    async def _commit_here(self, session: Session, transition: Transition) -> Transition | None:
        now = self._store.clock.now()
        instances = self._store.instances
        for candidate in (transition, paused(transition)):
            if await instances.commit_within(session, self._executor_id, candidate, now=now):
                return candidate
        return None

    async def _resolve(self, transition: Transition, commit: Commit) -> Transition | None:
        """Find out whether a commit whose answer was lost took place; if not, hand the instance back to run again."""
        await self._roll_back()
        tries = 0
        while True:
            try:
                verdict = await self._store.instances.judge(self._executor_id, transition)
                break
            except StoreUnavailableError:
                tries += 1
                await self._store.clock.sleep(min(0.1 * 2**tries, 2.0))
        if verdict is Verdict.COMMITTED:
            return transition
        if verdict is Verdict.LOST:
            return None
        return await commit(self._handed_back(transition))

    def _handed_back(self, transition: Transition) -> Transition:
        now = self._store.clock.now()
        reason = "the store went away during the handler's own transaction"
        return hand_back(transition.instance, now=now, executor_id=self._executor_id, reason=reason)

    async def _opened(self) -> Session:
        try:
            return await self._stack.enter_async_context(self._store.instances.transaction())
        except Exception as error:
            self._could_not_open = self._store.connections.dialect.is_unavailable(error)
            raise

    async def _roll_back(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        error = _RollbackError()
        with contextlib.suppress(_RollbackError, StoreUnavailableError):
            await self._stack.__aexit__(_RollbackError, error, None)
