"""GopherFlow's requests, sent to the demo as its clients send them: what differs is in the migration guide."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from flowlet.accounts.roles import Role
from flowlet.app import Flowlet
from flowlet.auth.users import Users
from flowlet.cli.demo import DEMO_MODULES
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.web.bundled import find_folder
from tests.docs.pages import ROOT
from tests.web.api.compatibility.exchanges import EXCHANGES, Exchange
from tests.web.http_server import serve_app

GUIDE = "docs/how-to/migrate-from-gopherflow.md"
CURL_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
"""What ``curl -d`` sends: GopherFlow does not look at it."""


def read_rows() -> dict[str, tuple[str, str]]:
    """Return the rows of the guide's table of the API by their first cell."""
    section = (ROOT / GUIDE).read_text(encoding="utf-8").partition("## Clients of the API")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0].strip("*"): (row[1], row[2]) for row in rows}


@asynccontextmanager
async def serve_demo(url: str) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Serve the demo's workflows on an empty database, and give a client and an admin's key."""
    registry = Registry()
    registry.load_all([str(find_folder("demo") / name) for name in DEMO_MODULES])
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password="correct horse"))
    async with serve_app(app) as client:
        assert (await client.get("/healthz")).status_code == 200  # it has started
        async with open_store(url) as store:
            key = await Users(store).keys.create("test", username="admin", role=Role.ADMIN, actor="test")
        yield client, key.text


async def send(client: httpx.AsyncClient, exchange: Exchange, key: str, purchase: str) -> httpx.Response:
    method, path = exchange.line.replace("{purchase}", purchase).replace("{trip}", "trip").split()
    body = exchange.body if isinstance(exchange.body, str | None) else json.dumps(exchange.body)
    given = {"X-API-Key": exchange.key if isinstance(exchange.key, str) else key} if exchange.key else {}
    headers = {**given, **(CURL_HEADERS if body is not None else {})}
    return await client.request(method, path, content=body, headers=headers, timeout=40)


async def test_requests_of_its_clients_get_what_the_guide_says(sqlite_url: str) -> None:
    found, purchase = {}, ""
    async with serve_demo(sqlite_url) as (client, key):
        for place, exchange in enumerate(EXCHANGES):
            answer = await send(client, exchange, key, purchase)
            found[place] = answer.status_code
            purchase = purchase or (str(answer.json()["id"]) if answer.status_code == 201 else "")

        users = (await client.get("/api/users", headers={"X-API-Key": key})).json()

    wrong = [
        f"{exchange.line} {exchange.body}: {found[place]} instead of {exchange.ours}"
        for place, exchange in enumerate(EXCHANGES)
        if found[place] != exchange.ours
    ]
    assert wrong == []
    assert {user["username"]: user["isDisabled"] for user in users} == {"admin": False, "grace": False, "hedy": True}


def test_each_difference_is_a_row_of_the_guide() -> None:
    rows = read_rows()

    assert [one.line for one in EXCHANGES if (one.theirs != one.ours) != (one.row is not None)] == []
    assert sorted({one.row for one in EXCHANGES if one.row is not None} - rows.keys()) == []
