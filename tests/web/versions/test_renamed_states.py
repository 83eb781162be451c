"""States that were renamed, in the API and the console: bookmarks work, and what is counted is counted together."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from flowlet.clock import VirtualClock
from flowlet.testing import Harness
from tests.engine.versions.renamed_orders import build_modules, create_orders
from tests.web.api.api_harness import ApiHarness
from tests.web.app_harness import open_app_harness
from tests.web.console.console_harness import HTML_ACCEPT


@pytest.fixture
async def renamed(database_url: str) -> AsyncIterator[ApiHarness]:
    """Version 2 without an executor, over orders of version 1, a failed and a waiting one of version 2."""
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    async with Harness(build_modules(1), database_url=database_url, clock=clock) as flow:
        await create_orders(flow)
    async with Harness(build_modules(2), database_url=database_url, clock=clock) as flow:
        await flow.start("Orders", {"way": "person"}, external_id="new")
        await flow.start("Orders", {"way": "broken"}, external_id="broken")
    async with open_app_harness(database_url) as probe, probe.open_client("operator") as client:
        for module in build_modules(2):
            probe.services.registry.add(module)
        yield ApiHarness(probe, client)


async def fetch_page(renamed: ApiHarness, path: str) -> str:
    async with renamed.app_harness.open_admin_browser(accept=HTML_ACCEPT) as browser:
        answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


async def search_names(renamed: ApiHarness, **body: object) -> dict[str, str]:
    """Return the state of each workflow that a search finds, by its external id."""
    found = await renamed.post("/api/workflows/search", body)
    return {one["externalId"]: one["state"] for one in found["workflows"]}


@pytest.mark.parametrize("name", ["review", "decide"])
async def test_a_search_by_either_name_answers_with_the_stored_names(renamed: ApiHarness, name: str) -> None:
    found = await search_names(renamed, state=name)

    assert found == {"person": "review", "paused": "review", "new": "decide"}
    assert await search_names(renamed, state=name, workflowType="Orders") == found


@pytest.mark.parametrize("name", ["review", "decide"])
async def test_a_bulk_operation_by_either_name_is_applied_to_both(renamed: ApiHarness, name: str) -> None:
    body = {"filter": {"workflowType": "Orders", "state": name, "status": ["WAITING"]}, "operation": "pause"}
    preview = await renamed.post("/api/workflows/bulk", {**body, "preview": True})
    result = await renamed.post("/api/workflows/bulk", body)

    assert (preview["matched"], result["matched"], result["done"]) == (2, 2, 2)


async def test_a_client_may_answer_and_wait_by_former_names(renamed: ApiHarness) -> None:
    create = {"workflowType": "Parts", "externalId": "part"}
    waiting = await renamed.post(
        "/api/createAndWait", {"createWorkflowRequest": create, "waitSeconds": 20, "waitForStates": ["pack"]}
    )
    refused = await renamed.post(
        "/api/workflows/new/stateAndWait",
        {"updateWorkflowStateRequest": {"state": "done"}, "fromStates": ["gather"], "waitSeconds": 0},
        status=409,
    )
    answer = {"updateWorkflowStateRequest": {"state": "delivered"}, "fromStates": ["review"], "waitSeconds": 0}
    late = await renamed.post("/api/workflows/new/stateAndWait", answer, status=504)
    unknown = {"createWorkflowRequest": create, "waitSeconds": 20, "waitForStates": ["wrap"]}

    assert waiting["state"] == "prepare"
    assert "its state is 'decide', and none of the expected 'gather'" in refused["detail"]
    assert late["workflow"]["status"] == "IN_PROGRESS"
    await renamed.post("/api/workflows/person/state", {"state": "delivered"})
    assert (await renamed.get("/api/workflows/person"))["status"] == "IN_PROGRESS"
    problem = await renamed.post("/api/createAndWait", unknown, status=400)
    assert [fault["field"] for fault in problem["errors"]] == ["waitForStates.0"]


async def test_a_definition_lists_the_former_names(renamed: ApiHarness) -> None:
    states = {one["name"]: one for one in (await renamed.get("/api/definitions/Orders"))["states"]}
    page = await fetch_page(renamed, "/definitions/Orders")

    assert (states["charge"]["renamedFrom"], states["check"]["renamedFrom"]) == (["pay"], [])
    assert page.count("formerly") == 4
    assert "formerly pay" in page


async def test_the_list_and_the_inbox_are_opened_by_a_bookmark_of_a_former_name(renamed: ApiHarness) -> None:
    listed = await fetch_page(renamed, "/workflows?type=Orders&state=review")
    inbox = await fetch_page(renamed, "/inbox?type=Orders&state=review")

    ids = {one: (await renamed.get(f"/api/workflows/{one}"))["id"] for one in ("person", "paused", "new", "timer")}
    assert all(f'href="/workflows/{ids[one]}"' in listed for one in ("person", "paused", "new"))
    assert f'href="/workflows/{ids["timer"]}"' not in listed
    assert re.search(r'aria-current="true">Orders · decide <b>2</b>', inbox)
    for one in ("person", "new"):
        question = inbox.partition(f'id="waits-{ids[one]}"')[2].partition("</li>")[0]
        assert 'name="choice" value="done"' in question, "it can be answered"


async def test_the_page_of_a_workflow_shows_where_its_state_is_now(renamed: ApiHarness) -> None:
    id = (await renamed.get("/api/workflows/person"))["id"]

    page = await fetch_page(renamed, f"/workflows/{id}")
    timeline = await fetch_page(renamed, f"/workflows/{id}?tab=timeline")

    assert "in <b>review</b> (now called decide)" in page
    assert 'name="choice" value="done"' in page
    assert "check → review" in page
    drawn = re.search(r'<g class="fl-state[^"]*\bcurrent\b[^"]*".*?</g>', page, re.DOTALL)
    assert drawn
    assert "decide" in drawn[0]
    assert "waiting for a decision" in timeline


async def test_the_figures_of_a_state_are_those_of_all_its_names(renamed: ApiHarness) -> None:
    page = await fetch_page(renamed, "/definitions/Orders")

    row = re.search(r'<a href="/workflows\?type=Orders&amp;state=decide[^>]*>decide</a>.*?</tr>', page, re.DOTALL)
    assert row
    assert re.search(r'<td class="num"><a [^>]*>3</a></td>', row[0])


@pytest.mark.parametrize("way", ["fail", "broken"])
async def test_an_error_before_and_after_a_rename_is_one_group(renamed: ApiHarness, way: str) -> None:
    page = await fetch_page(renamed, "/errors")
    dashboard = await fetch_page(renamed, "/")
    fingerprint = (await renamed.get(f"/api/workflows/{way}"))["fingerprint"]
    body = {"filter": {"fingerprint": fingerprint}, "operation": "retry"}

    assert page.count("in <code>charge</code>") == 1
    assert "in <code>pay</code>" not in page
    assert "charge: Fail" in dashboard
    assert "pay: Fail" not in dashboard
    assert await search_names(renamed, fingerprint=fingerprint) == {"fail": "pay", "broken": "charge"}
    assert (await renamed.post("/api/workflows/bulk", body))["done"] == 2
