"""Following what happens to all instances: one loop reads the histories for all who follow, while somebody does.

Ids of lines are given out in order, and become visible in the order of commits: a line may appear below others that
were read before. So an id that is skipped is looked for until it comes, or is given up after a while; an insert that
was rolled back leaves such a gap too. What a follower is told as its position is the end of what has no gap, so that
whoever resumes from it misses nothing, and at most gets some events again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from flowlet.errors import RefusedError, StoreUnavailableError
from flowlet.store.feed import Event
from flowlet.store.opening import Store

__all__ = ["GAP_SECONDS", "MOST_FOLLOWERS", "Delivery", "Feed", "Gaps", "News"]

MOST_FOLLOWERS = 1_000
"""How many may follow at once."""
GAP_SECONDS = 10.0
"""For how long a skipped id is looked for: a commit takes milliseconds, a caller's own transaction may take seconds."""
MOST_GAPS = 5_000
"""How many skipped ids are looked for at most: the latest ones."""
TICK_SECONDS = 0.1
BEAT_SECONDS = 5.0
"""After how long a follower for whom there is no event is told how far the feed has come."""
PAGE = 1_000
KEPT = 10_000
"""Events that are kept for followers; whoever is further behind reads the database itself."""
BEFORE_ALL = -1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, and the position from which to resume if it is the last one that has arrived."""

    position: int
    event: Event


@dataclass(frozen=True, slots=True)
class News:
    """What a follower gets: deliveries in order, or none, and the position after all of them."""

    position: int
    deliveries: Sequence[Delivery] = ()


class Gaps:
    """Ids that have been skipped, in order, each until it comes or is given up."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    @property
    def ids(self) -> list[int]:
        """The skipped ids."""
        return list(self._until)

    def note(self, ids: Iterable[int], *, after: int, until: float) -> None:
        """Take note of what is missing between these ids, which are in order and beyond ``after``."""
        for id in ids:
            # A sequence that was set forward by a billion leaves no room for a look at each.
            self._until.update(dict.fromkeys(range(max(after + 1, id - MOST_GAPS), id), until))
            after = id
        for forgotten in list(islice(self._until, max(0, len(self._until) - MOST_GAPS))):
            del self._until[forgotten]

    def fill(self, ids: Iterable[int]) -> None:
        """Look for these no longer: they have come."""
        for id in ids:
            self._until.pop(id, None)

    def give_up(self, now: float) -> None:
        """Look no longer for what has been missing for too long."""
        self.fill([id for id, until in self._until.items() if until <= now])

    def horizon(self, seen: int) -> int:
        """Return up to which id nothing is missing, if ``seen`` is the last one that was read."""
        return next(iter(self._until), seen + 1) - 1


