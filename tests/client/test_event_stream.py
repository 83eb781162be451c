"""A stream of events: over broken connections, from where it was, until it is closed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from flowlet.client import (
    AsyncEvents,
    BadRequestError,
    Event,
    ForbiddenError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedResponseError,
)
from flowlet.clock import VirtualClock
from flowlet.instance.instance import ActionKind, Status
from tests.client.scripted_server import (
    build_problem_reply,
    build_reply,
    build_stream_reply,
    drop_connection,
    open_scripted_client,
    open_scripted_server,
)
from tests.client.served_api import ServedApi, connect_client
from tests.engine.executor_harness import wait_for
from tests.store.silent_proxy import open_proxy

RETRY_CHUNK = b"retry: 2000\n\n"
HEARTBEAT_CHUNK = b": still here\n\n"


def encode_event(id: int, **changes: Any) -> bytes:
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


async def take_events(events: AsyncEvents, count: int) -> list[Event]:
    """Return the next events."""
    return [await wait_for(anext(events)) for _ in range(count)]


async def test_an_event_says_what_has_happened_to_which_workflow(client_kind: str) -> None:
    async with (
        open_scripted_client(
            client_kind, build_stream_reply(RETRY_CHUNK, HEARTBEAT_CHUNK, encode_event(41), drops_connection=False)
        ) as (_, client),
        client.follow_events() as events,
    ):
        (event,) = await take_events(events, 1)

    assert (event.id, event.workflow_id, event.external_id) == (41, 7, "order-7")
    assert (event.kind, event.from_state, event.to_state) == (ActionKind.TRANSITION, "check", "charge")
    assert (event.at, event.status, event.state) == (
        datetime(2030, 1, 1, tzinfo=UTC),
        Status.IN_PROGRESS,
        "charge",
    )
    assert events.last_id == 41


async def test_the_filter_and_where_to_go_on_are_asked_for(client_kind: str) -> None:
    async with (
        open_scripted_client(
            client_kind, build_stream_reply(encode_event(42), drops_connection=False), key="secret"
        ) as (server, client),
        client.follow_events(
            after=41, workflow_id=7, type="a b", kind=[ActionKind.ERROR, "FAILED"], key=None
        ) as events,
    ):
        await take_events(events, 1)

    (asked,) = server.requests
    assert asked.request_line == "GET /api/events?workflowId=7&workflowType=a+b&type=ERROR&type=FAILED&after=41"
    assert (asked.headers["accept"], asked.headers["x-api-key"]) == ("text/event-stream", "secret")
    assert "last-event-id" not in asked.headers


async def test_a_stream_that_breaks_off_goes_on_behind_the_last_event(client_kind: str) -> None:
    plays = [
        build_stream_reply(encode_event(1), encode_event(2)[:-5]),
        drop_connection,
        build_stream_reply(encode_event(2), encode_event(3)),
        build_stream_reply(encode_event(4), drops_connection=False),
    ]
    async with (
        open_scripted_client(client_kind, *plays, clock=VirtualClock()) as (server, client),
        client.follow_events(after=0) as events,
    ):
        found = await take_events(events, 4)

    assert [event.id for event in found] == [1, 2, 3, 4]
    assert [asked.headers.get("last-event-id") for asked in server.requests] == [None, "1", "1", "3"]


async def test_an_id_without_an_event_is_where_to_go_on_too(client_kind: str) -> None:
    plays = [build_stream_reply(b"id: 40\n\n"), build_stream_reply(encode_event(41), drops_connection=False)]
    async with (
        open_scripted_client(client_kind, *plays, clock=VirtualClock()) as (server, client),
        client.follow_events() as events,
    ):
        await take_events(events, 1)

    assert server.requests[1].headers["last-event-id"] == "40"


async def test_a_stream_that_breaks_off_before_its_first_event_goes_on_where_it_began(client_kind: str) -> None:
    plays = [
        build_stream_reply(position=39),
        drop_connection,
        build_stream_reply(encode_event(40), position=39, drops_connection=False),
    ]
    async with (
        open_scripted_client(client_kind, *plays, clock=VirtualClock()) as (server, client),
        client.follow_events() as events,
    ):
        await take_events(events, 1)

    assert [asked.headers.get("last-event-id") for asked in server.requests] == [None, "39", "39"]


async def test_a_stream_begins_when_its_block_is_entered(served_api: ServedApi, client_kind: str) -> None:
    orders = served_api.build_client(client_kind)
    async with orders, orders.follow_events(kind="CREATED") as events:
        made = [(await orders.create("Orders", when="1 day")).id for _ in range(2)]

        assert [event.workflow_id for event in await take_events(events, 2)] == made


async def test_a_block_that_cannot_be_entered_raises_what_the_first_event_would(client_kind: str) -> None:
    async with open_scripted_client(client_kind, build_problem_reply("forbidden", 403)) as (_, client):
        events = client.follow_events()
        with pytest.raises(ForbiddenError):
            async with events:
                raise AssertionError("unreachable")

        assert await anext(events, None) is None


async def test_a_connection_on_which_nothing_comes_is_made_anew(client_kind: str) -> None:
    plays = [
        build_stream_reply(encode_event(1), drops_connection=False),
        build_stream_reply(encode_event(2), drops_connection=False),
    ]
    async with (
        open_scripted_client(client_kind, *plays, clock=VirtualClock()) as (server, client),
        client.follow_events(heartbeat_timeout="100ms") as events,
    ):
        found = await take_events(events, 2)

    assert [event.id for event in found] == [1, 2]
    assert server.replies == []


async def test_between_two_connections_it_waits_as_long_as_the_server_says(client_kind: str) -> None:
    clock = VirtualClock()
    away = build_problem_reply("unavailable", 503, headers={"Retry-After": "100"})
    plays = [
        build_stream_reply(b"retry: 10\n\n", encode_event(1)),
        away,
        build_stream_reply(encode_event(2), drops_connection=False),
    ]
    async with open_scripted_client(client_kind, *plays, clock=clock) as (_, client), client.follow_events() as events:
        await take_events(events, 2)

    assert 100 <= (clock.now() - VirtualClock().now()) / 1_000_000 <= 100.01


async def test_an_outage_may_last(client_kind: str) -> None:
    clock = VirtualClock()
    plays = [
        build_stream_reply(encode_event(1)),
        *[drop_connection] * 30,
        build_stream_reply(encode_event(2), drops_connection=False),
    ]
    async with (
        open_scripted_client(client_kind, *plays, clock=clock) as (server, client),
        client.follow_events() as events,
    ):
        await take_events(events, 2)

    assert server.replies == []
    assert clock.now() - VirtualClock().now() < 31 * 30_000_000


async def test_after_each_event_the_delays_begin_anew_where_the_server_said_last(client_kind: str) -> None:
    clock = VirtualClock()
    plays = [
        build_stream_reply(b"retry: 10\n\n", encode_event(0)),
        *(build_stream_reply(encode_event(id)) for id in range(1, 20)),
    ]
    async with open_scripted_client(client_kind, *plays, clock=clock) as (_, client), client.follow_events() as events:
        await take_events(events, 20)

    assert clock.now() - VirtualClock().now() <= 19 * 10_000


async def test_who_never_was_connected_is_told_so_in_the_end(client_kind: str) -> None:
    plays = [build_problem_reply("unavailable", 503)] * 3
    async with open_scripted_client(client_kind, *plays, clock=VirtualClock(), retries=2) as (_, client):
        events = client.follow_events()
        with pytest.raises(UnavailableError):
            await anext(events)

        assert await anext(events, None) is None


@pytest.mark.parametrize(
    ("play", "error"),
    [
        (build_problem_reply("unauthenticated", 401), UnauthenticatedError),
        (build_problem_reply("forbidden", 403), ForbiddenError),
        (build_problem_reply("faulty", 400, errors=[{"field": "type", "message": "is no kind"}]), BadRequestError),
        (build_reply(200, "<html>", content_type="text/html"), UnexpectedResponseError),
        (build_reply(302, ""), UnexpectedResponseError),
        (build_stream_reply(b"data: {}\n\n"), UnexpectedResponseError),
        (build_stream_reply(b"data: [\n\n"), UnexpectedResponseError),
    ],
    ids=["401", "403", "400", "html", "302", "empty", "broken"],
)
async def test_what_stays_wrong_ends_the_stream(client_kind: str, play: Any, error: type[Exception]) -> None:
    plays = [build_stream_reply(encode_event(1)), play]
    async with open_scripted_client(client_kind, *plays, clock=VirtualClock()) as (_, client):
        events = client.follow_events()
        await take_events(events, 1)
        with pytest.raises(error):
            await anext(events)

        assert await anext(events, None) is None


async def test_what_a_newer_server_tells_more_is_passed_over(client_kind: str) -> None:
    other = b"event: weather\ndata: fine\n\n"
    newer = encode_event(5, type="TELEPORTED", colour="red")
    async with (
        open_scripted_client(client_kind, build_stream_reply(other, newer, drops_connection=False)) as (_, client),
        client.follow_events() as events,
    ):
        (event,) = await take_events(events, 1)

    assert (event.id, event.kind) == (5, "TELEPORTED")


async def test_closing_the_stream_ends_a_wait_for_an_event(client_kind: str) -> None:
    async with open_scripted_client(client_kind, build_stream_reply(encode_event(1), drops_connection=False)) as (
        _,
        client,
    ):
        events = client.follow_events()
        await take_events(events, 1)
        waiting = asyncio.create_task(anext(events, None))
        await wait_until_reading(events)
        await events.aclose()

        assert await wait_for(waiting) is None
        assert await anext(events, None) is None


async def test_closing_the_stream_ends_a_wait_on_any_event_loop() -> None:
    async def read_first_event(url: str) -> Event | None:
        async with connect_client("asynchronous", url) as client:
            events = client.follow_events()
            await take_events(events, 1)
            waiting = asyncio.create_task(anext(events, None))
            await wait_until_reading(events)
            await events.aclose()
            return await wait_for(waiting)  # type: ignore[no-any-return]  # what it waits for

    async with open_scripted_server(build_stream_reply(encode_event(1), drops_connection=False)) as server:
        left = await asyncio.to_thread(lambda: uvloop.run(read_first_event(server.url)))

    assert left is None


async def test_closing_the_client_ends_its_streams(client_kind: str) -> None:
    async with open_scripted_server(
        build_stream_reply(encode_event(1), drops_connection=False),
        build_stream_reply(encode_event(1), drops_connection=False),
    ) as server:
        client = connect_client(client_kind, server.url)
        one, other = client.follow_events(), client.follow_events()
        await take_events(one, 1)
        await take_events(other, 1)
        waiting = asyncio.create_task(anext(one, None))
        await wait_until_reading(one)

        await client.aclose()

        assert await wait_for(waiting) is None
        assert await anext(other, None) is None


async def test_a_stream_that_is_closed_while_it_connects_ends(client_kind: str) -> None:
    is_closed = asyncio.Event()

    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_closed.wait()
        await build_stream_reply(drops_connection=False)(reader, writer)

    async with open_scripted_client(
        client_kind, build_stream_reply(encode_event(1)), answer_late, clock=VirtualClock()
    ) as (server, client):
        events = client.follow_events()
        await take_events(events, 1)
        waiting = asyncio.create_task(anext(events, None))
        while len(server.requests) < 2:
            await VirtualClock().sleep(0)
        await events.aclose()
        is_closed.set()

        assert await wait_for(waiting) is None


async def test_who_is_cancelled_may_wait_again() -> None:
    plays = [
        build_stream_reply(encode_event(1), drops_connection=False),
        build_stream_reply(encode_event(2), drops_connection=False),
    ]
    async with (
        open_scripted_client("asynchronous", *plays, clock=VirtualClock()) as (server, client),
        client.follow_events() as events,
    ):
        await take_events(events, 1)
        waiting = asyncio.create_task(anext(events, None))
        await wait_until_reading(events)
        waiting.cancel()
        await asyncio.wait([waiting])

        (event,) = await take_events(events, 1)

    assert (event.id, server.requests[1].headers["last-event-id"]) == (2, "1")


async def test_no_event_of_the_application_is_missed_behind_a_firewall_that_drops_everything(
    served_api: ServedApi, client_kind: str
) -> None:
    orders = served_api.build_client(client_kind)
    async with open_proxy(served_api.url) as (proxy, url), orders:
        key = served_api.api.app_harness.keys["viewer"]
        follower = connect_client(client_kind, url, key=key, clock=VirtualClock())
        async with follower, follower.follow_events(after=0, kind="CREATED", heartbeat_timeout="300ms") as events:
            made = [(await orders.create("Orders", when="1 day")).id]
            found = {(await wait_for(anext(events))).workflow_id}

            for _ in range(3):
                proxy.silence_connections()
                made += [(await orders.create("Orders", when="1 day")).id for _ in range(2)]
                while found != set(made):
                    found.add((await wait_for(anext(events))).workflow_id)

    assert found == set(made)


async def wait_until_reading(events: AsyncEvents) -> None:
    """Wait until somebody waits for an event."""
    while not events._is_reading:
        await VirtualClock().sleep(0)
