"""The pruner: deletes instances that ended long ago, a few at a time, and rests in between."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from random import Random

from flowlet.clock import to_microseconds
from flowlet.definition.definition import Definition
from flowlet.engine.outage import Backoff
from flowlet.engine.retention.rules import list_ranges, read_retention_rules
from flowlet.instance.keep_period import ALWAYS, OFF
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import Store
from flowlet.store.people.audit import MAX_DELETED_RECORDS
from flowlet.store.retention.deletion import MAX_DELETED_INSTANCES, Deleted, delete_parts
from flowlet.store.retention.ended_trees import EndedRange, find_ended_roots, read_ended_trees, split_trees
from flowlet.store.retention.external_ids import MAX_DELETED_IDS, delete_expired_external_ids

__all__ = ["LAP_SECONDS", "Pruner", "prune_ranges"]

LAP_SECONDS = 60.0
"""How long the pruner rests after it has deleted all that was old enough."""
FIRST_LAP_SECONDS = 10.0
"""How long after its executor's start it looks for the first time: a start has enough to do."""
REST_FACTOR = 9
"""A transaction is followed by a rest of so many times as long as it took: a tenth of one connection, at most."""
SLOW_SECONDS = 0.25
"""How long a transaction may take: the next one deletes half as many instances if one took longer."""

logger = logging.getLogger(__name__)


class Pruner:
    """What one executor deletes for all of them: the ended instances of the workflows for which it is the first one.

    Args:
        store: The database.
        definitions: The definitions of the executor.
        settings: How long instances and external ids are kept.
        executor_id: The executor's id.
        random: The source of jitter.
    """

    def __init__(
        self,
        store: Store,
        definitions: Iterable[Definition],
        settings: ExecutorSettings,
        *,
        executor_id: str,
        random: Random,
    ) -> None:
        self._store = store
        self._definitions = tuple(definitions)
        self._settings = settings
        self._executor_id = executor_id
        self._random = random

    async def run(self) -> None:
        """Run until cancelled."""
        with Backoff("pruning", is_rare=True) as backoff:
            await self._store.clock.sleep(FIRST_LAP_SECONDS)
            while True:
                try:
                    await self.run_lap()
                    backoff.reset()
                    seconds = LAP_SECONDS * (0.8 + 0.4 * self._random.random())
                except Exception as error:  # noqa: BLE001 - without the pruner, nothing would ever be deleted
                    seconds = backoff.next_delay(error)
                await self._store.clock.sleep(seconds)

    async def run_lap(self) -> Deleted:
        """Delete everything that is old enough now and whose tree has ended; return how much that was.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        now, keep_ids = self._store.clock.now(), self._settings.keep_external_ids
        rules = await read_retention_rules(self._store, self._definitions, default=self._settings.keep)
        ranges = [one for rule in rules if rule.pruner_id == self._executor_id for one in list_ranges(rule, now=now)]
        total = Deleted()
        async for deleted in prune_ranges(self._store, ranges, keeps_external_ids=keep_ids != OFF):
            total = total.add(deleted)
        if keep_ids != ALWAYS:
            await self._delete_external_ids(now - to_microseconds(keep_ids))
        if self._settings.keep_audit != ALWAYS:
            await self._delete_audit(now - to_microseconds(self._settings.keep_audit))
        if total.instances:
            logger.info("deleted %d instances that ended long ago, in %d trees", total.instances, total.trees)
        return total

    async def _delete_audit(self, before: int) -> None:
        clock = self._store.clock
        while True:
            began = clock.monotonic()
            if await self._store.audit.delete_before(before) < MAX_DELETED_RECORDS:
                return
            await clock.sleep(REST_FACTOR * (clock.monotonic() - began))

    async def _delete_external_ids(self, before: int) -> None:
        clock = self._store.clock
        while True:
            began = clock.monotonic()
            if await delete_expired_external_ids(self._store.connections, before=before) < MAX_DELETED_IDS:
                return
            await clock.sleep(REST_FACTOR * (clock.monotonic() - began))


async def prune_ranges(
    store: Store, ranges: Sequence[EndedRange], *, keeps_external_ids: bool, rest_factor: float = REST_FACTOR
) -> AsyncGenerator[Deleted, None]:
    """Delete the trees of these ranges that have ended, and yield what each transaction has deleted.

    Killed at any moment, it has deleted whole trees, and of a large one some of its leaves; run again, it goes on.

    Args:
        store: The database.
        ranges: The roots.
        keeps_external_ids: Whether the external ids stay taken.
        rest_factor: A rest of so many times as long as the transaction took follows each one.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    size = MAX_DELETED_INSTANCES
    for ended in ranges:
        last = None
        while roots := await find_ended_roots(store.connections, ended, after=last, limit=size):
            last = roots[-1]
            trees = await read_ended_trees(store.connections, roots, before=ended.before)
            for parts in split_trees(trees, size):
                began = store.clock.monotonic()
                deleted = await delete_parts(
                    store.connections, parts, now=store.clock.now(), keeps_external_ids=keeps_external_ids
                )
                took = store.clock.monotonic() - began
                yield deleted
                size = max(1, size // 2) if took > SLOW_SECONDS else min(MAX_DELETED_INSTANCES, size * 2)
                await store.clock.sleep(rest_factor * took)
