"""The stream of events over HTTP: what comes, where it resumes, and when it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from flowlet.accounts.roles import Role
from flowlet.engine import event_stream as feeds
from flowlet.errors import StoreUnavailableError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.history import HistoryEvent
from flowlet.web.api import events
from tests.engine.executor_harness import wait_for
from tests.web.api.api_harness import ApiHarness, open_api_harness
from tests.web.http_server import serve_app


class EventStreamClient:
    """An open stream: its events as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last_id = ""
        self._lines = answer.aiter_lines()

    async def read_line(self) -> str:
        """Return the next line; raises ``StopAsyncIteration`` at the end of the stream."""
        line: str = await wait_for(anext(self._lines))
        return line

    async def wait_until_open(self) -> None:
        """Wait until it is known where the stream begins."""
        while not self.last_id:
            self._record_last_id(await self.read_line())

    async def read_event(self) -> Any:
        """Return the next event's data."""
        while not (line := await self.read_line()).startswith("data: "):
            self._record_last_id(line)
        return json.loads(line.removeprefix("data: "))

    async def wait_until_end(self) -> None:
        """Wait until the server ends the stream."""
        async for line in self._lines:
            self._record_last_id(line)

    def _record_last_id(self, line: str) -> None:
        if line.startswith("id: "):
            self.last_id = line.removeprefix("id: ")


async def raise_unavailable() -> int:
    """Fail as a reading of a database that is away.

    Raises:
        StoreUnavailableError: Always.
    """
    raise StoreUnavailableError("the database is away")


