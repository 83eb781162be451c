"""The errors that the client raises: one tree, with everything that the server sent."""

from __future__ import annotations

import inspect
import math
import re
from datetime import datetime
from typing import Any

import pytest

from flowlet import errors as domain
from flowlet.client import (
    ApiError,
    AsyncClient,
    BadRequestError,
    ClientError,
    ForbiddenError,
    NotFoundError,
    PrunedError,
    RefusedError,
    ServerError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedResponseError,
    WaitTimeoutError,
    errors,
)
from flowlet.errors import FlowletError, SettingsError
from flowlet.web import problems
from tests.client.scripted_server import build_problem_reply, build_reply, open_scripted_client
from tests.client.served_api import WAIT_TIMEOUT, ServedApi, connect_client

ERROR_CLASSES = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
HTML_BODY = "<html>" + "gateway " * 100


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^([ │]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)

    bases: dict[int, type[Exception]] = {0: ClientError}
    found = {}
    for indent, name in drawn:
        found[name] = bases[len(indent)]
        bases[len(indent) + len("├── ")] = getattr(errors, name)

    assert found == {error.__name__: error.__bases__[0] for error in ERROR_CLASSES if error is not ClientError}


def test_an_error_of_the_same_name_is_the_same_error() -> None:
    shared = {error.__name__ for error in ERROR_CLASSES if hasattr(domain, error.__name__)}

    assert shared == {"NotFoundError", "RefusedError", "WaitTimeoutError"}
    assert all(issubclass(getattr(errors, name), getattr(domain, name)) for name in shared)


def test_every_type_of_problem_that_means_more_than_its_status_has_an_error() -> None:
    given = set(re.findall(r'Problem\((?:\d+), "([a-z-]+)"', _read_source(problems))) | set(
        problems._NAMES_BY_STATUS.values()
    )

    assert given - set(errors._ERRORS_BY_NAME) == {"method-not-allowed", "body-timeout"}


async def test_what_a_client_asks_in_vain_is_told(served_api: ServedApi, client: AsyncClient) -> None:
    async with (
        served_api.build_client("asynchronous", role="viewer") as viewer,
        connect_client("asynchronous", served_api.url) as stranger,
    ):
        with pytest.raises(UnauthenticatedError, match="GET /api/me: Send an API key"):
            await stranger.get_current_user()
        with pytest.raises(ForbiddenError, match="This requires the role operator; ada has the role viewer"):
            await viewer.pause(1)
    with pytest.raises(NotFoundError, match="no workflow has the id 4711") as missing:
        await client.get(4711)
    with pytest.raises(NotFoundError, match="Did you mean 'Orders'?"):
        await client.get_definition("Order")
    with pytest.raises(BadRequestError, match="vars.amount: ") as faulty:
        await client.create("Orders", vars={"amount": "many"})

    assert (missing.value.status, missing.value.problem.type) == (404, "/problems/not-found")
    assert set(faulty.value.errors) == {"vars.amount"}


async def test_a_refusal_lists_what_may_be_done(client: AsyncClient) -> None:
    ended = await client.create_and_wait("Orders", timeout=WAIT_TIMEOUT)

    with pytest.raises(domain.RefusedError) as caught:
        await client.answer(ended.id, "charge")

    assert isinstance(caught.value, RefusedError)
    assert caught.value.permitted == tuple((await client.get_permitted_operations(ended.id)).operations)


async def test_a_wait_in_vain_tells_where_it_stands_and_may_be_longer_than_the_timeout(
    served_api: ServedApi, client_kind: str
) -> None:
    async with served_api.build_client(client_kind, timeout="1s", retries=0) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.create_and_wait("Orders", vars={"way": "review"}, timeout="1500ms")

    error = caught.value
    assert isinstance(error, WaitTimeoutError)
    assert error.instance is not None
    assert (error.instance.id, error.instance.state) == (error.workflow_id, "review")


