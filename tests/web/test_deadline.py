"""Every request is answered within its deadline, whatever its view waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from quart import Response

from flowlet.clock import set_call_deadline, shorten_to_deadline
from flowlet.web.auth import allow_anonymous
from flowlet.web.deadline import WAIT_GRACE_SECONDS, set_request_deadline
from flowlet.web.json_responses import build_json_response
from flowlet.web.parsing import read_body
from flowlet.web.services import EXTENSION_NAME
from tests.web.app_harness import AppHarness, Order

TIMEOUT_SECONDS = 0.2
MAX_TEST_SECONDS = 10


@pytest.fixture
def hasty_harness(app_harness: AppHarness) -> AppHarness:
    """An application of the test's own, whose requests have to be answered within a fifth of a second."""
    own = app_harness.build_own_app()
    settings = own.services.settings.model_copy(update={"request_timeout": timedelta(seconds=TIMEOUT_SECONDS)})
    own.app.extensions[EXTENSION_NAME] = replace(own.services, settings=settings)
    return own


async def outlast_deadline() -> None:
    """Return after the deadline of a request that begins now."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            await asyncio.Event().wait()


async def wait_for_ever() -> Response:
    async with asyncio.timeout(MAX_TEST_SECONDS):
        await asyncio.Event().wait()
    raise AssertionError("the request was not cancelled")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_view_that_does_not_end_is_answered_for(hasty_harness: AppHarness, method: str) -> None:
    hasty_harness.app.add_url_rule("/api/forever", "forever", allow_anonymous(wait_for_ever), methods=[method])

    answer = await hasty_harness.open_client().request(method, "/api/forever")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["type"] == "/problems/unavailable"
    assert ("may have been made" in answer.json()["detail"]) == (method == "POST")
    assert answer.headers["x-frame-options"] == "DENY"


async def test_a_browser_gets_a_page(hasty_harness: AppHarness) -> None:
    hasty_harness.app.add_url_rule("/forever", "forever", allow_anonymous(wait_for_ever))

    answer = await hasty_harness.open_client(accept="text/html").get("/forever")

    assert answer.status_code == 503
    assert "<title>Service Unavailable" in answer.text


async def test_the_time_in_which_the_body_arrives_does_not_count(hasty_harness: AppHarness) -> None:
    async def echo() -> Response:
        return build_json_response(await read_body(Order))

    async def send_slowly() -> AsyncIterator[bytes]:
        yield b'{"externalId": '
        await outlast_deadline()
        yield b'"order-1"}'

    hasty_harness.app.add_url_rule("/api/echo", "echo", allow_anonymous(echo), methods=["POST"])

    answer = await hasty_harness.open_client().post("/api/echo", content=send_slowly())

    assert answer.status_code == 200
    assert answer.json()["externalId"] == "order-1"


async def test_a_streamed_response_has_no_deadline(hasty_harness: AppHarness) -> None:
    async def stream_text() -> AsyncIterator[str]:
        yield "begun, "
        await outlast_deadline()
        await hasty_harness.services.store.queries.count_by_type_and_status()
        yield "ended"

    async def download() -> Response:
        return Response(stream_text())

    hasty_harness.app.add_url_rule("/api/download", "download", allow_anonymous(download))

    answer = await hasty_harness.open_client().get("/api/download")

    assert (answer.status_code, answer.text) == (200, "begun, ended")


async def test_a_view_may_set_its_own_deadline(hasty_harness: AppHarness) -> None:
    async def wait_longer() -> Response:
        set_request_deadline(WAIT_GRACE_SECONDS)
        await outlast_deadline()
        return build_json_response({})

    hasty_harness.app.add_url_rule("/api/longer", "longer", allow_anonymous(wait_longer))

    assert (await hasty_harness.open_client().get("/api/longer")).status_code == 200


async def test_a_timeout_of_a_view_is_its_own_error(hasty_harness: AppHarness) -> None:
    async def raise_timeout() -> Response:
        raise TimeoutError("a service did not answer")

    hasty_harness.app.add_url_rule("/api/timeout", "timeout", allow_anonymous(raise_timeout))

    assert (await hasty_harness.open_client().get("/api/timeout")).status_code == 500


async def test_statements_end_with_the_deadline_of_their_own_task_only() -> None:
    async def read_timeout() -> float | None:
        return shorten_to_deadline(60.0)

    set_call_deadline(5.0)

    assert 4.0 < (shorten_to_deadline(60.0) or 0.0) <= 5.0
    assert shorten_to_deadline(1.0) == 1.0
    assert 4.0 < (shorten_to_deadline(None) or 0.0) <= 5.0
    assert await asyncio.create_task(read_timeout()) == 60.0
    set_call_deadline(None)
    assert shorten_to_deadline(60.0) == 60.0
