"""Group commit: transitions that end at about the same time become durable in one transaction.

What the database does to a batch has three policies, each with a count of its own:

- It is away: the writer waits, however long that lasts.
- It closes the connection, or cancels the statement, and answers all else: a batch is written again a few times.
- It gives any other error: a batch is halved at once.

A transition that is alone then waits in its own activation for its next attempt, and not in the writer, which goes on
with the others.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace

from flowlet.engine.batcher import ALONE, Batcher, BatcherClosedError, BatchTotals
from flowlet.engine.batches.traffic import Traffic, rank_transition
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.outage import DELAYS_SECONDS, Backoff, ConnectionLossError
from flowlet.errors import RowsLockedError, StoreUnavailableError
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.store.opening import Store

__all__ = ["Committer", "RejectedError", "toggle_pause"]

MAX_SINGLE_ATTEMPTS = 7
"""How often a transition that is alone in its batch is tried, where the database gives an error but no refusal."""

MAX_BATCH_ATTEMPTS = 3
"""How often a batch is tried, where it loses its connection and the store answers all else; the halves of one once."""

LOCKED_SECONDS = 0.2
"""After how long a transition is tried again whose row another transaction has locked, however long it has."""

logger = logging.getLogger(__name__)


class RejectedError(Exception):
    """The store refuses this transition, and would refuse it again; nothing of it was written."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__(str(cause))


class _LockedError(Exception):
    """Another transaction has locked a row: it is written later, and the others of its batch without it."""


class Committer:
    """Commits the transitions of one executor in batches: the higher priority first, and workflows in turns.

    Args:
        store: The database.
        executor_id: The executor that holds the leases.
        max_batch_size: How many transitions a batch has at most.
        writer_count: How many batches may be under way at once; an instance never has two transitions waiting.
        traffic: What the executor has claimed lately, which limits the batches; without it nothing does.
        observer: Is notified of each batch.
    """

    def __init__(
        self,
        store: Store,
        executor_id: str,
        *,
        max_batch_size: int,
        writer_count: int = 1,
        traffic: Traffic | None = None,
        observer: ExecutorObserver | None = None,
    ) -> None:
        self._store = store
        self._executor_id = executor_id
        self._observer = observer
        self._suspect_ids: set[int] = set()
        self._waiting: dict[int, float] = {}
        self._batcher = Batcher(
            self._write_batch,
            max_batch_size=max_batch_size,
            max_batch_weight=store.instances.max_batch_length,
            weigh=self._weigh,
            rank=rank_transition,
            limit_size=(traffic or Traffic(store.clock)).limit_batch,
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
        id, faults = transition.instance.id, 0
        self._waiting[id] = self._store.clock.monotonic()
        try:
            while True:
                try:
                    result = await self._batcher.put(transition)
                except BatcherClosedError:
                    return None
                except _LockedError:
                    self._suspect_ids.add(id)
                    await self._store.clock.sleep(LOCKED_SECONDS)
                    continue
                except Exception as error:
                    faults += 1
                    if faults == MAX_SINGLE_ATTEMPTS or self._store.instances.is_refusal(error):
                        raise RejectedError(error) from error
                    await self._store.clock.sleep(DELAYS_SECONDS[min(faults, len(DELAYS_SECONDS)) - 1])
                    continue
                if result is not CommitResult.PAUSE_CHANGED:
                    return transition if result is CommitResult.COMMITTED else None
                transition = toggle_pause(transition)
        finally:
            self._waiting.pop(id, None)
            self._suspect_ids.discard(id)

    def get_oldest_wait_seconds(self) -> float:
        """Return for how long the transition that has waited longest has not been committed; 0 if none waits.

        May be called in another thread, as the heartbeat does.
        """
        began = None
        with contextlib.suppress(RuntimeError):  # the dictionary changed meanwhile, so something is committed
            began = next(iter(self._waiting.values()), None)
        return 0.0 if began is None else self._store.clock.monotonic() - began

    async def close(self) -> None:
        """Commit the transitions that wait, then stop."""
        await self._batcher.close()

    async def abandon(self) -> None:
        """Stop without committing the transitions that wait: the lease is gone."""
        await self._batcher.abandon()

    def _weigh(self, transition: Transition) -> float:
        return ALONE if transition.instance.id in self._suspect_ids else transition.text_length

    async def _write_batch(self, transitions: Sequence[Transition]) -> list[CommitResult | Exception]:
        """Commit a batch, however long the store is away. A refused one is halved by the batcher.

        Rows that other transactions have locked are left out: their transitions get a ``_LockedError``.

        Raises:
            Exception: What the database gives as an error, the first time; ``ConnectionLossError`` if it loses its
                connection while the store answers.
        """
        is_known = transitions[0].instance.id in self._suspect_ids
        attempts_left = 1 if is_known else MAX_BATCH_ATTEMPTS
        with Backoff(f"committing {len(transitions)} transitions") as backoff:
            while True:
                try:
                    results: list[CommitResult | Exception] = await self._commit_unlocked(
                        transitions, is_known=is_known
                    )
                except RowsLockedError as error:
                    raise _LockedError from error
                except StoreUnavailableError as error:
                    if await self._store.instances.may_be_refusal(error):
                        attempts_left -= 1
                    if not attempts_left:
                        self._suspect(transitions, error, is_known=is_known)
                        raise ConnectionLossError(sum(one.text_length for one in transitions), error) from error
                    await self._store.clock.sleep(backoff.next_delay(error))
                except Exception as error:
                    self._suspect(transitions, error, is_known=is_known)
                    raise
                else:
                    backoff.reset()
                    return results

    def _suspect(self, transitions: Sequence[Transition], error: Exception, *, is_known: bool) -> None:
        """Write each of these transitions alone from now on, and log the first error of a batch."""
        self._suspect_ids.update(one.instance.id for one in transitions if one.instance.id in self._waiting)
        if not (is_known or self._store.instances.is_refusal(error)):
            logger.error(
                "committing %d transitions: unexpected error, each is now isolated", len(transitions), exc_info=error
            )

    async def _commit_unlocked(
        self, transitions: Sequence[Transition], *, is_known: bool
    ) -> list[CommitResult | Exception]:
        """Commit a batch without the rows that others have locked; where that is known, without a wait for them.

        Raises:
            RowsLockedError: If all are locked, or rows besides their own, as those of parents.
        """
        try:
            if not is_known:
                return list(await self._commit_batch(transitions))
        except RowsLockedError:
            if len(transitions) == 1:
                raise
        locked = await self._store.instances.find_locked([one.instance.id for one in transitions])
        free = [one for one in transitions if one.instance.id not in locked]
        if not free:
            raise RowsLockedError("another transaction has locked the workflows")
        results = iter(await self._commit_batch(free))
        return [_LockedError() if one.instance.id in locked else next(results) for one in transitions]

    async def _commit_batch(self, transitions: Sequence[Transition]) -> list[CommitResult]:
        clock = self._store.clock
        began = clock.monotonic() if self._observer else 0.0
        result_by_id = await self._store.instances.commit(self._executor_id, transitions, now=clock.now())
        if self._observer:
            self._observer.on_batch(len(transitions), clock.monotonic() - began)
        return [result_by_id[transition.instance.id] for transition in transitions]


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
