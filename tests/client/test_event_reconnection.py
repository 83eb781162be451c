"""A stream of events over broken connections: it resumes behind the last event, after the right delay."""

from __future__ import annotations

import pytest

from flowlet.client import UnavailableError
from flowlet.clock import VirtualClock
from tests.client.scripted_server import build_problem_reply, build_stream_reply, drop_connection, open_scripted_client
from tests.client.served_api import ServedApi, connect_client
from tests.client.streamed_events import encode_event, take_events
from tests.engine.executor_harness import wait_for
from tests.store.servers.silent_proxy import open_proxy


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
