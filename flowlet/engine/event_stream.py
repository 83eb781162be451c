"""The events of all instances as a stream: one loop reads the histories for all subscribers, while there are any.

Ids of lines are assigned in order, and become visible in the order of commits: a line may appear below others that
were read before. So the loop looks for a skipped id until it appears, or gives it up after a while; an insert that
was rolled back leaves such a gap too. A subscriber's position is the last line below which there is no gap: a
subscriber that resumes there misses nothing, and at most gets some events again.

The loop reads when there was a commit, and oftener while it looks for a skipped id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from contextlib import suppress
from itertools import islice

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.engine.id_gaps import MAX_GAPS, Gaps
from flowlet.engine.streams.pace import TICK_SECONDS, compute_rest
from flowlet.engine.streams.subscriber import EventBatch, EventDelivery, StreamEnd, Subscriber
from flowlet.errors import RefusedError, StoreUnavailableError
from flowlet.shutdown import BackgroundTask
from flowlet.store.commits import Commit
from flowlet.store.history import HistoryEvent
from flowlet.store.opening import Store

__all__ = ["GAP_SECONDS", "MAX_SUBSCRIBERS", "EventBatch", "EventBroadcaster", "EventDelivery", "StreamEnd"]

MAX_SUBSCRIBERS = 1_000
"""How many subscribers there may be at once."""
GAP_SECONDS = 10.0
"""For how long a skipped id is looked for: a commit takes milliseconds, a caller's own transaction may take seconds."""
FALLBACK_SECONDS = 5.0
"""How often the loop looks without a signal: a process that dies may not have sent its last one."""
UNSIGNALLED_SECONDS = 1.0
"""How often it looks while signals cannot be heard, and how often a database is polled."""
KEEPALIVE_SECONDS = 5.0
"""After how long a subscriber without an event gets its new position; static/console.js counts missed ones."""
PAGE_SIZE = 1_000
MAX_BUFFERED_EVENTS = 10_000
"""Events that are kept for subscribers; a stream that is further behind reads the database itself."""
TURNS_UNTIL_SENT = 3
"""Turns of the event loop until all subscribers that were woken have sent their batch."""
MAX_PAGES_UNANNOUNCED = 5
"""How many full pages are read before subscribers are woken: half of what is kept for them."""
BEFORE_BUFFER = -1

logger = logging.getLogger(__name__)


