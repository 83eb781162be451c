"""While the database is away, every endpoint that needs it returns 503 with Retry-After, and none 401 or 500."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from flowlet.auth.api_keys import ApiKeys
from flowlet.workflow.schedule import Schedule
from tests.database_servers import DatabaseServer
from tests.web.api.api_harness import ApiHarness, open_api_harness
from tests.web.contract.contract_server import ENDLESS_PATHS
from tests.web.openapi.test_document import fetch_openapi, list_operations

INDEPENDENT_ENDPOINTS = {
    "GET /api/bulkRuns/{id}",
    "GET /api/definitions/{name}.mmd",
    "GET /api/definitions/{name}.svg",
    "GET /api/me",
    "GET /healthz",
    "GET /openapi.json",
    "POST /api/schedules/preview",
}
"""The endpoints that work without the database for an authenticated user."""

QUERIES = {
    **{path: {"after": "0", "limit": "1"} for path in ENDLESS_PATHS},
    "/api/messages/{name}": {"workflowType": "Orders", "businessKey": "customer-1"},
}
"""The parameters that end a stream after its first event, and those without which a request is refused."""
CallEndpoint = Callable[[str], Any]


@asynccontextmanager
async def open_endpoint_caller(url: str) -> AsyncIterator[tuple[ApiHarness, dict[str, Any], CallEndpoint]]:
    """Open an application, and return a function that calls an endpoint with a valid request, as a cached admin."""
    async with open_api_harness(url, has_executor=False) as office:
        users = office.app_harness.services.users
        users.keys = ApiKeys(office.app_harness.services.store, cache_ttl=timedelta(hours=1))
        id = str(await office.create("later"))
        external_id = (await office.get(f"/api/workflows/{id}"))["externalId"]
        schedules = office.app_harness.services.operations.schedules
        await schedules.create("Orders", Schedule("0 3 * * *", name="Orders"), username="ada")
        views = office.app_harness.services.operations.views
        view_id = str((await views.create("late", "status=FAILED", username="ada", is_shared=True)).id)
        found = list_operations(await fetch_openapi(office.app_harness))
        client = office.app_harness.open_client("admin")
        assert (await client.get("/api/me")).status_code == 200

        async def call_endpoint(name: str) -> httpx.Response:
            method, path = name.split()
            content = found[name].get("requestBody", {}).get("content", {}).get("application/json", {})
            body = next((example["value"] for example in content.get("examples", {}).values()), None)
            if path.startswith("/api/schedules") and body and "workflowType" in body:
                body["workflowType"] = "Orders"
            place = "Orders" if "{name}" in path else "aaaaaaaa" if "keys" in path else id
            place = "finance" if path.startswith("/api/teams") else place
            place = view_id if path.startswith("/api/views") else place
            place = external_id if "{externalId}" in path else place
            address = re.sub(r"\{\w+\}", place, path)
            return await client.request(method, address, json=body, params=QUERIES.get(path))

        yield office, found, call_endpoint


def is_unavailable(answer: httpx.Response) -> bool:
    """Return whether a response says that the database is unavailable, and when to retry."""
    if answer.headers.get("retry-after") != "2" or answer.status_code != 503:
        return False
    is_probe = answer.request.url.path == "/readyz"
    return is_probe or answer.json()["type"] == "/problems/unavailable"


async def test_every_endpoint_is_unavailable_without_postgresql(
    postgres_server: DatabaseServer, postgres_url: str
) -> None:
    await check_outage(postgres_server, postgres_url)


async def test_every_endpoint_is_unavailable_without_mariadb(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    await check_outage(mariadb_server, mariadb_url)


async def check_outage(server: DatabaseServer, url: str) -> None:
    """Call every endpoint while the database is away: with a cached key first, then with one that is not cached."""
    async with open_endpoint_caller(url) as (office, found, ask):
        server.stop_server()
        try:
            known = {name for name in found if not is_unavailable(await ask(name))}
            office.app_harness.services.users.keys.clear_cache()
            unknown = {name: await ask(name) for name in found}
            browser = await office.app_harness.open_admin_browser().get("/api/me")
        finally:
            server.start_server()

        assert known == INDEPENDENT_ENDPOINTS
        assert {name for name, answer in unknown.items() if not is_unavailable(answer)} == {"GET /healthz"}
        assert is_unavailable(browser)
        assert (await ask("GET /api/workflows/{id}")).status_code == 200


async def test_who_writes_is_told_to_come_back_while_another_holds_the_sqlite_file(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.store.dialects.sqlite.connection.BUSY_SECONDS", 0.05)
    async with open_endpoint_caller(sqlite_url) as (_, found, ask):
        holder = sqlite3.connect(Path(sqlite_url.removeprefix("sqlite:///")), isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            answers = {name: await ask(name) for name in found}
        finally:
            holder.close()

        reading = {name for name, answer in answers.items() if answer.status_code == 200}
        # No executor claims here, and no bulk operation runs.
        others = {"GET /readyz", "GET /api/bulkRuns/{id}"}
        assert {name for name in found if name.startswith("GET ")} - reading == others
        for name in ("POST /api/workflows", "POST /api/createAndWait", "POST /api/users", "POST /api/keys"):
            assert is_unavailable(answers[name]), name
        assert {answer.status_code for answer in answers.values() if answer.status_code >= 500} == {503}
        assert (await ask("POST /api/workflows")).status_code == 201
