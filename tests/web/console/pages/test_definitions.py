"""The definition pages: what they show of loaded and other definitions, by role."""

from __future__ import annotations

import re
from html import unescape
from types import ModuleType

import httpx
import pytest
from pydantic import BaseModel, Field

from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.web.api.api_users import build_shop_module
from tests.web.console.console_harness import ConsoleHarness
from tests.web.console.workflow_console import WorkflowConsole

ATTACK_TEXT = "<script>alert('1')</script>{{7*7}}\"'>"
SHOP_PATH = "/definitions/Order%20%3C1%3E"


class Sku(BaseModel):
    code: str = Field(description=ATTACK_TEXT)


class Line(BaseModel):
    sku: Sku
    count: int = Field(1, ge=1, le=99)


class Basket(BaseModel):
    lines: list[Line] = []
    gift: Line | None = None


def build_hostile_module(name: str = "a/b?c#d", *, version: int = 1) -> ModuleType:
    """Return a workflow whose every text is markup, with models within models."""

    async def check() -> str:
        return "done"

    check.__doc__ = f"Check.\n\n{ATTACK_TEXT}"
    workflow = Workflow(name, vars=Basket, version=version, description=ATTACK_TEXT)
    return build_workflow_module(
        workflow=workflow, check=state(start=True, next={"done": ATTACK_TEXT})(check), done=end(ATTACK_TEXT)
    )


async def serve_elsewhere(workflow_console: WorkflowConsole, *modules: ModuleType) -> list[Definition]:
    """Let another process serve workflows, one at a time."""
    definitions = [Registry().add(module) for module in modules]
    for place, definition in enumerate(definitions):
        await workflow_console.console.app_harness.services.store.definitions.save_definitions(
            [definition], now=(place + 1) * 1_000_000
        )
    return definitions


def read_rows(page: httpx.Response, id: str) -> list[str]:
    """Return the texts of the rows of a part of a page, white space made single."""
    part = page.text.partition(f'id="{id}"')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
    return [" ".join(unescape(re.sub("<[^>]*>", " ", row)).split()) for row in rows]


async def test_the_list_has_what_is_loaded_and_what_others_serve_with_its_counts(
    workflow_console: WorkflowConsole,
) -> None:
    await serve_elsewhere(workflow_console, build_hostile_module("Elsewhere", version=4))
    for _ in range(3):
        await workflow_console.create_instance()
    await workflow_console.fail_instance(1, "broke")

    page = await workflow_console.viewer.get("/definitions")

    names = re.findall(r'<h2><a href="([^"]*)">([^<]*)</a></h2>', page.text)
    assert names == [(f"/definitions/{name}", name) for name in ("Elsewhere", "Families", "Orders")]
    assert page.text.count(">not loaded here<") == 1
    assert '<span class="tag">version 4</span>' in page.text
    assert (
        'href="/workflows?type=Orders&amp;status=NEW"><span class="badge idle new">New</span> <b class="num">2</b>'
        in (" ".join(page.text.split()))
    )
    assert 'aria-label="2 new' in page.text


async def test_nothing_loaded_says_what_to_do(console: ConsoleHarness) -> None:
    page = await (await console.open_logged_in_browser()).get("/definitions")

    assert "No definitions loaded" in page.text


async def test_a_definition_has_its_states_its_figures_and_where_they_come_from(
    workflow_console: WorkflowConsole,
) -> None:
    await workflow_console.create_instance()
    await workflow_console.console.app_harness.services.operations.move(1, "review", username="ada")
    for _ in range(2):
        await workflow_console.create_instance()

    page = await workflow_console.viewer.get("/definitions/Orders")

    rows = read_rows(page, "states")
    assert rows[1].startswith("check start line ")
    assert rows[1].endswith("review 33 % charge")
    assert " 2 " in rows[1]
    review = next(row for row in rows if row.startswith("review manual"))
    assert "charge Approve" in review
    assert "rejected Reject at the deadline" in review
    assert review.endswith("deadline 3 days")
    assert "3 retries, after up to 1 hour" in page.text
    assert "of the last 3" in page.text
    assert "fl-diagram" in page.text
    assert 'data-events="workflowType=Orders"' in page.text
    found = re.search(r'<a href="([^"]*)">2</a>', page.text)
    assert found
    listed = await workflow_console.viewer.get(unescape(found[1]))
    assert ">2 workflows</h2>" in listed.text