class EventBroadcaster:
    """The subscribers to the events of one database, in one process.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._history = store.history
        self._clock = store.clock
        self._commit_signal = store.commit_signal
        self._subscriber_count = 0
        self._start_lock = asyncio.Lock()
        self._read_task = BackgroundTask("event-stream", self._read_until_unused)
        self._gaps = Gaps()
        self._last_read_id = self._last_read_at = 0
        self._horizon = 0
        self._buffer: deque[EventDelivery] = deque(maxlen=MAX_BUFFERED_EVENTS)
        self._buffer_end = 0
        self._unannounced_pages = 0
        self._sending_seconds = 0.0
        self._shared_batches: dict[tuple[Hashable, int], EventBatch] = {}
        self._new_events = asyncio.Event()
        self._has_unread_commit = asyncio.Event()
        self._is_closed = False
        self._is_current = True

    @property
    def subscriber_count(self) -> int:
        """How many subscribers there are now."""
        return self._subscriber_count

    @property
    def _is_reading(self) -> bool:
        return self._read_task.is_running

    async def read_position(self) -> int:
        """Return a position after which every event comes that is not visible yet: the loop's, where it runs.

        A subscriber that has read the database after this call, and resumes here, misses nothing.

        Raises:
            StoreUnavailableError: If the loop does not run and the database is away.
        """
        return self._horizon if self._is_reading else await self._history.read_horizon()

    async def start(self) -> StreamEnd:
        """Start the loop unless it runs, and return the end of the stream.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        async with self._start_lock:
            if self._is_closed or self._is_reading:
                return StreamEnd(self._horizon, self._buffer_end)
            pruned = await self._history.read_pruned_line()
            self._last_read_id = max(await self._history.read_last_id(), pruned)
            # What was written just now may have left gaps that are about to be filled.
            # What was deleted has left gaps that are not.
            first = max(0, self._last_read_id - MAX_GAPS, pruned)
            recent = [
                id for id in await self._history.read_ids_after(after=first, limit=MAX_GAPS) if id <= self._last_read_id
            ]
            self._gaps = Gaps()
            self._gaps.add_missing(recent, after=first, expires=self._clock.monotonic() + GAP_SECONDS)
            self._horizon = self._gaps.compute_horizon(self._last_read_id)
            self._buffer.clear()
            self._unannounced_pages = 0
            self._buffer_end += 1  # an end from before reads in the database what no loop has read since
            self._read_task.start()
            return StreamEnd(self._horizon, self._buffer_end)

    async def subscribe(
        self,
        is_wanted: Callable[[HistoryEvent], bool],
        *,
        after: int | StreamEnd | None = None,
        workflow_id: int | None = None,
        filter_key: Hashable = None,
    ) -> AsyncGenerator[EventBatch, None]:
        """Yield the events from now on, or after a position, until ``close``.

        Every event comes at least once, those of one instance in their order; after a position beyond the last event,
        such as one of another database, the events from now on. While the database is away nothing comes.
        A batch without deliveries comes first, and after five seconds without an event. The first one tells whether
        lines after the position were deleted: the subscriber has missed these events for good.

        Args:
            is_wanted: Returns whether the subscriber wants an event.
            after: The position to resume at; 0 for the first event of all; None for the end of the stream.
            workflow_id: The only instance whose events are wanted, if there is one: its past is then read alone.
            filter_key: Equal for subscribers that want the same events, which then share their batches; None shares
                none.

        Raises:
            RefusedError: If there are 1,000 subscribers already.
            StoreUnavailableError: If the database is away at the beginning.
        """
        if self._subscriber_count >= MAX_SUBSCRIBERS:
            raise RefusedError(f"{MAX_SUBSCRIBERS:,} event streams are open already: try again later, or poll")
        self._subscriber_count += 1
        try:
            end = await self.start()
            if isinstance(after, StreamEnd):
                end = after
            elif after is not None and after < self._last_read_id:
                end = StreamEnd(after, BEFORE_BUFFER)
            subscriber = Subscriber(is_wanted, workflow_id, end, filter_key)
            pruned = 0 if after is None or isinstance(after, StreamEnd) else await self._history.read_pruned_line()
            gap_end = pruned if pruned > subscriber.position else 0
            is_current = self._is_current and subscriber.place != BEFORE_BUFFER
            yield EventBatch(subscriber.position, gap_end=gap_end, is_current=is_current)
            async for batch in self._stream_batches(subscriber):
                yield batch
        finally:
            self._subscriber_count -= 1

    def close(self) -> None:
        """End every stream, and start none any more."""
        self._is_closed = True
        self._read_task.cancel()
        self._new_events.set()

    async def _read_until_unused(self) -> None:
        """Read at each signal, as long as there are subscribers."""
        unsubscribe = self._commit_signal.subscribe(self._on_commit, get_poll_seconds=lambda: UNSIGNALLED_SECONDS)
        try:
            while True:
                await self._read_and_rest()
                await self._wait_for_commit()
                if not self._subscriber_count:
                    return
        finally:
            unsubscribe()

    def _on_commit(self, commit: Commit) -> None:
        self._has_unread_commit.set()

    async def _wait_for_commit(self) -> None:
        """Wait for a signal, as long as one can be relied on; not at all while skipped ids are looked for."""
        seconds = FALLBACK_SECONDS if self._commit_signal.is_listening else UNSIGNALLED_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._gaps else seconds):
                await self._has_unread_commit.wait()

    async def _read_and_rest(self) -> None:
        """Read once, and rest.

        Subscribers are woken when there is nothing more to read. Each costs its task and a send, however small the
        batch is; so the loop rests the longer the more there are, and the batches grow.
        """
        self._has_unread_commit.clear()
        began = self._clock.monotonic()
        read = await self._try_to_read()
        took = self._clock.monotonic() - began
        if read is None or read == PAGE_SIZE:
            self._has_unread_commit.set()
        if read is None:
            await self._clock.sleep(UNSIGNALLED_SECONDS)
        else:
            rest = compute_rest(
                events=read,
                took=took,
                sending=0.0 if self._unannounced_pages else self._sending_seconds,
                subscribers=self._subscriber_count,
                delay=(self._clock.now() - self._last_read_at) / MICROSECONDS_PER_SECOND,
                is_complete=read < PAGE_SIZE,
            )
            await self._clock.sleep(rest)

    async def _try_to_read(self) -> int | None:
        """Return how many new lines were read; None if the database did not let them be read."""
        try:
            read = await self._read_new_events()
            self._is_current = True
            return read
        except StoreUnavailableError as error:
            logger.debug("%d event streams wait, the store is away: %s", self._subscriber_count, error)
        except Exception:
            logger.exception("%d event streams wait after an unexpected error", self._subscriber_count)
        self._is_current = False
        return None

    async def _read_new_events(self) -> int:
        """Read the new lines, and the skipped ones that have appeared; return how many new ones there were."""
        late = await self._history.read_events(self._gaps.ids) if self._gaps else []
        new = await self._history.read_events_after(self._last_read_id, limit=PAGE_SIZE)
        now = self._clock.monotonic()
        self._gaps.remove_ids(event.id for event in late)
        self._gaps.remove_expired(now)
        self._gaps.add_missing((event.id for event in new), after=self._last_read_id, expires=now + GAP_SECONDS)
        if new:
            self._last_read_id, self._last_read_at = new[-1].id, new[-1].at
        self._horizon = self._gaps.compute_horizon(self._last_read_id)
        self._add_events([*late, *new])
        if len(new) == PAGE_SIZE and self._unannounced_pages < MAX_PAGES_UNANNOUNCED - 1:
            self._unannounced_pages += 1
        else:
            await self._wake_subscribers(has_events=bool(late or new or self._unannounced_pages))
        return len(new)

    def _add_events(self, events: Sequence[HistoryEvent]) -> None:
        self._buffer.extend(EventDelivery(min(event.id, self._horizon), event) for event in events)
        self._buffer_end += len(events)
        self._shared_batches.clear()

    async def _wake_subscribers(self, *, has_events: bool) -> None:
        """Wake the subscribers, and note how long it takes until each has been sent its batch, or waits for its client.

        In the first turn of the event loop their tasks become ready, in the next one they run.
        """
        self._unannounced_pages = 0
        self._sending_seconds = 0.0
        if has_events:
            began = self._clock.monotonic()
            self._new_events.set()
            self._new_events = asyncio.Event()
            for _ in range(TURNS_UNTIL_SENT):
                await self._clock.sleep(0)
            self._sending_seconds = self._clock.monotonic() - began

    async def _stream_batches(self, subscriber: Subscriber) -> AsyncIterator[EventBatch]:
        """Yield a subscriber's events: its past from the database, then what the loop reads."""
        yielded_at = self._clock.monotonic()
        while not self._is_closed:
            first = self._buffer_end - len(self._buffer)
            if subscriber.place < first:
                async for batch in self._stream_past(subscriber):
                    yield batch
                continue
            batch = self._build_batch(subscriber, first)
            subscriber.position, subscriber.place = batch.position, self._buffer_end
            if batch.deliveries or self._clock.monotonic() - yielded_at >= KEEPALIVE_SECONDS:
                yield batch
                yielded_at = self._clock.monotonic()
            else:
                await self._wait_for_events()

    def _build_batch(self, subscriber: Subscriber, first: int) -> EventBatch:
        """Return what the loop has read since a subscriber's last batch; ``first`` is where the buffer begins.

        Selecting a thousand events anew for each of two hundred subscribers took longer than the engine's own work.
        """
        is_shared = subscriber.filter_key is not None and not subscriber.sent
        key = (subscriber.filter_key, subscriber.place)
        batch = self._shared_batches.get(key) if is_shared else None
        if batch is None or (batch.position, batch.is_current) != (self._horizon, self._is_current):
            new = islice(self._buffer, subscriber.place - first, None)
            batch = EventBatch(self._horizon, subscriber.select_deliveries(new), is_current=self._is_current)
            if is_shared:
                self._shared_batches[key] = batch
        return batch

    async def _stream_past(self, subscriber: Subscriber) -> AsyncIterator[EventBatch]:
        """Yield the events that the database has beyond a subscriber's position, up to its end.

        Beyond the horizon some may still be missing. The ids that are read from there on are remembered, because the
        loop may deliver them again, beside those that were missing.
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
            yield EventBatch(subscriber.position, deliveries, is_current=is_last and self._is_current)
            if is_last:
                return
            if cursor <= horizon:
                place, horizon = self._buffer_end, self._horizon
            await self._clock.sleep(took)

    async def _read_page(self, subscriber: Subscriber, cursor: int) -> list[HistoryEvent]:
        while True:
            try:
                return await self._history.read_events_after(
                    cursor, limit=PAGE_SIZE, workflow_id=subscriber.workflow_id
                )
            except StoreUnavailableError as error:
                logger.debug("an event stream waits, the store is away: %s", error)
                await self._clock.sleep(TICK_SECONDS)

    async def _wait_for_events(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(KEEPALIVE_SECONDS):
                await self._new_events.wait()