class Feed:
    """Those who follow the events of one database, in one process.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._events = store.feed
        self._clock = store.clock
        self._followers = 0
        self._starting = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._gaps = Gaps()
        self._seen = 0
        self._horizon = 0
        self._kept: deque[Delivery] = deque(maxlen=KEPT)
        self._end = 0
        self._moved = asyncio.Event()
        self._is_closed = False

    @property
    def followers(self) -> int:
        """How many follow now."""
        return self._followers

    async def begin(self) -> None:
        """See that the histories are being read on, and is known where they end.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        async with self._starting:
            if self._is_closed or (self._loop is not None and not self._loop.done()):
                return
            self._seen = await self._events.last()
            # What was written just now may have left gaps that are about to be filled.
            first = max(0, self._seen - MOST_GAPS)
            recent = [id for id in await self._events.ids(after=first, limit=MOST_GAPS) if id <= self._seen]
            self._gaps = Gaps()
            self._gaps.note(recent, after=first, until=self._clock.elapsed() + GAP_SECONDS)
            self._horizon = self._gaps.horizon(self._seen)
            self._kept.clear()
            self._loop = asyncio.create_task(self._watch(), name="flowlet-feed")

    async def follow(
        self, wanted: Callable[[Event], bool], *, after: int | None = None, workflow_id: int | None = None
    ) -> AsyncGenerator[News, None]:
        """Yield what happens from now on, or after a position, until the feed is closed.

        Every event comes at least once, those of one instance in their order; after a position that is beyond the
        last event, as from another database, what happens from now on. While the database is away nothing comes.
        News without deliveries come first of all, and after five seconds without an event.

        Args:
            wanted: Which events.
            after: Where to resume, as a position that has been told; 0 for the first event of all; None for now.
            workflow_id: The only instance whose events are wanted, where that is known: its past is then read alone.

        Raises:
            RefusedError: If 1,000 follow already.
            StoreUnavailableError: If the database is away at the beginning.
        """
        if self._followers >= MOST_FOLLOWERS:
            raise RefusedError(f"{MOST_FOLLOWERS:,} follow the events already: ask again later, or search now and then")
        self._followers += 1
        try:
            await self.begin()
            follower = _Follower(wanted, workflow_id, self._horizon, self._end)
            if after is not None and after < self._seen:
                follower.position, follower.place = after, BEFORE_ALL
            async for news in self._news(follower):
                yield news
        finally:
            self._followers -= 1

    def close(self) -> None:
        """End every stream of news, and begin none any more."""
        self._is_closed = True
        if self._loop is not None:
            self._loop.cancel()
        self._moved.set()

    async def _watch(self) -> None:
        """Read on as long as somebody follows."""
        while True:
            began = self._clock.elapsed()
            read = 0
            try:
                read = await self._look()
            except StoreUnavailableError as error:
                logger.debug("%d streams of events wait, the store is away: %s", self._followers, error)
            except Exception:
                logger.exception("%d streams of events wait, a look broke off", self._followers)
            took = self._clock.elapsed() - began
            # At most half of the time goes into reading, however much there is to read.
            await self._clock.sleep(took if read == PAGE else max(took, TICK_SECONDS - took))
            if not self._followers:
                return

    async def _look(self) -> int:
        """Read what is new, and what has been skipped; return how many new lines there were."""
        late = await self._events.of(self._gaps.ids) if self._gaps else []
        new = await self._events.after(self._seen, limit=PAGE)
        now = self._clock.elapsed()
        self._gaps.fill(event.id for event in late)
        self._gaps.give_up(now)
        self._gaps.note((event.id for event in new), after=self._seen, until=now + GAP_SECONDS)
        self._seen = new[-1].id if new else self._seen
        self._horizon = self._gaps.horizon(self._seen)
        self._publish([*late, *new])
        return len(new)

    def _publish(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self._kept.extend(Delivery(min(event.id, self._horizon), event) for event in events)
        self._end += len(events)
        self._moved.set()
        self._moved = asyncio.Event()

    async def _news(self, follower: _Follower) -> AsyncIterator[News]:
        """Yield what a follower wants: its past from the database, then what the loop reads."""
        yield News(follower.position)
        told = self._clock.elapsed()
        while not self._is_closed:
            first = self._end - len(self._kept)
            if follower.place < first:
                async for news in self._past(follower):
                    yield news
                continue
            deliveries = follower.chosen(islice(self._kept, follower.place - first, None))
            follower.position, follower.place = self._horizon, self._end
            if deliveries or self._clock.elapsed() - told >= BEAT_SECONDS:
                yield News(follower.position, deliveries)
                told = self._clock.elapsed()
            else:
                await self._until_moved()

    async def _past(self, follower: _Follower) -> AsyncIterator[News]:
        """Yield what the database has beyond a follower's position, up to its end.

        Beyond the horizon something may still be missing. What is read from there on is remembered, because the loop
        may tell of it again, beside what was missing.
        """
        place, horizon = self._end, self._horizon
        follower.sent.clear()
        cursor = follower.position
        while not self._is_closed:
            began = self._clock.elapsed()
            page = await self._page(follower, cursor)
            took = self._clock.elapsed() - began
            deliveries = follower.chosen(Delivery(min(event.id, horizon), event) for event in page)
            cursor = page[-1].id if page else cursor
            is_last = len(page) < PAGE
            follower.position = max(follower.position, horizon if is_last else min(cursor, horizon))
            follower.sent.update(event.id for event in page if event.id > follower.position)
            if is_last:
                follower.place = place
            yield News(follower.position, deliveries)
            if is_last:
                return
            if cursor <= horizon:
                place, horizon = self._end, self._horizon
            await self._clock.sleep(took)

    async def _page(self, follower: _Follower, cursor: int) -> list[Event]:
        while True:
            try:
                return await self._events.after(cursor, limit=PAGE, workflow_id=follower.workflow_id)
            except StoreUnavailableError as error:
                logger.debug("a stream of events waits, the store is away: %s", error)
                await self._clock.sleep(TICK_SECONDS)

    async def _until_moved(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await self._moved.wait()


class _Follower:
    """What one who follows wants, and how far it has come.

    Attributes:
        position: Up to which line everything has been sent.
        place: How many of the loop's events lie behind it.
        sent: What has been sent beyond the position.
    """

    __slots__ = ("place", "position", "sent", "wanted", "workflow_id")

    def __init__(self, wanted: Callable[[Event], bool], workflow_id: int | None, position: int, place: int) -> None:
        self.wanted = wanted
        self.workflow_id = workflow_id
        self.position = position
        self.place = place
        self.sent: set[int] = set()

    def chosen(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Return those that are wanted and have not been sent yet."""
        return [one for one in deliveries if one.event.id not in self.sent and self.wanted(one.event)]
