"""A handler's own transaction: its writes and the transition are one commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.committer import RejectedError, toggle_pause
from flowlet.engine.outage import retry_while_away
from flowlet.engine.release import build_release
from flowlet.errors import StoreUnavailableError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance
from flowlet.instance.transition import Transition
from flowlet.instance.version_gate import VersionGate
from flowlet.store.callers.handler_session import open_handler_session
from flowlet.store.commits import UNKNOWN_COMMIT
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.hosts import describe_error
from flowlet.store.handler_connection import HandlerConnection
from flowlet.store.handler_transaction_state import track_transaction
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store

__all__ = ["Excuses", "HandlerTransaction"]

logger = logging.getLogger(__name__)

CommitFunction = Callable[[Transition], Awaitable[Transition | None]]
MAX_EXCUSES = 10
"""How often in a row the trouble of a database that answers is no failed attempt: a handler may be its cause."""
RETRY_SECONDS = (1, 1, 2, 4, 8, 16, 30)
"""When an instance that is handed back is due: the fault may still last, and no attempt is counted."""
MAX_EXCUSED_INSTANCES = 10_000
"""Of how many instances the excuses are counted; those of the oldest are forgotten."""


class Excuses:
    """How often in a row the attempts of one executor's instances were ended by the database, and were not counted."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[int, int]] = {}

    def count_excuse(self, instance: Instance) -> int:
        """Return how often it has happened in this visit of a state, this time included."""
        visit, count = self._counts.pop(instance.id, (0, 0))
        count = count + 1 if visit == instance.visit else 1
        self._counts[instance.id] = (instance.visit, count)
        if len(self._counts) > MAX_EXCUSED_INSTANCES:
            del self._counts[next(iter(self._counts))]
        return count


class _RollbackError(Exception):
    """Ends the transaction without its writes."""


