"""A stream of events: what is requested, what each event says, and how the stream ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from flowlet.client import BadRequestError, Event, ForbiddenError, UnauthenticatedError, UnexpectedResponseError
from flowlet.clock import VirtualClock
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from tests.client.scripted_server import (
    build_problem_reply,
    build_reply,
    build_stream_reply,
    open_scripted_client,
    open_scripted_server,
)
from tests.client.served_api import ServedApi, connect_client
from tests.client.streamed_events import encode_event, take_events, wait_until_reading
from tests.engine.executor_harness import wait_for

RETRY_CHUNK = b"retry: 2000\n\n"
HEARTBEAT_CHUNK = b": still here\n\n"


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
