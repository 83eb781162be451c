"""Group commit: transitions that end at about the same time become durable in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from flowlet.engine.batcher import Batcher, BatcherClosedError, BatchTotals
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import DELAYS_SECONDS, Backoff, retry_while_away
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store

__all__ = ["Committer", "RejectedError", "toggle_pause"]

MAX_BATCH_CHARACTERS = 2_000_000
"""How many characters of variables a batch has, give or take those of its last transition: a server refuses a statement
of many megabytes."""

MAX_SINGLE_ATTEMPTS = len(DELAYS_SECONDS)
"""How often a transition that is alone in its batch is tried, where the database gives an error but no refusal."""


class RejectedError(Exception):
    """The store refuses this transition, and would refuse it again; nothing of it was written."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__(str(cause))


class Committer:
    """Commits the transitions of one executor in batches.

    Args:
        store: The database.
        executor_id: The executor that holds the leases.
        max_batch_size: How many transitions a batch has at most.
        writer_count: How many batches may be under way at once; an instance never has two transitions waiting.
        observer: Is notified of each batch.
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
        self._executor_id = executor_id
        self._observer = observer
        self._batcher = Batcher(
            self._write_batch,
            max_batch_size=max_batch_size,
            max_batch_weight=MAX_BATCH_CHARACTERS,
            weigh=_count_characters,
            writer_count=writer_count,
            keeps_cancelled=True,  # its handler has run: the fence decides whether the result is still wanted
        )

    @property
    def totals(self) -> BatchTotals:
        """How many batches it has written, and how many transitions."""
        return self._batcher.totals

    async def commit(self, transition: Transition) -> Transition | None:
        """Return the transition when it is durable, or None if the lease is lost or the committer is closed.

        The returned transition differs from the given one where a pause was requested or taken back meanwhile.

        Raises:
            RejectedError: If the store refuses it; nothing of it was written.
        """
        while True:
            try:
                result = await self._batcher.put(transition)
            except BatcherClosedError:
                return None
            except Exception as error:
                raise RejectedError(error) from error
            if result is not CommitResult.PAUSE_CHANGED:
                return transition if result is CommitResult.COMMITTED else None
            transition = toggle_pause(transition)

    async def close(self) -> None:
        """Commit the transitions that wait, then stop."""
        await self._batcher.close()

    async def abandon(self) -> None:
        """Stop without committing the transitions that wait: the lease is gone."""
        await self._batcher.abandon()

    async def _write_batch(self, transitions: Sequence[Transition]) -> list[CommitResult]:
        """Commit a batch, however long the store is away. A refused one is halved by the batcher."""
        activity = f"committing {len(transitions)} transitions"
        backoff = Backoff(activity)
        while True:
            try:
                return await retry_while_away(partial(self._commit_batch, transitions), self._store.clock, activity)
            except Exception as error:
                if (
                    len(transitions) > 1
                    or self._store.instances.is_refusal(error)
                    or backoff.failures == MAX_SINGLE_ATTEMPTS - 1
                ):
                    raise
                await self._store.clock.sleep(backoff.next_delay(error))

    async def _commit_batch(self, transitions: Sequence[Transition]) -> list[CommitResult]:
        clock = self._store.clock
        began = clock.monotonic() if self._observer else 0.0
        result_by_id = await self._store.instances.commit(self._executor_id, transitions, now=clock.now())
        if self._observer:
            self._observer.on_batch(len(transitions), clock.monotonic() - began)
        return [result_by_id[transition.instance.id] for transition in transitions]


def _count_characters(transition: Transition) -> int:
    return len(transition.vars_json or "")


def toggle_pause(transition: Transition) -> Transition:
    """Return the transition with its pause applied, or, where it already was, taken back."""
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
