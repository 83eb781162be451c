"""What writers accept, every reader shows: odd values through every writer, then every page, list and command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from flowlet.cli import main
from flowlet.errors import VariablesError
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import EngineHarness
from tests.web.app_harness import AppHarness, borrow_app, open_app_services

LAST_MOMENT = "9999-12-31T23:59:59.999999Z"
BEYOND_TIME = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
BEFORE_TIME = datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))
ODD_TEXT = "a\x00b\r\n\ud800\u202e<script>\x1b[31m{{x}} \U0001f600" + "x" * 9_000
ODD_NAMES = [
    "/a",
    "a//b",
    "...",
    "a/../b",
    "?q=1#f%2F",
    "\U0001f600",
    "<b>&'\"",
    "\u202ea",
    "search",
    "a b",
    "%",
    "a\\b",
]
PAGES = [
    *("/", "/workflows", "/workflows?q=o", "/workflows?sort=next", "/workflows?status=IN_PROGRESS"),
    *("/workflows.csv", "/workflows.json", "/inbox", "/errors", "/executors", "/definitions", "/definitions/Oddities"),
    *("/start/Oddities", "/docs", "/metrics", "/openapi.json", "/readyz"),
]


class Oddity(BaseModel):
    way: str = "wait"
    number: int = 2**80
    text: str = ""
    free: dict[str, int | str | list[int]] = {}


class Comment(BaseModel):
    text: str = ""
    size: int = 2**70


def build_oddities_module() -> ModuleType:
    """Return a workflow that does what its variable ``way`` says, in odd ways."""

    @state(start=True, next=["later", "ask", "failed"], retry=Retry(limit=2, min="36000 days", max="36500 days"))
    async def begin(oddity: Oddity, ctx: Context) -> Next:
        oddity.number += 1
        oddity.free = {"": 2**70, "a.b": [2**65], "__proto__": "\u202e</script>", "x" * 300: "\r\n"}
        ctx.log(ODD_TEXT)
        if oddity.way == "raise":
            raise RuntimeError(ODD_TEXT)
        if oddity.way == "past":
            return later.at(BEFORE_TIME).log(ODD_TEXT)
        return ask if oddity.way == "ask" else later.at(BEYOND_TIME).log(ODD_TEXT)

    @manual(next={"later": "\u202e<b>", "failed": ""}, form=Comment, deadline="36500 days", on_deadline="failed")
    async def ask(comment: Comment) -> None: ...

    @state(next=["done"])
    async def later() -> None: ...

    module = ModuleType("oddities", "Oddities.")
    failed = error("\u202e<b>")
    members = {"begin": begin, "ask": ask, "later": later, "done": end(), "failed": failed}
    vars(module).update(members, workflow=Workflow("Oddities", vars=Oddity))
    return module


@dataclass(frozen=True, slots=True)
class OddRows:
    """An application with odd rows, and the database of them."""

    app_harness: AppHarness
    engine: EngineHarness
    url: str

    async def create(self, way: str, **values: Any) -> int:
        """Create an instance by the operation, and return its id."""
        operations = self.app_harness.services.operations
        return (await operations.create("Oddities", vars={"way": way}, username=ODD_TEXT[:200], **values)).id


@asynccontextmanager
async def open_odd_rows(url: str) -> AsyncIterator[OddRows]:
    """Open a database with the workflow, and an application on it."""
    async with open_app_services(url) as behind:
        behind.services.registry.add(build_oddities_module())
        services: Any = behind.services  # the clock of the harness is a virtual one elsewhere
        engine = EngineHarness(services.store, services.registry, services.store.clock)
        with borrow_app(behind.services) as app:
            yield OddRows(AppHarness(app, behind.services, behind.keys, behind.sessions["ada"]), engine, url)


async def write_oddly(rows: OddRows) -> None:
    """Write odd values by each writer: creates, handlers, answers, edits, moves and the other operations."""
    operations = rows.app_harness.services.operations
    by_number = {way: await rows.create(way) for way in ("wait", "past", "raise", "ask")}
    executor = await rows.engine.add_executor()
    for instance in await executor.claim_due():
        await executor.commit_transitions(await executor.run_instance(instance))
    await operations.answer(by_number["ask"], "later", form={"text": "\u202e", "size": 2**90}, username=ODD_TEXT[:200])
    await operations.edit_variables(by_number["wait"], {"number": -(2**100), "text": "\r\n"}, username="ada")
    await operations.pause(by_number["past"], reason=ODD_TEXT, username="ada")
    await rows.create("wait", when=BEYOND_TIME, key="\U0001f600\u202e", group="<b>")
    forced = await rows.create("wait")
    await operations.move(forced, "failed", force=True, reason=ODD_TEXT, username=ODD_TEXT)
    cancelled = await rows.create("wait")
    await operations.move(cancelled, "later", when=BEYOND_TIME, username="ada")
    await operations.cancel(cancelled, reason=ODD_TEXT, username="ada")
    for name in ODD_NAMES:
        await rows.create("wait", external_id=name, key=name)


async def check_responses(client: httpx.AsyncClient, paths: list[str]) -> None:
    for path in paths:
        response = await client.get(path, headers={"accept": "text/html" if "/api" not in path else "application/json"})
        assert response.status_code == 200, (path, response.status_code, response.text[:500])


async def test_what_writers_accept_every_reader_shows(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_DATABASE_URL", database_url)
    async with open_odd_rows(database_url) as rows:
        await write_oddly(rows)

        browser, client = rows.app_harness.open_admin_browser(), rows.app_harness.open_client("viewer")
        ids = [one["id"] for one in (await client.post("/api/workflows/search", json={})).json()["workflows"]]
        await check_responses(browser, [*PAGES, *(f"/workflows/{id}" for id in ids)])
        await check_responses(
            browser, [f"/workflows/{id}?tab={tab}" for id in ids[-4:] for tab in ("history", "variables")]
        )
        await check_responses(client, [f"/api/workflows/{id}" for id in ids])
        await check_responses(client, [f"/api/workflows/{id}/permitted" for id in ids])
        await check_responses(client, [f"/api/actions/byWorkflowId/{id}" for id in ids])
        for name in ODD_NAMES:
            found = await client.get(f"/api/workflowByExternalId/{quote(name, safe='')}")
            assert found.status_code == 200, (name, found.text)
            assert found.json()["externalId"] == name
            filtered = await client.post("/api/workflows/search", json={"externalId": name})
            assert [one["businessKey"] for one in filtered.json()["workflows"]] == [name]
        big = await client.post("/api/workflows/search", json={"stateVars": {"number": 2**80 + 1}})
        ahead = (await client.get(f"/api/workflows/{ids[-1]}")).json()
    assert (len(ids), len(big.json()["workflows"])) == (len(ODD_NAMES) + 7, 2)
    assert (ahead["nextActivation"], ahead["stateVars"]["number"]) == (LAST_MOMENT, -(2**100))


def test_the_command_line_shows_what_writers_accept(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare() -> None:
        async with open_odd_rows(sqlite_url) as rows:
            await write_oddly(rows)

    asyncio.run(prepare())
    monkeypatch.setenv("FLOWLET_DATABASE_URL", sqlite_url)

    commands = [
        ["list"],
        ["list", "--json"],
        *(["show", str(id), *more] for id in range(1, 8) for more in ([], ["--json"])),
    ]
    for arguments in [*commands, *(["show", "--", name] for name in ODD_NAMES)]:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, (arguments, result.output)
        assert "\x1b[31m" not in result.output


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\tb", "\x7fa", "a\x85b", "a\u2028b", "a\u2029b", "a\x00b", "a\ud800"]
)
async def test_names_with_line_ends_or_control_characters_are_refused(sqlite_url: str, name: str) -> None:
    async with open_odd_rows(sqlite_url) as rows:
        for field in ("external_id", "key", "group"):
            with pytest.raises(VariablesError):
                await rows.create("wait", **{field: name})


@pytest.mark.parametrize("name", [".", ".."])
async def test_an_external_id_that_no_url_can_contain_is_refused(sqlite_url: str, name: str) -> None:
    async with open_odd_rows(sqlite_url) as rows:
        with pytest.raises(VariablesError, match="clients remove it from every URL"):
            await rows.create("wait", external_id=name)
