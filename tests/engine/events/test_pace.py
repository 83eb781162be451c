"""The rests of the event stream's loop: followers take little of the engine's time, however many there are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.streams import pace
from flowlet.store.opening import open_store
from tests.engine.events.event_stream_harness import EventStreamHarness, accept_event
from tests.engine.executor_harness import wait_for


class RestClock(VirtualClock):
    """A virtual clock that keeps the rests of a loop that are longer than a tick."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[float] = []
        self.has_rested = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds > pace.TICK_SECONDS:
            self.rests.append(round(seconds, 3))
            self.has_rested.set()
        await super().sleep(seconds)


@pytest.mark.parametrize(("milliseconds", "rest"), [(1, 0.18), (5, 0.2)], ids=["measured", "bounded"])
async def test_sending_takes_a_tenth_of_the_time_however_many_follow(
    sqlite_url: str, milliseconds: int, rest: float
) -> None:
    clock, all_follow = RestClock(), asyncio.Barrier(21)
    sent: list[int] = []

    async def follow(feed: EventBroadcaster) -> None:
        batches = feed.subscribe(accept_event)
        await anext(batches)
        await all_follow.wait()
        async for batch in batches:
            if batch.deliveries:
                clock.advance(milliseconds * 1000)  # what it takes to send the batch
                sent.append(batch.position)

    async with open_store(sqlite_url, clock=clock) as store, asyncio.TaskGroup() as group:
        harness = EventStreamHarness(store)
        for _ in range(20):
            group.create_task(follow(harness.feed))
        await wait_for(all_follow.wait())
        clock.rests.clear()
        clock.has_rested.clear()
        await harness.create_instances()
        await wait_for(clock.has_rested.wait())
        harness.feed.close()

    assert len(sent) == 20
    assert clock.rests[0] == rest


async def test_reading_takes_a_tenth_of_the_time(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "REST_PER_EVENT", 0.1)
    clock = RestClock()
    async with open_store(sqlite_url, clock=clock) as store:
        harness = EventStreamHarness(store)
        async with harness.open_reader():
            clock.rests.clear()
            news = [harness.build_new_instance() for _ in range(3)]
            await store.instances.create(news, now=clock.now())
            await wait_for(clock.has_rested.wait())

    assert clock.rests[0] == 0.3


@pytest.mark.parametrize(
    ("values", "rest"),
    [
        ({"is_complete": True}, 0.09),
        ({"is_complete": False}, 0.01),
        ({"is_complete": False, "events": 1_000}, 0.3),
        ({"is_complete": False, "events": 1_000, "delay": 5.1}, 0.01),
        ({"is_complete": False, "events": 1_000, "sending": 0.02}, 0.48),
        ({"is_complete": False, "events": 1_000, "sending": 0.02, "subscribers": 15}, 0.45),
        ({"is_complete": False, "events": 1_000, "sending": 0.02, "delay": 5.1}, 0.18),
    ],
)
def test_rests_bound_what_is_read_and_sent_but_not_what_is_late(values: dict[str, Any], rest: float) -> None:
    given = {"events": 0, "took": 0.01, "sending": 0.0, "subscribers": 200, "delay": 0.0, **values}

    assert pace.compute_rest(**given) == pytest.approx(rest)
