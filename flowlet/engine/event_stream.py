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
from flowlet.store.history import HistoryEvent
from flowlet.store.opening import Store

__all__ = ["GAP_SECONDS", "MAX_SUBSCRIBERS", "EventBatch", "EventBroadcaster", "EventDelivery", "Gaps"]

MAX_SUBSCRIBERS = 1_000
"""How many may follow at once."""
GAP_SECONDS = 10.0
"""For how long a skipped id is looked for: a commit takes milliseconds, a caller's own transaction may take seconds."""
MAX_GAPS = 5_000
"""How many skipped ids are looked for at most: the latest ones."""
TICK_SECONDS = 0.1
KEEPALIVE_SECONDS = 5.0
"""After how long a follower for whom there is no event is told how far the feed has come."""
PAGE_SIZE = 1_000
MAX_BUFFERED_EVENTS = 10_000
"""Events that are kept for followers; whoever is further behind reads the database itself."""
BEFORE_BUFFER = -1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """An event, and the position from which to resume if it is the last one that has arrived."""

    position: int
    event: HistoryEvent


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What a follower gets: deliveries in order, or none, and the position after all of them."""

    position: int
    deliveries: Sequence[EventDelivery] = ()


class Gaps:
    """Ids that have been skipped, in order, each until it comes or is given up."""

    def __init__(self) -> None:
        self._expiry_by_id: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._expiry_by_id)

    @property
    def ids(self) -> list[int]:
        """The skipped ids."""
        return list(self._expiry_by_id)

    def add_missing(self, ids: Iterable[int], *, after: int, expires: float) -> None:
        """Take note of what is missing between these ids, which are in order and beyond ``after``."""
        for id in ids:
            # A sequence that was set forward by a billion leaves no room for a look at each.
            self._expiry_by_id.update(dict.fromkeys(range(max(after + 1, id - MAX_GAPS), id), expires))
            after = id
        for forgotten in list(islice(self._expiry_by_id, max(0, len(self._expiry_by_id) - MAX_GAPS))):
            del self._expiry_by_id[forgotten]

    def remove_ids(self, ids: Iterable[int]) -> None:
        """Look for these no longer: they have come."""
        for id in ids:
            self._expiry_by_id.pop(id, None)

    def remove_expired(self, now: float) -> None:
        """Look no longer for what has been missing for too long."""
        self.remove_ids([id for id, until in self._expiry_by_id.items() if until <= now])

    def compute_horizon(self, last_read_id: int) -> int:
        """Return up to which id nothing is missing, if ``last_read_id`` is the last one that was read."""
        return next(iter(self._expiry_by_id), last_read_id + 1) - 1


class EventBroadcaster:
    """Those who follow the events of one database, in one process.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._history = store.history
        self._clock = store.clock
        self._subscriber_count = 0
        self._start_lock = asyncio.Lock()
        self._read_task: asyncio.Task[None] | None = None
        self._gaps = Gaps()
        self._last_read_id = 0
        self._horizon = 0
        self._buffer: deque[EventDelivery] = deque(maxlen=MAX_BUFFERED_EVENTS)
        self._buffer_end = 0
        self._new_events = asyncio.Event()
        self._is_closed = False

    @property
    def subscriber_count(self) -> int:
        """How many follow now."""
        return self._subscriber_count

    async def start(self) -> None:
        """See that the histories are being read on, and is known where they end.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        async with self._start_lock:
            if self._is_closed or (self._read_task is not None and not self._read_task.done()):
                return
            self._last_read_id = await self._history.read_last_id()
            # What was written just now may have left gaps that are about to be filled.
            first = max(0, self._last_read_id - MAX_GAPS)
            recent = [
                id for id in await self._history.read_ids_after(after=first, limit=MAX_GAPS) if id <= self._last_read_id
            ]
            self._gaps = Gaps()
            self._gaps.add_missing(recent, after=first, expires=self._clock.monotonic() + GAP_SECONDS)
            self._horizon = self._gaps.compute_horizon(self._last_read_id)
            self._buffer.clear()
            self._read_task = asyncio.create_task(self._read_until_unused(), name="flowlet-feed")

    async def subscribe(
        self, is_wanted: Callable[[HistoryEvent], bool], *, after: int | None = None, workflow_id: int | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        """Yield what happens from now on, or after a position, until the feed is closed.

        Every event comes at least once, those of one instance in their order; after a position that is beyond the
        last event, as from another database, what happens from now on. While the database is away nothing comes.
        News without deliveries come first of all, and after five seconds without an event.

        Args:
            is_wanted: Which events.
            after: Where to resume, as a position that has been told; 0 for the first event of all; None for now.
            workflow_id: The only instance whose events are wanted, where that is known: its past is then read alone.

        Raises:
            RefusedError: If 1,000 follow already.
            StoreUnavailableError: If the database is away at the beginning.
        """
        if self._subscriber_count >= MAX_SUBSCRIBERS:
            raise RefusedError(
                f"{MAX_SUBSCRIBERS:,} follow the events already: ask again later, or search now and then"
            )
        self._subscriber_count += 1
        try:
            await self.start()
            follower = _Subscriber(is_wanted, workflow_id, self._horizon, self._buffer_end)
            if after is not None and after < self._last_read_id:
                follower.position, follower.place = after, BEFORE_BUFFER
            async for news in self._stream_batches(follower):
                yield news
        finally:
            self._subscriber_count -= 1

    def close(self) -> None:
        """End every stream of news, and begin none any more."""
        self._is_closed = True
        if self._read_task is not None:
            self._read_task.cancel()
        self._new_events.set()

    async def _read_until_unused(self) -> None:
        """Read on as long as somebody follows."""
        while True:
            began = self._clock.monotonic()
            read = 0
            try:
                read = await self._read_new_events()
            except StoreUnavailableError as error:
                logger.debug("%d streams of events wait, the store is away: %s", self._subscriber_count, error)
            except Exception:
                logger.exception("%d streams of events wait, a look broke off", self._subscriber_count)
            took = self._clock.monotonic() - began
            # At most half of the time goes into reading, however much there is to read.
            await self._clock.sleep(took if read == PAGE_SIZE else max(took, TICK_SECONDS - took))
            if not self._subscriber_count:
                return

    async def _read_new_events(self) -> int:
        """Read what is new, and what has been skipped; return how many new lines there were."""
        late = await self._history.read_events(self._gaps.ids) if self._gaps else []
        new = await self._history.read_events_after(self._last_read_id, limit=PAGE_SIZE)
        now = self._clock.monotonic()
        self._gaps.remove_ids(event.id for event in late)
        self._gaps.remove_expired(now)
        self._gaps.add_missing((event.id for event in new), after=self._last_read_id, expires=now + GAP_SECONDS)
        self._last_read_id = new[-1].id if new else self._last_read_id
        self._horizon = self._gaps.compute_horizon(self._last_read_id)
        self._publish([*late, *new])
        return len(new)

    def _publish(self, events: Sequence[HistoryEvent]) -> None:
        if not events:
            return
        self._buffer.extend(EventDelivery(min(event.id, self._horizon), event) for event in events)
        self._buffer_end += len(events)
        self._new_events.set()
        self._new_events = asyncio.Event()

    async def _stream_batches(self, subscriber: _Subscriber) -> AsyncIterator[EventBatch]:
        """Yield what a follower wants: its past from the database, then what the loop reads."""
        yield EventBatch(subscriber.position)
        told = self._clock.monotonic()
        while not self._is_closed:
            first = self._buffer_end - len(self._buffer)
            if subscriber.place < first:
                async for news in self._stream_past(subscriber):
                    yield news
                continue
            deliveries = subscriber.select_deliveries(islice(self._buffer, subscriber.place - first, None))
            subscriber.position, subscriber.place = self._horizon, self._buffer_end
            if deliveries or self._clock.monotonic() - told >= KEEPALIVE_SECONDS:
                yield EventBatch(subscriber.position, deliveries)
                told = self._clock.monotonic()
            else:
                await self._wait_for_events()

    async def _stream_past(self, subscriber: _Subscriber) -> AsyncIterator[EventBatch]:
        """Yield what the database has beyond a follower's position, up to its end.

        Beyond the horizon something may still be missing. What is read from there on is remembered, because the loop
        may tell of it again, beside what was missing.
        """
        place, horizon = self._buffer_end, self._horizon
        subscriber.sent.clear()
        cursor = subscriber.position
        while not self._is_closed:
            began = self._clock.monotonic()
            page = await self._read_page(subscriber, cursor)
            took = self._clock.monotonic() - began
            deliveries = subscriber.select_deliveries(EventDelivery(min(event.id, horizon), event) for event in page)
            cursor = page[-1].id if page else cursor
            is_last = len(page) < PAGE_SIZE
            subscriber.position = max(subscriber.position, horizon if is_last else min(cursor, horizon))
            subscriber.sent.update(event.id for event in page if event.id > subscriber.position)
            if is_last:
                subscriber.place = place
            yield EventBatch(subscriber.position, deliveries)
            if is_last:
                return
            if cursor <= horizon:
                place, horizon = self._buffer_end, self._horizon
            await self._clock.sleep(took)

    async def _read_page(self, subscriber: _Subscriber, cursor: int) -> list[HistoryEvent]:
        while True:
            try:
                return await self._history.read_events_after(
                    cursor, limit=PAGE_SIZE, workflow_id=subscriber.workflow_id
                )
            except StoreUnavailableError as error:
                logger.debug("a stream of events waits, the store is away: %s", error)
                await self._clock.sleep(TICK_SECONDS)

    async def _wait_for_events(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(KEEPALIVE_SECONDS):
                await self._new_events.wait()


class _Subscriber:
    """What one who follows wants, and how far it has come.

    Attributes:
        position: Up to which line everything has been sent.
        place: How many of the loop's events lie behind it.
        sent: What has been sent beyond the position.
    """

    __slots__ = ("place", "position", "sent", "wanted", "workflow_id")

    def __init__(
        self, wanted: Callable[[HistoryEvent], bool], workflow_id: int | None, position: int, place: int
    ) -> None:
        self.wanted = wanted
        self.workflow_id = workflow_id
        self.position = position
        self.place = place
        self.sent: set[int] = set()

    def select_deliveries(self, deliveries: Iterable[EventDelivery]) -> list[EventDelivery]:
        """Return those that are wanted and have not been sent yet."""
        return [one for one in deliveries if one.event.id not in self.sent and self.wanted(one.event)]
