"""Which requests the client retries, after which delays, and how it gives up."""

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
from tests.client.scripted_server import (
    Reply,
    build_problem_reply,
    build_reply,
    drop_connection,
    never_reply,
    open_scripted_client,
)
from tests.client.served_api import connect_client

ACCOUNT_BODY = {"id": 1, "username": "ada", "role": "admin", "keyId": None}
UNAVAILABLE_REPLY = build_problem_reply("unavailable", 503)
CREATED_BODY = {"id": 7, "externalId": "order-7"}


async def test_a_look_is_repeated_until_the_server_is_back(client_kind: str) -> None:
    clock = VirtualClock()
    async with open_scripted_client(
        client_kind,
        drop_connection,
        UNAVAILABLE_REPLY,
        build_problem_reply("too-many-requests", 429),
        build_reply(502, "<h1>Bad"),
        build_reply(200, ACCOUNT_BODY),
        clock=clock,
    ) as (server, client):
        me = await client.get_current_user()

    assert (me.username, len(server.requests)) == ("ada", 5)
    assert 0 < clock.now() - VirtualClock().now() <= (0.25 + 0.5 + 1 + 2) * 1_000_000


async def test_the_server_says_when_to_ask_again(client_kind: str) -> None:
    clock = VirtualClock()
    busy = build_problem_reply("too-many-requests", 429, headers={"Retry-After": "7"})
    async with open_scripted_client(client_kind, busy, build_reply(200, ACCOUNT_BODY), clock=clock) as (_, client):
        await client.get_current_user()

    assert clock.now() - VirtualClock().now() == 7_000_000


async def test_who_is_told_to_come_back_too_late_gives_up_at_once(client_kind: str) -> None:
    clock = VirtualClock()
    async with open_scripted_client(
        client_kind, build_problem_reply("unavailable", 503, headers={"Retry-After": "31"}), clock=clock
    ) as (
        _,
        client,
    ):
        with pytest.raises(UnavailableError) as caught:
            await client.get_current_user()

    assert (caught.value.retry_after_seconds, clock.now()) == (31, VirtualClock().now())


async def test_the_number_of_attempts_is_bounded(client_kind: str) -> None:
    async with open_scripted_client(client_kind, *[UNAVAILABLE_REPLY] * 3, clock=VirtualClock(), retries=2) as (
        server,
        client,
    ):
        with pytest.raises(UnavailableError):
            await client.get_current_user()

    assert (len(server.requests), server.replies) == (3, [])


async def test_the_time_for_all_attempts_is_bounded(client_kind: str) -> None:
    busy = build_problem_reply("too-many-requests", 429, headers={"Retry-After": "4"})
    async with open_scripted_client(client_kind, *[busy] * 3, clock=VirtualClock(), retries=9, retry_within="10s") as (
        server,
        client,
    ):
        with pytest.raises(TooManyRequestsError):
            await client.get_current_user()

    assert len(server.requests) == 3


async def test_a_create_that_is_repeated_names_the_same_external_id(client_kind: str) -> None:
    async with open_scripted_client(
        client_kind, drop_connection, build_reply(200, CREATED_BODY), clock=VirtualClock()
    ) as (server, client):
        created = await client.create("Orders")

    first, second = (asked.body["externalId"] for asked in server.requests)
    assert first == second
    assert len(first) == 36
    assert created.is_new, "no other program can have sent an external id that the client generated"


async def test_a_create_that_is_repeated_cannot_tell_who_made_it(client_kind: str) -> None:
    async with open_scripted_client(
        client_kind, UNAVAILABLE_REPLY, build_reply(200, CREATED_BODY), clock=VirtualClock()
    ) as (_, client):
        created = await client.create("Orders", external_id="order-7")

    assert not created.is_new


async def test_a_wait_that_is_repeated_is_shorter_by_what_has_passed(client_kind: str) -> None:
    late = build_problem_reply("wait-timeout", 504, workflowId=7)
    async with open_scripted_client(
        client_kind, build_problem_reply("unavailable", 503, headers={"Retry-After": "40"}), late, clock=VirtualClock()
    ) as (server, client):
        with pytest.raises(WaitTimeoutError) as caught:
            await client.create_and_wait("Orders", timeout="60s")

    assert [asked.body["waitSeconds"] for asked in server.requests] == [60, 20]
    assert (caught.value.workflow_id, caught.value.instance) == (7, None)


@pytest.mark.parametrize(
    "play",
    [drop_connection, UNAVAILABLE_REPLY, build_problem_reply("too-many-requests", 429)],
    ids=["broken", "503", "429"],
)
async def test_what_changes_something_is_never_repeated(client_kind: str, play: Reply) -> None:
    async with open_scripted_client(client_kind, *[play] * 12, clock=VirtualClock()) as (server, client):
        for change in (
            client.answer(1, "charge"),
            client.move(1, "charge"),
            client.move_and_wait("a", "charge", timeout="0s"),
            client.edit_variables(1, {"a": 1}),
            client.pause(1),
            client.resume(1),
            client.cancel(1),
            client.retry(1),
            client.wake(1),
            client.run_bulk("wake", {"id": 1}),
            client.users.create("grace", "a very good password"),
            client.keys.revoke("k"),
        ):
            with pytest.raises((UnreachableError, UnavailableError, TooManyRequestsError)):
                await change

    assert len(server.requests) == 12


async def test_an_error_that_stays_is_not_repeated(client_kind: str) -> None:
    async with open_scripted_client(
        client_kind, build_problem_reply("refused", 409, permitted=["retry"]), clock=VirtualClock()
    ) as (server, client):
        with pytest.raises(RefusedError):
            await client.get_current_user()

    assert len(server.requests) == 1


async def test_a_request_that_was_never_sent_is_told_from_one_that_may_have_been_done(client_kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused_url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with connect_client(client_kind, unused_url) as client:
            with pytest.raises(UnreachableError, match="ConnectError") as unsent:
                await client.pause(1)
    async with open_scripted_client(client_kind, drop_connection) as (_, client):
        with pytest.raises(UnreachableError, match="The server may have carried out the request") as sent:
            await client.pause(1)

    assert (unsent.value.was_sent, sent.value.was_sent) == (False, True)


async def test_a_server_that_stays_silent_is_left_after_the_timeout(client_kind: str) -> None:
    async with open_scripted_client(client_kind, never_reply, timeout="50ms") as (_, client):
        with pytest.raises(UnreachableError, match="did not respond in time"):
            await client.pause(1)
