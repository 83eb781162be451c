"""The stream of events over HTTP: what comes, where it resumes, and when it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from flowlet.engine import feed as feeds
from flowlet.roles import Role
from flowlet.web.api import events
from tests.engine.running import seen
from tests.web.api.office import Office, opened_office
from tests.web.served import served


class Stream:
    """An open stream: its events as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last_id = ""
        self._lines = answer.aiter_lines()

    async def line(self) -> str:
        """Return the next line; raises ``StopAsyncIteration`` at the end of the stream."""
        line: str = await seen(anext(self._lines))
        return line

    async def opened(self) -> None:
        """Wait until it is known where the stream begins."""
        while not self.last_id:
            self._note(await self.line())

    async def event(self) -> Any:
        """Return the next event's data."""
        while not (line := await self.line()).startswith("data: "):
            self._note(line)
        return json.loads(line.removeprefix("data: "))

    async def end(self) -> None:
        """Wait until the server ends the stream."""
        async for line in self._lines:
            self._note(line)

    def _note(self, line: str) -> None:
        if line.startswith("id: "):
            self.last_id = line.removeprefix("id: ")


@asynccontextmanager
async def followed(
    client: httpx.AsyncClient, *, resume: str | None = None, key: str | None = None, **query: Any
) -> AsyncIterator[Stream]:
    headers = {} if resume is None else {"Last-Event-ID": resume}
    if key is not None:
        headers["X-API-Key"] = key
    async with client.stream("GET", "/api/events", params=query, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200, await answer.aread()
        stream = Stream(answer)
        await stream.opened()
        yield stream


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with opened_office(database_url, executes=True) as opened:
        yield opened


@pytest.fixture
async def client(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the office on a real socket: what is answered bit by bit is read bit by bit."""
    async with served(office.probe.app) as client:
        client.headers["X-API-Key"] = office.probe.keys["viewer"]
        yield client


async def test_what_happens_to_a_workflow_comes_as_it_happens(office: Office, client: httpx.AsyncClient) -> None:
    async with followed(client) as stream:
        id = await office.create(externalId="a-1", businessKey="key")

        found = [await stream.event()]
        while found[-1]["toState"] != "delivered":
            found.append(await stream.event())

    history = (await office.get(f"/api/actions/byWorkflowId/{id}"))[::-1]
    assert [event["id"] for event in found] == [line["id"] for line in history]
    first = found[0]
    assert (first["type"], first["workflowType"], first["externalId"]) == ("CREATED", "Orders", "a-1")
    assert (first["businessKey"], first["username"], first["dateTime"]) == ("key", "ada", history[0]["dateTime"])
    assert found[-1]["status"] == "FINISHED"
    assert stream.answer.headers["Content-Type"] == "text/event-stream"
    assert stream.answer.headers["Cache-Control"] == "no-store"


async def test_a_stream_that_was_cut_goes_on_behind_its_last_event(office: Office, client: httpx.AsyncClient) -> None:
    async with followed(client, type="CREATED") as stream:
        first = await office.create()
        assert (await stream.event())["workflowId"] == first
    second = await office.create()

    async with followed(client, type="CREATED", resume=stream.last_id) as stream:
        assert (await stream.event())["workflowId"] == second
    async with followed(client, type="CREATED", after=0) as stream:
        assert [(await stream.event())["workflowId"] for _ in range(2)] == [first, second]


@pytest.mark.parametrize(
    "only",
    [
        lambda id: {"workflowId": id},
        lambda id: {"externalId": "wanted"},
        lambda id: {"businessKey": "wanted"},
        lambda id: {"executorGroup": "wanted"},
        lambda id: {"workflowType": "Orders", "externalId": "wanted", "type": ["PAUSED", "RESUMED", "CREATED"]},
    ],
)
async def test_filters_are_joined_by_and(sqlite_url: str, only: Callable[[int], dict[str, Any]]) -> None:
    async with opened_office(sqlite_url, executes=False) as office, served(office.probe.app) as client:
        client.headers["X-API-Key"] = office.probe.keys["viewer"]
        wanted = await office.create(externalId="wanted", businessKey="wanted", executorGroup="wanted")
        await office.create(externalId="other")
        await office.post(f"/api/workflows/{wanted}/pause")

        async with followed(client, after=0, **only(wanted)) as stream:
            found = [await stream.event() for _ in range(2)]

    assert [(event["workflowId"], event["type"]) for event in found] == [(wanted, "CREATED"), (wanted, "PAUSED")]


async def test_a_stream_ends_after_as_many_events_as_were_asked_for(office: Office, client: httpx.AsyncClient) -> None:
    first, second, _ = [await office.create() for _ in range(3)]

    answer = await client.get("/api/events", params={"after": 0, "type": "CREATED", "limit": 2})

    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [event["workflowId"] for event in told] == [first, second]


async def test_an_instance_that_does_not_exist_yet_can_be_followed(office: Office, client: httpx.AsyncClient) -> None:
    async with followed(client, externalId="to-come") as stream:
        await office.create(externalId="other")
        id = await office.create(externalId="to-come")

        assert (await stream.event())["workflowId"] == id


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ({"type": "NONE"}, {}, "type.0"),
        ({"workflowId": "x"}, {}, "workflowId"),
        ({"after": "-1"}, {}, "after"),
        ({"limit": "0"}, {}, "limit"),
        ({"after": "9" * 30}, {}, "after"),
        ({"workflowid2": "1"}, {}, "workflowid2"),
        ({}, {"Last-Event-ID": "abc"}, "Last-Event-ID"),
        ({}, {"Last-Event-ID": "-5"}, "Last-Event-ID"),
        ({}, {"Last-Event-ID": "9" * 5000}, "Last-Event-ID"),
    ],
)
async def test_what_cannot_be_followed_is_told(
    sqlite_url: str, query: dict[str, str], headers: dict[str, str], field: str
) -> None:
    async with opened_office(sqlite_url, executes=False) as office:
        answer = await office.client.get("/api/events", params=query, headers=headers)

    assert answer.status_code == 400
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_the_head_of_the_stream_is_no_follower(office: Office, client: httpx.AsyncClient) -> None:
    answer = await client.head("/api/events")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert office.probe.services.feed.followers == 0


async def test_too_many_followers_are_told_when_to_come_back(
    office: Office, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_FOLLOWERS", 1)

    async with followed(client):
        refused = await client.get("/api/events")

    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert int(refused.headers["Retry-After"]) > 0


async def test_a_client_that_goes_away_follows_no_longer(office: Office, client: httpx.AsyncClient) -> None:
    feed = office.probe.services.feed
    async with followed(client):
        assert feed.followers == 1

    async def left() -> None:
        while feed.followers:
            await client.get("/healthz")

    await seen(left())


async def test_a_key_that_is_revoked_ends_its_stream(
    office: Office, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(events, "ADMITTED_SECONDS", 0.0)
    keys = office.probe.services.users.keys
    made = await keys.add("shortlived", username="ada", role=Role.VIEWER, by="ada")

    async with followed(client, key=made.text) as stream:
        await keys.revoke(made.key.id, by="ada")

        await seen(stream.end())


async def test_a_user_who_is_disabled_is_out_at_once(
    office: Office, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(events, "ADMITTED_SECONDS", 0.0)
    users = office.probe.services.users
    await users.create("bea", "correct horse", Role.ADMIN, by="ada")
    made = await users.keys.add("of bea", username="bea", role=Role.VIEWER, by="ada")

    async with followed(client, key=made.text) as stream:
        await users.disable("bea", by="ada")

        await seen(stream.end())
