"""The pages about the client: they name exactly what the client has, and their programs run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

from flowlet import client
from flowlet.accounts.roles import Role
from flowlet.app import Flowlet
from flowlet.auth.users import Users as UsersOfStore
from flowlet.client import AsyncClient, Client, EventFilter, Filter, errors
from flowlet.client.asynchronous.audit import AsyncAudit
from flowlet.client.asynchronous.inbox import AsyncInbox
from flowlet.client.asynchronous.lanes import AsyncLanes
from flowlet.client.asynchronous.limits import AsyncLimits
from flowlet.client.asynchronous.retention import AsyncRetention
from flowlet.client.asynchronous.schedules import AsyncSchedules
from flowlet.client.asynchronous.teams import AsyncTeams
from flowlet.client.asynchronous.users import AsyncKeys, AsyncUsers
from flowlet.client.asynchronous.views import AsyncViews
from flowlet.client.synchronous.audit import Audit
from flowlet.client.synchronous.inbox import Inbox
from flowlet.client.synchronous.lanes import Lanes
from flowlet.client.synchronous.limits import Limits
from flowlet.client.synchronous.retention import Retention
from flowlet.client.synchronous.schedules import Schedules
from flowlet.client.synchronous.teams import Teams
from flowlet.client.synchronous.users import Keys, Users
from flowlet.client.synchronous.views import Views
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from tests.docs.pages import read_block_text, read_table_rows
from tests.engine.executor_harness import wait_for
from tests.web.http_server import serve_app

PAGE, HOW_TO = "docs/reference/client.md", "docs/how-to/use-the-client.md"
DOCUMENTED_TYPES: dict[str, tuple[type, type]] = {
    "Methods": (Client, AsyncClient),
    "`client.users`": (Users, AsyncUsers),
    "`client.keys`": (Keys, AsyncKeys),
    "`client.schedules`": (Schedules, AsyncSchedules),
    "`client.teams`": (Teams, AsyncTeams),
    "`client.views`": (Views, AsyncViews),
    "`client.limits`": (Limits, AsyncLimits),
    "`client.lanes`": (Lanes, AsyncLanes),
    "`client.retention`": (Retention, AsyncRetention),
    "`client.audit`": (Audit, AsyncAudit),
    "`client.inbox`": (Inbox, AsyncInbox),
}
RESULT_TYPES = {
    name: kind for name, kind in vars(client).items() if inspect.isclass(kind) and issubclass(kind, BaseModel)
}


@pytest.mark.parametrize("heading", DOCUMENTED_TYPES)
def test_every_method_is_documented_with_its_arguments(heading: str) -> None:
    documented = [(call.func.id, call) for call in parse_calls(heading) if isinstance(call.func, ast.Name)]

    for kind in DOCUMENTED_TYPES[heading]:
        methods = {name.replace("aclose", "close"): method for name, method in list_public_methods(kind)}
        assert {name for name, _ in documented} == set(methods)
        wrong = [name for name, call in documented if not matches_signature(call, methods[name])]
        assert wrong == []


def test_every_argument_of_a_client_is_documented_with_its_default() -> None:
    documented = {names[0]: cells[1].strip('"') for names, cells in read_table_rows(PAGE, "Arguments")}

    for kind in (Client, AsyncClient):
        parameters = inspect.signature(kind).parameters.values()
        assert documented == {one.name: "" if one.default is one.empty else str(one.default) for one in parameters}


def test_every_filter_is_documented() -> None:
    for heading, kind in {"Filters": Filter, "Filters of events": EventFilter}.items():
        documented = [name for names, _ in read_table_rows(PAGE, heading) for name in names]

        assert sorted(documented) == sorted(get_type_hints(kind))


def test_every_result_is_documented_with_its_fields() -> None:
    documented = {names[0]: names[1:] for names in read_row_names("Results")}

    assert set(documented) == set(RESULT_TYPES)
    for name, fields in documented.items():
        known = [field for each in fields for field in (list_attributes(each) if each in RESULT_TYPES else [each])]
        assert sorted(known) == sorted(list_attributes(name)), name


def test_every_error_is_documented() -> None:
    documented = {names[0] for names, _ in read_table_rows(PAGE, "Errors")}

    assert documented == {name for name in errors.__all__ if name.endswith("Error")}


async def test_the_programs_of_the_how_to_print_what_it_shows(tmp_path: Path, served_holiday: dict[str, str]) -> None:
    asked = await run_program(tmp_path, "ask.py", served_holiday)
    watched = await run_program(tmp_path, "watch.py", served_holiday)

    assert asked == read_block_text(HOW_TO, "what ask.py prints")
    assert [line.removeprefix("grace-2030-07 ") for line in watched.splitlines()] == asked.splitlines()[3:]


def parse_calls(heading: str) -> list[ast.Call]:
    """Return the methods in a table, as calls: their arguments, with their defaults."""
    texts = [names[0].replace(", ...)", ", **more)") for names, _ in read_table_rows(PAGE, heading)]
    parsed = [ast.parse(text, mode="eval").body for text in texts]
    return [call for call in parsed if isinstance(call, ast.Call)]


def list_public_methods(client_type: type) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, method)
        for name, method in inspect.getmembers(client_type, inspect.isfunction)
        if not name.startswith("_")
    ]


def matches_signature(call: ast.Call, method: Callable[..., Any]) -> bool:
    """Return whether a call names all arguments of a method, or some where it ends with three dots."""
    _, *parameters = inspect.signature(method).parameters.values()
    known = {one.name: ... if one.default is one.empty else one.default for one in parameters}
    known = {name: value.value if isinstance(value, Role) else value for name, value in known.items()}
    given: dict[str, Any] = {one.id: ... for one in call.args if isinstance(one, ast.Name)}
    given |= {one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg}
    is_whole = all(one.arg for one in call.keywords)
    return given == known if is_whole else given.items() <= known.items()


def read_row_names(heading: str) -> list[list[str]]:
    """Return the names in each row of a table, of all its cells."""
    return [re.findall("`(\\w+)`", " ".join(cells)) for _, cells in read_table_rows(PAGE, heading)]


def list_attributes(name: str) -> list[str]:
    """Return what a result has."""
    kind = RESULT_TYPES[name]
    return [
        *kind.model_fields,
        *(name for name, value in inspect.getmembers(kind) if is_own_property(kind, name, value)),
    ]


def is_own_property(result_type: type, name: str, value: object) -> bool:
    return isinstance(value, property) and not hasattr(BaseModel, name)


async def run_program(folder: Path, name: str, settings: dict[str, str]) -> str:
    """Return what a program of the page prints."""
    (folder / name).write_text(read_block_text(HOW_TO, name))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        name,
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await wait_for(process.communicate())
    assert process.returncode == 0
    return str(printed.decode())


@pytest.fixture
async def served_holiday(tmp_path: Path, sqlite_url: str) -> AsyncIterator[dict[str, str]]:
    """The page's workflow, served, and how to get there."""
    (tmp_path / "holiday.py").write_text(read_block_text(HOW_TO, "holiday.py"))
    async with open_store(sqlite_url) as store:
        users = UsersOfStore(store)
        await users.ensure_admin("correct horse")
        key = await users.keys.create("office", username="admin", role=Role.OPERATOR, actor="test")
    async with serve_app(Flowlet([str(tmp_path / "holiday.py")], settings=Settings(database_url=sqlite_url))) as http:
        yield {"OFFICE_URL": str(http.base_url), "OFFICE_KEY": key.text}
