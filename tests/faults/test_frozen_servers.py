"""A frozen database: every request is answered within its deadline, and what comes after it finds connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from flowlet.web.services import EXTENSION_NAME
from tests.database_servers import DatabaseServer
from tests.faults.fault_harness import REAL_CLOCK
from tests.web.api.api_harness import ApiHarness
from tests.web.api.test_outages import INDEPENDENT_ENDPOINTS, open_endpoint_caller

pytestmark = pytest.mark.faults

TIMEOUT_SECONDS = 2.0
WAIT_SECONDS = 1.0
WAIT_GRACE_SECONDS = 2.0
SLACK_SECONDS = 4.0
"""How much later than its deadline an answer may be: dozens of requests share two slow cores."""


async def test_every_request_is_answered_while_postgresql_is_frozen(
    postgres_server: DatabaseServer, postgres_url: str
) -> None:
    await check_frozen_server(postgres_server, postgres_url)


async def test_every_request_is_answered_while_mariadb_is_frozen(
    mariadb_server: DatabaseServer, mariadb_url: str
) -> None:
    await check_frozen_server(mariadb_server, mariadb_url)


async def check_frozen_server(server: DatabaseServer, url: str) -> None:
    async with open_endpoint_caller(url) as (office, found, call_endpoint):
        shorten_request_timeout(office)
        client = office.app_harness.open_client("admin")
        pages = list_pages(office, await office.create("later"))
        wait_request = build_wait_request()
        requests = {name: call_endpoint(name) for name in found if not name.endswith("AndWait")}
        requests |= {path: client.get(path, headers={"Accept": "text/html"}) for path in pages}
        requests["wait"] = client.post("/api/createAndWait", json=wait_request)
        requests["login"] = client.post("/login", data={"username": "ada", "password": "wrong"})
        assert (await client.get("/workflows", headers={"Accept": "text/html"})).status_code == 200

        with server.freeze_server():
            answers = dict(zip(requests, await asyncio.gather(*map(measure, requests.values())), strict=True))

        late = {name: seconds for name, (_, seconds) in answers.items() if seconds > get_deadline(name)}
        assert late == {}
        answered = {name: answer.status_code for name, (answer, _) in answers.items()}
        assert {status for status in answered.values() if status >= 500} <= {503, 504}
        assert {name for name in found if answered.get(name, 503) < 500} == INDEPENDENT_ENDPOINTS
        assert {answered[path] for path in ("/", "/workflows", "/inbox", "/errors", "/executors", "/users")} == {503}
        assert "may have been made" in answers["wait"][0].json()["detail"]
        assert answers["/workflows"][0].headers["content-type"].startswith("text/html")
        await check_recovery(office, wait_request, found, call_endpoint)


def shorten_request_timeout(office: ApiHarness) -> None:
    app, services = office.app_harness.app, office.app_harness.services
    settings = services.settings.model_copy(update={"request_timeout": timedelta(seconds=TIMEOUT_SECONDS)})
    app.extensions[EXTENSION_NAME] = replace(services, settings=settings)


def list_pages(office: ApiHarness, id: int) -> list[str]:
    """Return the addresses of the console's pages, each for a workflow that exists."""
    arguments = {"id": str(id), "name": "Orders", "username": "ada", "reference": str(id)}
    paths = []
    for rule in office.app_harness.app.url_map.iter_rules():
        is_page = "GET" in (rule.methods or ()) and not rule.rule.startswith(("/api", "/static", "/openapi"))
        if is_page and rule.arguments <= arguments.keys():
            _, path = rule.build({name: arguments[name] for name in rule.arguments}) or ("", "")
            paths.append(path)
    assert len(paths) > 15
    return paths


def build_wait_request() -> dict[str, Any]:
    request = {"workflowType": "Orders", "externalId": "order-frozen", "stateVars": {"way": "later"}}
    return {"createWorkflowRequest": request, "waitSeconds": WAIT_SECONDS}


def get_deadline(name: str) -> float:
    return (WAIT_SECONDS + WAIT_GRACE_SECONDS if name == "wait" else TIMEOUT_SECONDS) + SLACK_SECONDS


async def measure(request: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    """Return the answer to a request, and how many seconds it took."""
    began = REAL_CLOCK.monotonic()
    answer = await request
    return answer, REAL_CLOCK.monotonic() - began


async def check_recovery(office: ApiHarness, wait_request: dict[str, Any], found: Any, call_endpoint: Any) -> None:
    """Check that the next requests find connections, and that what failed was done once or not at all."""
    others = {"GET /readyz", "GET /api/bulkRuns/{id}"}  # no executor, and no bulk operation
    reading = [name for name in found if name.startswith("GET ") and name not in others]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*map(call_endpoint, reading))
        assert {answer.status_code for answer in answers} == {200}
        repeated = await office.client.post("/api/workflows", json=wait_request["createWorkflowRequest"])
    assert repeated.status_code in (200, 201)
    search = await office.post("/api/workflows/search", {"externalId": "order-frozen"})
    assert len(search["workflows"]) == 1
