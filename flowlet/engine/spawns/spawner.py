"""The spawner: makes the children of large spawns, part by part, of all instances and for all executors."""

from __future__ import annotations

import logging
from random import Random

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.outage import Backoff
from flowlet.engine.wakeup import Wakeup
from flowlet.errors import RowsLockedError, StoreUnavailableError
from flowlet.store.children.unmade import list_spawning, make_part
from flowlet.store.commits import ANY_GROUP, Commit
from flowlet.store.opening import Store

__all__ = ["LOOK_SECONDS", "Spawner"]

LOOK_SECONDS = 30.0
"""How often an executor looks for parts that others have left. It begins its own ones at once, and those of an executor
that has ended as soon as that is known."""
REST_FACTOR = 4.0
"""A part is followed by a rest of so many times as long as it took: its children are claimed and committed in it, which
takes about twice as long as the part, and the commits of others have their turn."""
MAX_REST_SECONDS = 5.0
"""How long it rests at most: a part that waited for a lock or for a server took long without any work."""
COMMIT_REST_SECONDS = 2.0
"""How long after a look a commit of which nothing is known leads to another one: it may be the end of an executor."""
LOCKED_SECONDS = 0.5
"""After how long a part is tried again whose rows another transaction has locked."""
MAX_PARENTS = 100
"""How many instances one statement finds."""

logger = logging.getLogger(__name__)


class Spawner:
    """What one executor makes of the large spawns of all: one part at a time, each parent in its turn.

    Several executors may do so at once: of one parent, one part at a time is made.

    Args:
        store: The database.
        random: The source of jitter.
    """

    def __init__(self, store: Store, *, random: Random) -> None:
        self._store = store
        self._random = random
        self._wakeup = Wakeup(store.clock)
        self._looked_at = 0
        self._set_aside: dict[int, int] = {}

    def wake(self) -> None:
        """Begin at once: a large spawn has been committed."""
        self._wakeup.wake()

    async def run(self) -> None:
        """Run until cancelled."""
        unsubscribe = self._store.commit_signal.subscribe(self._on_commit)
        try:
            with Backoff("making children", is_rare=True) as backoff:
                while True:
                    try:
                        while await self.make_parts():
                            pass
                        backoff.reset()
                        seconds = LOOK_SECONDS * (0.8 + 0.4 * self._random.random())
                    except Exception as error:  # noqa: BLE001 - without it, children would never be made
                        await self._store.clock.sleep(backoff.next_delay(error))
                        continue
                    await self._wakeup.sleep(seconds, min(self._set_aside.values(), default=None))
        finally:
            unsubscribe()

    async def make_parts(self) -> int:
        """Make one part of each instance that has some; return how many children that made.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        clock, made, after = self._store.clock, 0, 0
        self._looked_at = now = clock.now()
        self._set_aside = {id: until for id, until in self._set_aside.items() if until > now}
        while found := await list_spawning(self._store.connections, after=after, limit=MAX_PARENTS):
            for unmade in found:
                after, began = unmade.parent_id, clock.monotonic()
                if after in self._set_aside:
                    continue
                made += await self._make_part(unmade.parent_id)
                await clock.sleep(min(REST_FACTOR * (clock.monotonic() - began), MAX_REST_SECONDS))
        return made

    def _on_commit(self, commit: Commit) -> None:
        if ANY_GROUP in commit.due_groups:
            self._wakeup.wake_at(self._looked_at + round(COMMIT_REST_SECONDS * MICROSECONDS_PER_SECOND))

    async def _make_part(self, parent_id: int) -> int:
        """Make a part; one that the database refuses stays, and does not hold up those of other instances."""
        clock = self._store.clock
        try:
            return await make_part(self._store.connections, parent_id, now=clock.now())
        except RowsLockedError:
            seconds = LOCKED_SECONDS
        except StoreUnavailableError:
            raise
        except Exception:
            logger.exception("children of workflow %d could not be made", parent_id)
            seconds = LOOK_SECONDS
        self._set_aside[parent_id] = clock.now() + round(seconds * MICROSECONDS_PER_SECOND)
        return 0