class HandlerTransaction:
    """The transaction that ``Context.transaction`` opens on first use, and in which the transition is committed.

    Its maker ends it after the activation, and closes it if it may be open: most activations never open it.

    Args:
        store: The database.
        executor_id: The executor that holds the instance.
        excuses: Counts the attempts that the database has ended; new ones if None.
    """

    def __init__(self, store: Store, executor_id: str, excuses: Excuses | None = None) -> None:
        self._excuses = excuses or Excuses()
        self._excuse_count = 0
        self._fault: Exception | None = None
        self._store = store
        self._executor_id = executor_id
        self._transaction_block: AbstractAsyncContextManager[Any] | None = None
        self._connection: HandlerConnection | None = None
        self._opened_by: Callable[[], Any] | None = None
        self._owner: Any = None
        self._open_lock: asyncio.Lock | None = None
        self._has_failed_to_open = False
        self._has_ended = False
        track_transaction()

    def end(self) -> bool:
        """Refuse to open it from now on, and return whether it may be open: it has to be closed then."""
        self._has_ended = True
        return self._open_lock is not None

    async def close(self) -> None:
        """Roll back what was not committed."""
        assert self._open_lock is not None  # noqa: S101 - it may be open
        async with self._open_lock:  # a task that the handler has left behind may be opening it right now
            await self._roll_back()

    @contextlib.asynccontextmanager
    async def open(self, open_connection: Callable[[], Any] | None = None) -> AsyncIterator[Any]:
        """Yield the connection; every use within one activation is the same transaction.

        Args:
            open_connection: Opens the handler's own connection or session, which is yielded then; None for one of ours.

        Raises:
            RuntimeError: If the activation is over, or the transaction was opened in another way before.
            StoreError: If a connection of the handler's own cannot be shared.
        """
        self._open_lock = self._open_lock or asyncio.Lock()
        async with self._open_lock:
            if self._has_ended:
                raise RuntimeError("ctx.transaction() was called in an activation that has ended")
            if self._connection is None:
                self._connection = await self._open_connection(open_connection)
                self._opened_by = open_connection
            elif self._opened_by != open_connection:
                raise RuntimeError(
                    "ctx.transaction() was called twice in one activation with different arguments: its transaction is "
                    "one, on one connection"
                )
            given = self._connection if self._owner is None else self._owner
        yield given

    def commit(self, transition: Transition, commit: CommitFunction) -> Awaitable[Transition | None]:
        """Commit the handler's writes together with its transition; a failed attempt commits without them.

        An attempt that was ended by a deadlock, because the store went away, or by a server that takes no writes, does
        not count: its instance is handed back, to run again. Nor does one whose statement was stopped, or whose
        connection was closed, while the database answers; but only ten times in a row.

        Raises:
            RejectedError: If the store refuses the transition; nothing was written. Also if the server has ended the
                transaction because the handler left it idle, or if the handler has ended it itself.
        """
        self._has_ended = True
        lock = self._open_lock
        return commit(transition) if lock is None else self._commit_opened(lock, transition, commit)

    async def _commit_opened(
        self, lock: asyncio.Lock, transition: Transition, commit: CommitFunction
    ) -> Transition | None:
        async with lock:
            return await self._commit_locked(transition, commit)

    async def _commit_locked(self, transition: Transition, commit: CommitFunction) -> Transition | None:
        connection, block = self._connection, self._transaction_block
        conflict = None if connection is None else connection.conflict
        if any(action.kind is ActionKind.ERROR for action in transition.actions):
            is_excused = self._has_failed_to_open or await self._roll_back_and_check_excuse(transition, conflict)
            return await commit(self._release_instance(transition) if is_excused else transition)
        if VersionGate.parse(transition.gate) is not None:
            await self._roll_back()
            return await commit(transition)
        if connection is None or block is None:
            return await commit(transition)
        connection.end()
        try:
            if conflict is not None:
                raise conflict
            connection.check_open()
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
        self, block: AbstractAsyncContextManager[Any], committed: Transition, commit: CommitFunction
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
            self._store.instances.report_committed(self._executor_id, [transition], UNKNOWN_COMMIT.due_groups)
            return transition
        if verdict is CommitResult.LOST:
            return None
        return await commit(self._release_instance(transition))

    async def _roll_back_and_check_excuse(self, transition: Transition, error: Exception | None) -> bool:
        """Roll back, and return whether a deadlock, a full disk, or a store that is away or read-only was the cause.

        A lost connection proves nothing: servers close those of slow transactions, and drivers close those whose
        statement was cancelled.
        """
        connection = self._connection
        is_lost = connection is not None and connection.session.is_lost
        idle_seconds = 0.0 if connection is None else connection.idle_seconds
        self._fault = error if connection is None or connection.trouble is None else connection.trouble
        has_trouble = connection is not None and connection.has_trouble(error)
        await self._roll_back()
        errors = self._store.connections.dialect.errors
        if error is not None and (errors.is_deadlock(error) or errors.is_wrong_server(error)):
            return True
        if not (is_lost or has_trouble) and (error is None or not self._is_store_unavailable(error)):
            return False
        try:
            await self._store.instances.read_commit_result(self._executor_id, transition)
            if has_trouble and is_lost:
                await self._refuse_idle(idle_seconds)
        except StoreUnavailableError:
            return True
        if not has_trouble:
            return False
        self._excuse_count = self._excuses.count_excuse(transition.instance)
        is_disk_full = self._fault is not None and errors.is_disk_full(self._fault)
        return is_disk_full or self._excuse_count <= MAX_EXCUSES

    async def _refuse_idle(self, idle_seconds: float) -> None:
        """Raise the error of an attempt that the server has ended because the handler left its transaction idle."""
        limits = await self._store.connections.read(
            lambda session: session.dialect.connections.read_idle_limits(session.raw)
        )
        for name, seconds in limits.items():
            if idle_seconds >= seconds:
                rule = f"no statement ran in it for {idle_seconds:.3g} s, and {name} is {seconds:g} s"
                cure = "Open it after what takes long, or raise the limit"
                raise RejectedError(TimeoutError(f"the server has ended ctx.transaction(): {rule}. {cure}"))

    def _is_store_unavailable(self, error: Exception) -> bool:
        return isinstance(error, StoreUnavailableError) or self._store.connections.dialect.errors.is_unavailable(error)

    def _release_instance(self, transition: Transition) -> Transition:
        now = self._store.clock.now()
        reason = "a deadlock, or a store that went away, ended the handler's own transaction"
        if self._fault is not None:
            reason = f"{reason}: {describe_error(self._fault)}"
        back = build_release(transition.instance, now=now, executor_id=self._executor_id, reason=reason)
        seconds = RETRY_SECONDS[min(self._excuse_count, len(RETRY_SECONDS) - 1)]
        return replace(back, next_activation_us=now + seconds * MICROSECONDS_PER_SECOND)

    async def _open_connection(self, open_connection: Callable[[], Any] | None) -> HandlerConnection:
        block: AbstractAsyncContextManager[Any] = self._store.instances.transaction()
        if open_connection is not None:
            block = open_handler_session(open_connection, self._store.connections)
        try:
            opened: Any = await block.__aenter__()
        except Exception as error:
            # No statement of the handler has run: not even a lock timeout is its fault. What the application's own
            # pool raises is a failed attempt: it says nothing about the store, and may last.
            errors = self._store.connections.dialect.errors
            is_ours = open_connection is None
            self._has_failed_to_open = is_ours and (self._is_store_unavailable(error) or errors.is_conflict(error))
            raise
        self._transaction_block, self._has_failed_to_open = block, False
        if open_connection is not None:
            self._owner, opened = opened
        return HandlerConnection(opened)

    async def _roll_back(self) -> None:
        connection, self._connection = self._connection, None
        block, self._transaction_block = self._transaction_block, None
        if connection is None or block is None:
            return
        connection.end()
        error = _RollbackError()
        try:
            await block.__aexit__(_RollbackError, error, None)
        except Exception as failed:  # noqa: BLE001 - the application's library may raise anything for a lost connection
            logger.debug("a handler's transaction could not be rolled back, the server does so: %s", failed)
