"""What is sent again and what never is, after how long, and what it comes to in the end."""

from __future__ import annotations

import socket

import pytest

from flowlet.client import (
    RefusedError,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
    WaitTimeoutError,
)
from flowlet.clock import VirtualClock
from tests.client.script import Play, breaks, playing, problem, replies, stays_silent
from tests.client.served import connected

ME = {"id": 1, "username": "ada", "role": "admin", "keyId": None}
AWAY = problem("unavailable", 503)
CREATED = {"id": 7, "externalId": "order-7"}


async def test_a_look_is_repeated_until_the_server_is_back(kind: str) -> None:
    clock = VirtualClock()
    async with playing(
        kind, breaks, AWAY, problem("too-many-requests", 429), replies(502, "<h1>Bad"), replies(200, ME), clock=clock
    ) as (server, client):
        me = await client.me()

    assert (me.username, len(server.asked)) == ("ada", 5)
    assert 0 < clock.now() - VirtualClock().now() <= (0.25 + 0.5 + 1 + 2) * 1_000_000


async def test_the_server_says_when_to_ask_again(kind: str) -> None:
    clock = VirtualClock()
    busy = problem("too-many-requests", 429, headers={"Retry-After": "7"})
    async with playing(kind, busy, replies(200, ME), clock=clock) as (_, client):
        await client.me()

    assert clock.now() - VirtualClock().now() == 7_000_000


async def test_who_is_told_to_come_back_too_late_gives_up_at_once(kind: str) -> None:
    clock = VirtualClock()
    async with playing(kind, problem("unavailable", 503, headers={"Retry-After": "31"}), clock=clock) as (
        _,
        client,
    ):
        with pytest.raises(UnavailableError) as caught:
            await client.me()

    assert (caught.value.retry_after, clock.now()) == (31, VirtualClock().now())


async def test_the_number_of_attempts_is_bounded(kind: str) -> None:
    async with playing(kind, *[AWAY] * 3, clock=VirtualClock(), retries=2) as (server, client):
        with pytest.raises(UnavailableError):
            await client.me()

    assert (len(server.asked), server.plays) == (3, [])


async def test_the_time_for_all_attempts_is_bounded(kind: str) -> None:
    busy = problem("too-many-requests", 429, headers={"Retry-After": "4"})
    async with playing(kind, *[busy] * 3, clock=VirtualClock(), retries=9, retry_within="10s") as (server, client):
        with pytest.raises(TooManyRequestsError):
            await client.me()

    assert len(server.asked) == 3


async def test_a_create_that_is_repeated_names_the_same_external_id(kind: str) -> None:
    async with playing(kind, breaks, replies(200, CREATED), clock=VirtualClock()) as (server, client):
        created = await client.create("Orders")

    first, second = (asked.body["externalId"] for asked in server.asked)
    assert first == second
    assert len(first) == 36
    assert created.is_new, "what the client has named itself nobody else can have made"


async def test_a_create_that_is_repeated_cannot_tell_who_made_it(kind: str) -> None:
    async with playing(kind, AWAY, replies(200, CREATED), clock=VirtualClock()) as (_, client):
        created = await client.create("Orders", external_id="order-7")

    assert not created.is_new


async def test_a_wait_that_is_repeated_is_shorter_by_what_has_passed(kind: str) -> None:
    late = problem("wait-timeout", 504, workflowId=7)
    async with playing(
        kind, problem("unavailable", 503, headers={"Retry-After": "40"}), late, clock=VirtualClock()
    ) as (server, client):
        with pytest.raises(WaitTimeoutError) as caught:
            await client.create_and_wait("Orders", wait_seconds=60)

    assert [asked.body["waitSeconds"] for asked in server.asked] == [60, 20]
    assert (caught.value.workflow_id, caught.value.workflow) == (7, None)


@pytest.mark.parametrize("play", [breaks, AWAY, problem("too-many-requests", 429)], ids=["broken", "503", "429"])
async def test_what_changes_something_is_never_repeated(kind: str, play: Play) -> None:
    async with playing(kind, *[play] * 12, clock=VirtualClock()) as (server, client):
        for change in (
            client.answer(1, "charge"),
            client.move(1, "charge"),
            client.move_and_wait("a", "charge", wait_seconds=0),
            client.set_variables(1, {"a": 1}),
            client.pause(1),
            client.resume(1),
            client.cancel(1),
            client.retry(1),
            client.wake(1),
            client.bulk("wake", {"id": 1}),
            client.users.create("grace", "a very good password"),
            client.keys.revoke("k"),
        ):
            with pytest.raises((UnreachableError, UnavailableError, TooManyRequestsError)):
                await change

    assert len(server.asked) == 12


async def test_an_error_that_stays_is_not_repeated(kind: str) -> None:
    async with playing(kind, problem("refused", 409, permitted=["retry"]), clock=VirtualClock()) as (server, client):
        with pytest.raises(RefusedError):
            await client.me()

    assert len(server.asked) == 1


async def test_a_request_that_was_never_sent_is_told_from_one_that_may_have_been_done(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with connected(kind, nobody) as client:
            with pytest.raises(UnreachableError, match="ConnectError") as unsent:
                await client.pause(1)
    async with playing(kind, breaks) as (_, client):
        with pytest.raises(UnreachableError, match="What it asks for may have been done") as sent:
            await client.pause(1)

    assert (unsent.value.was_sent, sent.value.was_sent) == (False, True)


async def test_a_server_that_stays_silent_is_left_after_the_timeout(kind: str) -> None:
    async with playing(kind, stays_silent, timeout="50ms") as (_, client):
        with pytest.raises(UnreachableError, match="did not answer in time"):
            await client.pause(1)