@asynccontextmanager
async def follow_events(
    client: httpx.AsyncClient, *, last_event_id: str | None = None, key: str | None = None, **query: Any
) -> AsyncIterator[EventStreamClient]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    if key is not None:
        headers["X-API-Key"] = key
    async with client.stream("GET", "/api/events", params=query, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200, await answer.aread()
        stream = EventStreamClient(answer)
        await stream.wait_until_open()
        yield stream


@pytest.fixture
async def client(api_harness: ApiHarness) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the office on a real socket: what is answered bit by bit is read bit by bit."""
    async with serve_app(api_harness.app_harness.app) as client:
        client.headers["X-API-Key"] = api_harness.app_harness.keys["viewer"]
        yield client


async def test_what_happens_to_a_workflow_comes_as_it_happens(
    api_harness: ApiHarness, client: httpx.AsyncClient
) -> None:
    async with follow_events(client) as stream:
        id = await api_harness.create(externalId="a-1", businessKey="key")

        found = [await stream.read_event()]
        while found[-1]["toState"] != "delivered":
            found.append(await stream.read_event())

    history = (await api_harness.get(f"/api/actions/byWorkflowId/{id}"))[::-1]
    assert [event["id"] for event in found] == [line["id"] for line in history]
    first = found[0]
    assert (first["type"], first["workflowType"], first["externalId"]) == ("CREATED", "Orders", "a-1")
    assert (first["businessKey"], first["username"], first["dateTime"]) == ("key", "ada", history[0]["dateTime"])
    assert found[-1]["status"] == "FINISHED"
    assert stream.answer.headers["Content-Type"] == "text/event-stream"
    assert stream.answer.headers["Cache-Control"] == "no-store"


async def test_a_stream_that_was_cut_goes_on_behind_its_last_event(
    api_harness: ApiHarness, client: httpx.AsyncClient
) -> None:
    async with follow_events(client, type="CREATED") as stream:
        first = await api_harness.create()
        assert (await stream.read_event())["workflowId"] == first
    second = await api_harness.create()

    async with follow_events(client, type="CREATED", last_event_id=stream.last_id) as stream:
        assert (await stream.read_event())["workflowId"] == second
    async with follow_events(client, type="CREATED", after=0) as stream:
        assert [(await stream.read_event())["workflowId"] for _ in range(2)] == [first, second]


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
    async with open_api_harness(sqlite_url, has_executor=False) as office, serve_app(office.app_harness.app) as client:
        client.headers["X-API-Key"] = office.app_harness.keys["viewer"]
        wanted = await office.create(externalId="wanted", businessKey="wanted", executorGroup="wanted")
        await office.create(externalId="other")
        await office.post(f"/api/workflows/{wanted}/pause")

        async with follow_events(client, after=0, **only(wanted)) as stream:
            found = [await stream.read_event() for _ in range(2)]

    assert [(event["workflowId"], event["type"]) for event in found] == [(wanted, "CREATED"), (wanted, "PAUSED")]


async def test_a_stream_ends_after_as_many_events_as_were_asked_for(
    api_harness: ApiHarness, client: httpx.AsyncClient
) -> None:
    first, second, _ = [await api_harness.create() for _ in range(3)]

    answer = await client.get("/api/events", params={"after": 0, "type": "CREATED", "limit": 2})

    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [event["workflowId"] for event in told] == [first, second]


async def test_an_instance_that_does_not_exist_yet_can_be_followed(
    api_harness: ApiHarness, client: httpx.AsyncClient
) -> None:
    async with follow_events(client, externalId="to-come") as stream:
        await api_harness.create(externalId="other")
        id = await api_harness.create(externalId="to-come")

        assert (await stream.read_event())["workflowId"] == id


FAULTY_SUBSCRIPTIONS: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({"type": "NONE"}, {}, "type.0"),
    ({"workflowId": "x"}, {}, "workflowId"),
    ({"after": "-1"}, {}, "after"),
    ({"limit": "0"}, {}, "limit"),
    ({"after": "9" * 30}, {}, "after"),
    ({"workflowid2": "1"}, {}, "workflowid2"),
    ({}, {"Last-Event-ID": "abc"}, "Last-Event-ID"),
    ({}, {"Last-Event-ID": "-5"}, "Last-Event-ID"),
    ({}, {"Last-Event-ID": "9" * 5000}, "Last-Event-ID"),
]


async def test_what_cannot_be_followed_is_told(sqlite_url: str, subtests: pytest.Subtests) -> None:
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        for query, headers, field in FAULTY_SUBSCRIPTIONS:
            with subtests.test(f"{query} {headers}"[:60]):
                answer = await office.client.get("/api/events", params=query, headers=headers)

                assert answer.status_code == 400
                assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_a_stream_beats_while_the_database_is_read(
    api_harness: ApiHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEEPALIVE_SECONDS", 0.05)
    broadcaster = api_harness.app_harness.services.event_broadcaster
    async with follow_events(client, beats="true") as stream, follow_events(client) as plain:
        while await stream.read_line() != "event: beat":
            pass
        assert await stream.read_line() == "data: {}"
        for _ in range(2):
            while (line := await plain.read_line()) != ": ":
                assert not line.startswith("event: ")

        monkeypatch.setattr(broadcaster, "_read_new_events", raise_unavailable)
        while await stream.read_line() != ": ":
            pass
        for _ in range(4):
            assert not (await stream.read_line()).startswith("event: ")


async def test_the_head_of_the_stream_is_no_follower(api_harness: ApiHarness, client: httpx.AsyncClient) -> None:
    answer = await client.head("/api/events")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert api_harness.app_harness.services.event_broadcaster.subscriber_count == 0


async def test_too_many_followers_are_told_when_to_come_back(
    api_harness: ApiHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_SUBSCRIBERS", 1)

    async with follow_events(client):
        refused = await client.get("/api/events")

    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert int(refused.headers["Retry-After"]) > 0


async def test_a_client_that_goes_away_follows_no_longer(api_harness: ApiHarness, client: httpx.AsyncClient) -> None:
    feed = api_harness.app_harness.services.event_broadcaster
    async with follow_events(client):
        assert feed.subscriber_count == 1

    async def close_client() -> None:
        while feed.subscriber_count:
            await client.get("/healthz")

    await wait_for(close_client())


async def test_a_key_that_is_revoked_ends_its_stream(
    api_harness: ApiHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(events, "REAUTHORIZATION_SECONDS", 0.0)
    keys = api_harness.app_harness.services.users.keys
    made = await keys.create("shortlived", username="ada", role=Role.VIEWER, actor="ada")

    async with follow_events(client, key=made.text) as stream:
        await keys.revoke(made.key.id, actor="ada")

        await wait_for(stream.wait_until_end())


async def test_a_user_who_is_disabled_is_out_at_once(
    api_harness: ApiHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(events, "REAUTHORIZATION_SECONDS", 0.0)
    users = api_harness.app_harness.services.users
    await users.create("bea", "correct horse", Role.ADMIN, actor="ada")
    made = await users.keys.create("of bea", username="bea", role=Role.VIEWER, actor="ada")

    async with follow_events(client, key=made.text) as stream:
        await users.disable("bea", actor="ada")

        await wait_for(stream.wait_until_end())


async def test_a_stream_on_behalf_of_a_person_ends_when_the_person_is_disabled(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(events, "REAUTHORIZATION_SECONDS", 0.0)
    users = sqlite_api_harness.app_harness.services.users
    await users.create("bea", "correct horse", Role.VIEWER, actor="ada")
    made = await users.keys.create("portal", username="ada", role=Role.VIEWER, actor="ada", may_act_on_behalf=True)

    async with serve_app(sqlite_api_harness.app_harness.app) as client:
        client.headers["On-Behalf-Of"] = "bea"
        async with follow_events(client, key=made.text) as stream:
            await users.disable("bea", actor="ada")

            await wait_for(stream.wait_until_end())


async def test_an_event_is_encoded_once_for_all_followers(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = events.encode_event

    def count_and_encode(event: HistoryEvent) -> bytes:
        encoded.append(event.id)
        return encode(event)

    monkeypatch.setattr(events, "encode_event", count_and_encode)
    async with serve_app(sqlite_api_harness.app_harness.app) as client, AsyncExitStack() as stack:
        client.headers["X-API-Key"] = sqlite_api_harness.app_harness.keys["viewer"]
        queries: list[dict[str, Any]] = [{}, {}, {"workflowType": "Orders"}, {"type": ["CREATED"]}]
        streams = [await stack.enter_async_context(follow_events(client, **query)) for query in queries]

        await sqlite_api_harness.create()
        found = [(await stream.read_event())["id"] for stream in streams]

        assert len(set(found)) == 1
        assert encoded.count(found[0]) == 1


def test_an_event_is_written_as_it_is_described() -> None:
    event = HistoryEvent(
        id=5,
        workflow_id=1,
        kind=ActionKind.TRANSITION,
        at=1_764_463_456_123_456,
        from_state="a",
        to_state="b",
        text="ü\n",
        attempt=1,
        duration_ms=3,
        executor_id=None,
        username="ann",
        on_behalf_of=None,
        type="Orders",
        external_id="o-1",
        business_key="k",
        executor_group="default",
        status=Status.IN_PROGRESS,
        state="b",
    )

    written = json.loads(events.encode_event(event))

    described = events.EventResponse.model_validate(written)
    assert described.model_dump(by_alias=True, mode="json") == written
    assert (described.type, described.workflow_type, described.date_time) == (event.kind, "Orders", event.at)
    assert (described.text, described.business_key, described.status) == ("ü\n", "k", Status.IN_PROGRESS)
