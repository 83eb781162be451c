"""A database with an event stream, and subscribers that remember what came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from flowlet.engine.event_stream import EventBatch, EventBroadcaster, EventDelivery
from flowlet.instance.instance import Status
from flowlet.instance.new_instance import NewInstance
from flowlet.store.history import HistoryEvent
from flowlet.store.opening import Store, open_store
from tests.engine.executor_harness import wait_for

__all__ = ["EventReader", "EventStreamHarness", "accept_event", "find_loop", "open_event_stream_harness"]


def accept_event(_: HistoryEvent) -> bool:
    return True


class EventReader:
    """A subscriber that keeps the events it receives."""

    def __init__(self, feed: EventBroadcaster, is_wanted: Callable[[HistoryEvent], bool], **where: Any) -> None:
        self.deliveries: list[EventDelivery] = []
        self.position = 0
        self._news = feed.subscribe(is_wanted, **where)

    @property
    def event_ids(self) -> list[int]:
        return [one.event.id for one in self.deliveries]

    @property
    def workflow_ids(self) -> set[int]:
        return {one.event.workflow_id for one in self.deliveries}

    async def read_batch(self) -> EventBatch:
        """Take the next news."""
        news: EventBatch = await wait_for(anext(self._news))
        self.deliveries += news.deliveries
        self.position = news.position
        return news

    async def read_until(self, condition: Callable[[], bool]) -> None:
        """Take news until something is so."""
        while not condition():
            await self.read_batch()

    async def close_stream(self) -> None:
        await self._news.aclose()


class EventStreamHarness:
    """A database with a feed, in which instances can be created."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.feed = EventBroadcaster(store)
        self._number = 0

    def build_new_instance(self) -> NewInstance:
        """Return an instance that can be created."""
        self._number += 1
        name = f"order-{self._number}"
        return NewInstance("Orders", 1, name, name, "default", 0, "check", Status.NEW, "{}", None)

    async def create_instances(self, count: int = 1) -> list[int]:
        """Create instances, each in a transaction of its own: one line of history each."""
        now = self.store.clock.now()
        return [(await self.store.instances.create([self.build_new_instance()], now=now))[0].id for _ in range(count)]

    @asynccontextmanager
    async def open_reader(
        self, is_wanted: Callable[[HistoryEvent], bool] = accept_event, **where: Any
    ) -> AsyncIterator[EventReader]:
        """Follow for the length of the block; the position is known at its beginning."""
        reader = EventReader(self.feed, is_wanted, **where)
        try:
            await reader.read_batch()
            yield reader
        finally:
            await reader.close_stream()


@asynccontextmanager
async def open_event_stream_harness(url: str) -> AsyncIterator[EventStreamHarness]:
    async with open_store(url) as store:
        archive = EventStreamHarness(store)
        yield archive
        archive.feed.close()


def find_loop() -> asyncio.Task[Any]:
    """Return the task that reads the histories."""
    (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == "flowlet-event-stream"]
    return loop
