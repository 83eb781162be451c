"""Group commit: transitions that end at about the same time become durable in one transaction.

A writer takes whatever waits, commits it, and only then lets each activation go on. While it commits, the next batch
gathers by itself; a lone transition waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from flowlet.engine.observer import ExecutorObserver
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store

__all__ = ["CommitTotals", "Committer", "RejectedError", "toggle_pause"]

MAX_BATCH_CHARACTERS = 2_000_000
"""How many letters of variables a batch carries, give or take those of its last transition."""

BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
logger = logging.getLogger(__name__)


class RejectedError(Exception):
    """The store refuses this transition, and would refuse it again; nothing of it was written."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__(str(cause))


@dataclass(slots=True)
class CommitTotals:
    """What a committer has done: batches, the transitions in them, and the largest batch."""

    batches: int = 0
    transitions: int = 0
    largest: int = 0


class _PendingCommit(NamedTuple):
    transition: Transition
    done: asyncio.Future[Transition | None]


class Committer:
    """Commits transitions of one executor in batches.

    Args:
        store: Where to.
        executor_id: Whose lease they are made under.
        limit: How many transitions a batch has at most.
        writers: How many batches may be under way at once; an instance never has two transitions waiting.
        observer: Called for each batch.
    """

    def __init__(
        self,
        store: Store,
        executor_id: str,
        *,
        max_batch_size: int,
        writer_count: int = 1,
        observer: ExecutorObserver | None = None,
    ) -> None:
        self._store = store
        self._observer = observer
        self._executor_id = executor_id
        self._max_batch_size = max_batch_size
        self._pending: deque[_PendingCommit] = deque()
        self._ready = asyncio.Event()
        self._is_closing = False
        self._writer_tasks = [asyncio.create_task(self._write_batches()) for _ in range(writer_count)]
        self.totals = CommitTotals()

    async def commit(self, transition: Transition) -> Transition | None:
        """Return when the transition is durable: as it was committed, or None if the lease is lost.

        What comes back differs from what was given where an operator asked for a pause meanwhile: then it is PAUSED.

        Raises:
            RejectedError: If the store refuses it; nothing of it was written.
        """
        done: asyncio.Future[Transition | None] = asyncio.get_running_loop().create_future()
        self._pending.append(_PendingCommit(transition, done))
        self._ready.set()
        return await done

    async def close(self) -> None:
        """Commit what waits, then stop."""
        self._is_closing = True
        self._ready.set()
        await asyncio.gather(*self._writer_tasks)

    async def abandon(self) -> None:
        """Stop without committing what waits: the lease is gone."""
        for writer in self._writer_tasks:
            writer.cancel()
        await asyncio.gather(*self._writer_tasks, return_exceptions=True)
        while self._pending:
            _resolve_pending(self._pending.popleft(), None)

    async def _write_batches(self) -> None:
        while self._pending or not self._is_closing:
            await self._ready.wait()
            batch = self._take_batch()
            if not self._pending and not self._is_closing:
                self._ready.clear()
            if batch:
                self._count_batch(len(batch))
                await self._write_batch(batch)

    def _take_batch(self) -> list[_PendingCommit]:
        """Take what waits, up to a number and a size: a server refuses a statement of many megabytes."""
        batch: list[_PendingCommit] = []
        letters = 0
        while self._pending and len(batch) < self._max_batch_size and letters < MAX_BATCH_CHARACTERS:
            batch.append(self._pending.popleft())
            letters += len(batch[-1].transition.vars_json or "")
        return batch

    def _count_batch(self, size: int) -> None:
        self.totals.batches += 1
        self.totals.transitions += size
        self.totals.largest = max(self.totals.largest, size)

    async def _write_batch(self, batch: Sequence[_PendingCommit]) -> None:
        """Write until each transition of the batch is durable, lost or refused, however long the store is away."""
        tries = 0
        while batch:
            try:
                batch = await self._commit_batch(batch)
            except StoreUnavailableError as error:
                delay = BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)]
                tries += 1
                logger.warning("the store is away, %d transitions wait %s s: %s", len(batch), delay, error)
                await self._store.clock.sleep(delay)
            except Exception as error:
                if len(batch) > 1:
                    # Find the row that the database refuses, so that it fails its own instance and not the others.
                    await self._write_batch(batch[: len(batch) // 2])
                    await self._write_batch(batch[len(batch) // 2 :])
                    return
                tries += 1
                if self._store.instances.is_refusal(error) or tries == len(BACKOFF_SECONDS):
                    _reject_pending(batch[0], error)
                    return
                logger.exception("a transition of workflow %d waits", batch[0].transition.instance.id)
                await self._store.clock.sleep(BACKOFF_SECONDS[tries])

    async def _commit_batch(self, batch: Sequence[_PendingCommit]) -> list[_PendingCommit]:
        """Commit once; return what has to be sent again because a pause came or went meanwhile."""
        transitions = [pending.transition for pending in batch]
        clock = self._store.clock
        began = clock.monotonic() if self._observer else 0.0
        verdicts = await self._store.instances.commit(self._executor_id, transitions, now=clock.now())
        if self._observer:
            self._observer.on_batch(len(batch), clock.monotonic() - began)
        again = []
        for pending in batch:
            verdict = verdicts[pending.transition.instance.id]
            if verdict is CommitResult.PAUSE_CHANGED:
                again.append(_PendingCommit(toggle_pause(pending.transition), pending.done))
            else:
                _resolve_pending(pending, pending.transition if verdict is CommitResult.COMMITTED else None)
        return again


def _resolve_pending(pending: _PendingCommit, result: Transition | None) -> None:
    if not pending.done.done():  # its activation may have been cancelled meanwhile
        pending.done.set_result(result)


def _reject_pending(pending: _PendingCommit, error: Exception) -> None:
    if not pending.done.done():
        pending.done.set_exception(RejectedError(error))


def toggle_pause(transition: Transition) -> Transition:
    """Return the transition with its pause taken up, or, where it already was, taken back."""
    instance = transition.instance
    asked = not instance.pause_requested
    fenced = replace(instance, pause_requested=asked)
    if transition.status in ENDED_STATUSES:
        return replace(transition, instance=fenced)
    if not asked:
        held = transition.held_status or transition.status
        return replace(transition, instance=fenced, status=held, held_status=None)
    if transition.status is Status.EXECUTING:
        transition = replace(transition, status=Status.IN_PROGRESS, next_activation_us=transition.at_us)
    return replace(transition, instance=fenced, status=Status.PAUSED, held_status=transition.status)