@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (400, BadRequestError),
        (401, UnauthenticatedError),
        (404, NotFoundError),
        (409, RefusedError),
        (410, PrunedError),
        (418, ApiError),
        (429, TooManyRequestsError),
        (500, ServerError),
        (502, UnavailableError),
        (504, UnavailableError),
    ],
)
async def test_a_proxys_error_is_told_by_its_status(status: int, kind_of_error: type[ApiError]) -> None:
    async with open_scripted_client(
        "asynchronous", build_reply(status, HTML_BODY, content_type="text/html"), retries=0
    ) as (_, client):
        with pytest.raises(ApiError, match="without a problem document: '<html>gateway") as caught:
            await client.get_current_user()

    assert (type(caught.value), caught.value.problem.type) == (kind_of_error, "about:blank")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("given", "errors", "permitted"),
    [
        ({"errors": [1, {}, {"field": "a"}, {"field": "a", "message": "x"}]}, {"": "", "a": "; x"}, ()),
        ({"errors": "x", "permitted": [1, None], "type": None, "detail": None, "title": 1}, {}, ("1", "None")),
    ],
)
async def test_a_problem_that_makes_no_sense_is_still_an_error(
    given: dict[str, Any], errors: dict[str, str], permitted: tuple[str, ...]
) -> None:
    async with open_scripted_client("asynchronous", build_problem_reply("refused", 409, **given)) as (_, client):
        with pytest.raises(RefusedError) as caught:
            await client.get_current_user()

    assert (caught.value.problem.errors, caught.value.permitted) == (errors, permitted)


async def test_a_fault_of_the_server_names_its_problem() -> None:
    async with open_scripted_client("asynchronous", build_problem_reply("unexpected", 500, id="4f2a")) as (_, client):
        with pytest.raises(ServerError) as caught:
            await client.get_current_user()

    assert caught.value.problem.more == {"id": "4f2a"}


@pytest.mark.parametrize("body", ["<html>", "{", "[]", '{"id": "one", "secret": "x"}', ""])
async def test_what_is_no_flowlet_is_told(client_kind: str, body: str) -> None:
    async with open_scripted_client(client_kind, build_reply(200, body)) as (_, client):
        with pytest.raises(
            UnexpectedResponseError,
            match=r"GET /api/me: the response \(200, application/json\) is not what this endpoint returns",
        ) as caught:
            await client.get_current_user()

    assert "secret" not in str(caught.value)


async def test_a_redirection_is_not_followed_with_the_key(client_kind: str) -> None:
    elsewhere = build_reply(307, "", headers={"Location": "http://elsewhere.invalid/api/me"})
    async with open_scripted_client(client_kind, elsewhere, key="secret") as (_, client):
        with pytest.raises(UnexpectedResponseError, match="redirects \\(307\\) to 'http://elsewhere.invalid/api/me'"):
            await client.get_current_user()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://a", "http://", "http://a:x", "http://a/?b", "http://[", "http://a#b"]
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(SettingsError, match="is not the address of a server"):
        AsyncClient(url)


def test_a_login_in_an_address_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        AsyncClient("ftp://ada:secret@127.0.0.1")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "ключ", "a\nb"])
def test_a_key_that_can_be_none_is_told_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="the API key") as caught:
        AsyncClient("http://127.0.0.1:8080", key=key)

    assert not key.strip() or key not in str(caught.value)


def test_the_number_of_retries_is_bounded() -> None:
    with pytest.raises(SettingsError, match="retries=101 is not between 0 and 100"):
        AsyncClient("http://127.0.0.1:8080", retries=101)


async def test_what_has_no_form_in_json_is_told_before_anything_is_sent(
    served_api: ServedApi, client: AsyncClient
) -> None:
    served_api.requested_endpoints.clear()

    with pytest.raises(TypeError, match="POST /api/workflows: the body cannot be written as JSON"):
        await client.create("Orders", vars={"amount": object()})
    with pytest.raises(ValueError, match="has no time zone"):
        await client.search(created_from=datetime(2030, 1, 1))
    with pytest.raises(FlowletError, match="is not a duration"):
        await client.create("Orders", when="soon")

    assert served_api.requested_endpoints == set()


async def test_a_number_that_is_none_never_becomes_null() -> None:
    async with open_scripted_client("asynchronous", build_problem_reply("faulty", 400)) as (server, client):
        with pytest.raises(BadRequestError):
            await client.create("Orders", vars={"amount": float("nan")})

    assert math.isnan(server.requests[0].body["vars"]["amount"])


def _read_source(module: Any) -> str:
    return inspect.getsource(module)
