"""A stream of events: over broken connections, from where it was, until it is closed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from flowlet.client import (
    AnswerError,
    AsyncEvents,
    Event,
    FaultyError,
    ForbiddenError,
    UnauthenticatedError,
    UnavailableError,
)
from flowlet.clock import VirtualClock
from flowlet.instances import ActionKind, Status
from tests.client.script import breaks, playing, problem, replies, scripted, stream
from tests.client.served import Shop, connected
from tests.engine.running import seen
from tests.store.proxy import proxied

FIRST = b"retry: 2000\n\n"
BEAT = b": still here\n\n"


def told(id: int, **changes: Any) -> bytes:
    """Return an event as the server sends it."""
    values = {
        "id": id,
        "workflowId": 7,
        "workflowType": "Orders",
        "externalId": "order-7",
        "businessKey": "order-7",
        "executorGroup": "default",
        "type": "TRANSITION",
        "fromState": "check",
        "toState": "charge",
        "text": None,
        "attempt": 1,
        "durationMs": 12,
        "executorId": "executor-1",
        "username": None,
        "dateTime": "2030-01-01T00:00:00.000000Z",
        "status": "IN_PROGRESS",
        "state": "charge",
    }
    return f"id: {id}\ndata: {json.dumps({**values, **changes})}\n\n".encode()


async def taken(events: AsyncEvents, count: int) -> list[Event]:
    """Return the next events."""
    return [await seen(anext(events)) for _ in range(count)]


async def test_an_event_says_what_has_happened_to_which_workflow(kind: str) -> None:
    async with playing(kind, stream(FIRST, BEAT, told(41), ends=False)) as (_, client), client.events() as events:
        (event,) = await taken(events, 1)

    assert (event.id, event.workflow_id, event.external_id) == (41, 7, "order-7")
    assert (event.type, event.from_state, event.to_state) == (ActionKind.TRANSITION, "check", "charge")
    assert (event.date_time, event.status, event.state) == (
        datetime(2030, 1, 1, tzinfo=UTC),
        Status.IN_PROGRESS,
        "charge",
    )
    assert events.last_id == 41


async def test_the_filter_and_where_to_go_on_are_asked_for(kind: str) -> None:
    async with (
        playing(kind, stream(told(42), ends=False), key="secret") as (server, client),
        client.events(
            after=41, workflow_id=7, workflow_type="a b", type=[ActionKind.ERROR, "FAILED"], business_key=None
        ) as events,
    ):
        await taken(events, 1)

    (asked,) = server.asked
    assert asked.line == "GET /api/events?workflowId=7&workflowType=a+b&type=ERROR&type=FAILED&after=41"
    assert (asked.headers["accept"], asked.headers["x-api-key"]) == ("text/event-stream", "secret")
    assert "last-event-id" not in asked.headers


async def test_a_stream_that_breaks_off_goes_on_behind_the_last_event(kind: str) -> None:
    plays = [stream(told(1), told(2)[:-5]), breaks, stream(told(2), told(3)), stream(told(4), ends=False)]
    async with playing(kind, *plays, clock=VirtualClock()) as (server, client), client.events(after=0) as events:
        found = await taken(events, 4)

    assert [event.id for event in found] == [1, 2, 3, 4]
    assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, "1", "1", "3"]


async def test_an_id_without_an_event_is_where_to_go_on_too(kind: str) -> None:
    plays = [stream(b"id: 40\n\n"), stream(told(41), ends=False)]
    async with playing(kind, *plays, clock=VirtualClock()) as (server, client), client.events() as events:
        await taken(events, 1)

    assert server.asked[1].headers["last-event-id"] == "40"


async def test_a_connection_on_which_nothing_comes_is_made_anew(kind: str) -> None:
    plays = [stream(told(1), ends=False), stream(told(2), ends=False)]
    async with (
        playing(kind, *plays, clock=VirtualClock()) as (server, client),
        client.events(silence="100ms") as events,
    ):
        found = await taken(events, 2)

    assert [event.id for event in found] == [1, 2]
    assert server.plays == []


async def test_between_two_connections_it_waits_as_long_as_the_server_says(kind: str) -> None:
    clock = VirtualClock()
    away = problem("unavailable", 503, headers={"Retry-After": "100"})
    plays = [stream(b"retry: 10\n\n", told(1)), away, stream(told(2), ends=False)]
    async with playing(kind, *plays, clock=clock) as (_, client), client.events() as events:
        await taken(events, 2)

    assert 100 <= (clock.now() - VirtualClock().now()) / 1_000_000 <= 100.01


async def test_an_outage_may_last(kind: str) -> None:
    clock = VirtualClock()
    plays = [stream(told(1)), *[breaks] * 30, stream(told(2), ends=False)]
    async with playing(kind, *plays, clock=clock) as (server, client), client.events() as events:
        await taken(events, 2)

    assert server.plays == []
    assert clock.now() - VirtualClock().now() < 31 * 30_000_000


async def test_after_each_event_the_delays_begin_anew_where_the_server_said_last(kind: str) -> None:
    clock = VirtualClock()
    plays = [stream(b"retry: 10\n\n", told(0)), *(stream(told(id)) for id in range(1, 20))]
    async with playing(kind, *plays, clock=clock) as (_, client), client.events() as events:
        await taken(events, 20)

    assert clock.now() - VirtualClock().now() <= 19 * 10_000


async def test_who_never_was_connected_is_told_so_in_the_end(kind: str) -> None:
    plays = [problem("unavailable", 503)] * 3
    async with playing(kind, *plays, clock=VirtualClock(), retries=2) as (_, client):
        events = client.events()
        with pytest.raises(UnavailableError):
            await anext(events)

        assert await anext(events, None) is None


@pytest.mark.parametrize(
    ("play", "error"),
    [
        (problem("unauthenticated", 401), UnauthenticatedError),
        (problem("forbidden", 403), ForbiddenError),
        (problem("faulty", 400, errors=[{"field": "type", "message": "is no kind"}]), FaultyError),
        (replies(200, "<html>", kind="text/html"), AnswerError),
        (replies(302, ""), AnswerError),
        (stream(b"data: {}\n\n"), AnswerError),
        (stream(b"data: [\n\n"), AnswerError),
    ],
    ids=["401", "403", "400", "html", "302", "empty", "broken"],
)
async def test_what_stays_wrong_ends_the_stream(kind: str, play: Any, error: type[Exception]) -> None:
    plays = [stream(told(1)), play]
    async with playing(kind, *plays, clock=VirtualClock()) as (_, client):
        events = client.events()
        await taken(events, 1)
        with pytest.raises(error):
            await anext(events)

        assert await anext(events, None) is None


async def test_what_a_newer_server_tells_more_is_passed_over(kind: str) -> None:
    other = b"event: weather\ndata: fine\n\n"
    newer = told(5, type="TELEPORTED", colour="red")
    async with playing(kind, stream(other, newer, ends=False)) as (_, client), client.events() as events:
        (event,) = await taken(events, 1)

    assert (event.id, event.type) == (5, "TELEPORTED")


async def test_closing_the_stream_ends_a_wait_for_an_event(kind: str) -> None:
    async with playing(kind, stream(told(1), ends=False)) as (_, client):
        events = client.events()
        await taken(events, 1)
        waiting = asyncio.create_task(anext(events, None))
        await begun(events)
        await events.aclose()

        assert await seen(waiting) is None
        assert await anext(events, None) is None


async def test_closing_the_stream_ends_a_wait_on_any_event_loop() -> None:
    async def follow(url: str) -> Event | None:
        async with connected("asynchronous", url) as client:
            events = client.events()
            await taken(events, 1)
            waiting = asyncio.create_task(anext(events, None))
            await begun(events)
            await events.aclose()
            return await seen(waiting)  # type: ignore[no-any-return]  # what it waits for

    async with scripted(stream(told(1), ends=False)) as server:
        left = await asyncio.to_thread(lambda: uvloop.run(follow(server.url)))

    assert left is None


async def test_closing_the_client_ends_its_streams(kind: str) -> None:
    async with scripted(stream(told(1), ends=False), stream(told(1), ends=False)) as server:
        client = connected(kind, server.url)
        one, other = client.events(), client.events()
        await taken(one, 1)
        await taken(other, 1)
        waiting = asyncio.create_task(anext(one, None))
        await begun(one)

        await client.aclose()

        assert await seen(waiting) is None
        assert await anext(other, None) is None


async def test_a_stream_that_is_closed_while_it_connects_ends(kind: str) -> None:
    is_closed = asyncio.Event()

    async def answers_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_closed.wait()
        await stream(ends=False)(reader, writer)

    async with playing(kind, stream(told(1)), answers_late, clock=VirtualClock()) as (server, client):
        events = client.events()
        await taken(events, 1)
        waiting = asyncio.create_task(anext(events, None))
        while len(server.asked) < 2:
            await VirtualClock().sleep(0)
        await events.aclose()
        is_closed.set()

        assert await seen(waiting) is None


async def test_who_is_cancelled_may_wait_again() -> None:
    plays = [stream(told(1), ends=False), stream(told(2), ends=False)]
    async with playing("asynchronous", *plays, clock=VirtualClock()) as (server, client), client.events() as events:
        await taken(events, 1)
        waiting = asyncio.create_task(anext(events, None))
        await begun(events)
        waiting.cancel()
        await asyncio.wait([waiting])

        (event,) = await taken(events, 1)

    assert (event.id, server.asked[1].headers["last-event-id"]) == (2, "1")


async def test_no_event_of_the_application_is_missed_behind_a_firewall_that_drops_everything(
    shop: Shop, kind: str
) -> None:
    orders = shop.client(kind)
    async with proxied(shop.url) as (proxy, url), orders:
        key = shop.office.probe.keys["viewer"]
        follower = connected(kind, url, key=key, clock=VirtualClock())
        async with follower, follower.events(after=0, type="CREATED", silence="300ms") as events:
            made = [(await orders.create("Orders", next_activation="1 day")).id]
            found = {(await seen(anext(events))).workflow_id}

            for _ in range(3):
                proxy.fall_silent()
                made += [(await orders.create("Orders", next_activation="1 day")).id for _ in range(2)]
                while found != set(made):
                    found.add((await seen(anext(events))).workflow_id)

    assert found == set(made)


async def begun(events: AsyncEvents) -> None:
    """Wait until somebody waits for an event."""
    while not events._is_reading:
        await VirtualClock().sleep(0)