async def test_variables_are_shown_with_the_models_in_them(sqlite_workflow_console: WorkflowConsole) -> None:
    sqlite_workflow_console.console.app_harness.services.registry.add(build_hostile_module("Basket"))

    page = await sqlite_workflow_console.viewer.get("/definitions/Basket")

    rows = read_rows(page, "variables")[1:]
    assert rows == [
        "lines array of Line []",
        "lines[].sku Sku required",
        f"lines[].sku.code string required {ATTACK_TEXT}",
        "lines[].count integer 1 at least 1; at most 99",
        "gift Line or null null",
        "gift.sku Sku required",
        f"gift.sku.code string required {ATTACK_TEXT}",
        "gift.count integer 1 at least 1; at most 99",
    ]


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_a_stored_text_is_never_markup(sqlite_workflow_console: WorkflowConsole, is_loaded: bool) -> None:
    module = build_hostile_module(f"a/b?{ATTACK_TEXT}")
    if is_loaded:
        sqlite_workflow_console.console.app_harness.services.registry.add(module)
    else:
        await serve_elsewhere(sqlite_workflow_console, module)

    listed = await sqlite_workflow_console.operator.get("/definitions")
    found = re.search(r'<h2><a href="(/definitions/a[^"]*)"', listed.text)
    assert found
    page = await sqlite_workflow_console.operator.get(unescape(found[1]))

    for answer in (listed, page):
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "{{7*7}}" in answer.text
        assert "&lt;script&gt;alert" in answer.text


async def test_what_only_another_process_serves_is_shown_as_it_was_registered_last(
    workflow_console: WorkflowConsole,
) -> None:
    await serve_elsewhere(
        workflow_console, build_hostile_module("Elsewhere", version=2), build_hostile_module("Elsewhere", version=3)
    )

    page = await workflow_console.operator.get("/definitions/Elsewhere")

    assert "This server process has not loaded this definition" in page.text
    assert '<span class="tag">version 3</span>' in page.text
    assert re.findall(r"<b>(Version \d)</b>", page.text) == ["Version 3", "Version 2"]
    assert "fl-diagram" in page.text
    assert read_rows(page, "variables")[1] == "gift Line or null null"  # stored in the order of the alphabet
    assert "New workflow" not in page.text
    assert (await workflow_console.operator.get("/start/Elsewhere")).status_code == 404


async def test_a_change_without_a_new_number_is_pointed_out(sqlite_workflow_console: WorkflowConsole) -> None:
    await serve_elsewhere(
        sqlite_workflow_console,
        build_hostile_module("Changed"),
        build_shop_module("Changed"),
        build_hostile_module("Changed", version=3),
    )

    page = await sqlite_workflow_console.viewer.get("/definitions/Changed")

    assert page.text.count("changed without a new version number") == 1


async def test_the_changes_between_two_versions_are_drawn_and_listed(workflow_console: WorkflowConsole) -> None:
    await serve_elsewhere(
        workflow_console, build_hostile_module("Changed"), build_shop_module("Changed"), build_hostile_module("Changed")
    )

    page = await workflow_console.viewer.get("/definitions/Changed")
    (link,) = {unescape(link) for link in re.findall(r'href="([^"]*#changes)"', page.text)}
    changes = (await workflow_console.viewer.get(link)).text

    assert 'id="changes"' not in page.text
    assert re.search(r"<h2>Changes from version 1 to version \d</h2>", changes)
    assert "state &#39;decide&#39; (manual) is added" in changes
    assert "variable &#39;gift&#39; is removed" in changes
    assert 'class="fl-state manual added"' in changes
    assert 'class="fl-edge added"' in changes
    assert "<script>alert" not in changes


@pytest.mark.parametrize("times", ["from=1&to=2", "from=x&to=y", "from=1000000", "from=1000000&to=9" + "9" * 40])
async def test_changes_of_versions_that_are_not_stored_are_left_out(
    sqlite_workflow_console: WorkflowConsole, times: str
) -> None:
    await serve_elsewhere(sqlite_workflow_console, build_hostile_module("Changed"))

    page = await sqlite_workflow_console.viewer.get(f"/definitions/Changed?{times}")

    assert page.status_code == 200
    assert 'id="changes"' not in page.text


async def test_an_unknown_name_is_not_found(sqlite_workflow_console: WorkflowConsole) -> None:
    page = await sqlite_workflow_console.viewer.get("/definitions/Nobody%27s")

    assert page.status_code == 404
    assert "Nobody" in page.text


async def test_names_are_quoted_and_viewers_have_no_button(sqlite_workflow_console: WorkflowConsole) -> None:
    sqlite_workflow_console.console.app_harness.services.registry.add(build_shop_module())

    for path in ("/definitions", SHOP_PATH):
        operators, viewers = (
            await sqlite_workflow_console.operator.get(path),
            await sqlite_workflow_console.viewer.get(path),
        )
        assert 'href="/start/Order%20%3C1%3E"' in operators.text
        assert "/start/" not in viewers.text
    assert "/workflows?type=Order+%3C1%3E&amp;state=decide" in viewers.text
    picture = await sqlite_workflow_console.viewer.get("/api/definitions/Order%20%3C1%3E.svg")
    assert picture.status_code == 200
