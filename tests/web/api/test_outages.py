"""While the database is away every endpoint that needs it says 503, and when to ask again; nothing says 401 or 500."""

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

from flowlet.keys import ApiKeys
from tests.servers import Server
from tests.web.api.office import Office, opened_office
from tests.web.api.test_openapi import operations, told
from tests.web.contract.process import ENDLESS

INDEPENDENT = {
    "GET /api/definitions/{name}.mmd",
    "GET /api/definitions/{name}.svg",
    "GET /api/me",
    "GET /healthz",
    "GET /openapi.json",
}
"""What a process answers out of itself to somebody whom it knows."""

BRIEF = {"after": "0", "limit": "1"}
"""By which a stream ends after its first event."""
Ask = Callable[[str], Any]


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[tuple[Office, dict[str, Any], Ask]]:
    """Open an application, and give a function that asks an endpoint, as an admin who is believed, with what fits."""
    async with opened_office(url, executes=False) as office:
        users = office.probe.services.users
        users.keys = ApiKeys(office.probe.services.store, believed=timedelta(hours=1))
        id = str(await office.create("later"))
        found = operations(await told(office.probe))
        client = office.probe.client("admin")
        assert (await client.get("/api/me")).status_code == 200

        async def ask(name: str) -> httpx.Response:
            method, path = name.split()
            content = found[name].get("requestBody", {}).get("content", {}).get("application/json", {})
            body = next((example["value"] for example in content.get("examples", {}).values()), None)
            place = "Orders" if "{name}" in path else "aaaaaaaa" if "keys" in path else id
            address = re.sub(r"\{\w+\}", place, path)
            return await client.request(method, address, json=body, params=BRIEF if path in ENDLESS else None)

        yield office, found, ask


def is_away(answer: httpx.Response) -> bool:
    """Return whether an answer says that the database is away, and when to come back."""
    if answer.headers.get("retry-after") != "2" or answer.status_code != 503:
        return False
    is_probe = answer.request.url.path == "/readyz"
    return is_probe or answer.json()["type"] == "/problems/unavailable"


async def test_every_endpoint_is_unavailable_without_postgresql(postgres_server: Server, postgres_url: str) -> None:
    await check_outage(postgres_server, postgres_url)


async def test_every_endpoint_is_unavailable_without_mariadb(mariadb_server: Server, mariadb_url: str) -> None:
    await check_outage(mariadb_server, mariadb_url)


async def check_outage(server: Server, url: str) -> None:
    """Ask every endpoint while the server is away: first as one who is known, then as one who has to be looked up."""
    async with asking(url) as (office, found, ask):
        server.stop()
        try:
            known = {name for name in found if not is_away(await ask(name))}
            office.probe.services.users.keys.forget()
            unknown = {name: await ask(name) for name in found}
            browser = await office.probe.browser().get("/api/me")
        finally:
            server.start()

        assert known == INDEPENDENT
        assert {name for name, answer in unknown.items() if not is_away(answer)} == {"GET /healthz"}
        assert is_away(browser)
        assert (await ask("GET /api/workflows/{id}")).status_code == 200


async def test_who_writes_is_told_to_come_back_while_another_holds_the_sqlite_file(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.store.sqlite.BUSY_SECONDS", 0.05)
    async with asking(sqlite_url) as (_, found, ask):
        holder = sqlite3.connect(Path(sqlite_url.removeprefix("sqlite:///")), isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        try:
            answers = {name: await ask(name) for name in found}
        finally:
            holder.close()

        reading = {name for name, answer in answers.items() if answer.status_code == 200}
        assert {name for name in found if name.startswith("GET ")} - reading == {
            "GET /readyz"
        }  # no executor claims here
        for name in ("POST /api/workflows", "POST /api/createAndWait", "POST /api/users", "POST /api/keys"):
            assert is_away(answers[name]), name
        assert {answer.status_code for answer in answers.values() if answer.status_code >= 500} == {503}
        assert (await ask("POST /api/workflows")).status_code == 201
