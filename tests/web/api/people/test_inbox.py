"""The inbox over HTTP: whose questions, who may answer, page by page; and failures that are closed in bulk."""

from __future__ import annotations

from types import ModuleType

from pydantic import BaseModel

from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.web.api.api_harness import ApiHarness


class Trip(BaseModel):
    traveller: str
    cents: int = 7


async def test_the_inbox_is_read_by_whose_it_is_and_page_by_page(
    sqlite_executing_api_harness: ApiHarness,
) -> None:
    api = sqlite_executing_api_harness
    first, second = [(await api.create_and_wait("review", "review"))["id"] for _ in range(2)]
    await api.post(f"/api/workflows/{second}/assign", {"assignee": "ada"})

    page = await api.get("/api/inbox?limit=1&workflowType=Orders&state=review")
    last = await api.get(f"/api/inbox?limit=1&workflowType=Orders&state=review&cursor={page['nextCursor']}")
    mine = await api.get("/api/inbox?whose=mine")
    teams = await api.get("/api/inbox?whose=teams")
    oldest = await api.get("/api/inbox?oldestFirst=true")
    async with api.app_harness.open_client("viewer") as viewer:
        (seen, _) = (await viewer.get("/api/inbox")).json()["entries"]
    unknown = await api.get("/api/inbox?whose=everybody", status=400)
    bad = await api.get("/api/inbox?cursor=nonsense", status=400)

    (entry,) = page["entries"]
    assert (entry["id"], entry["version"] > 0, entry["deadline"] is not None) == (first, True, True)
    assert (entry["choices"], entry["refusal"], entry["votes"]) == (["charge", "rejected"], None, [])
    assert (page["total"], [one["id"] for one in last["entries"]], last["nextCursor"]) == (2, [second], None)
    assert [(one["id"], one["assignee"]) for one in mine["entries"]] == [(second, "ada")]
    assert teams["entries"] == []
    assert [one["id"] for one in oldest["entries"]] == [first, second]
    assert "role operator" in seen["refusal"]
    assert ("whose" in str(unknown), "cursor" in str(bad)) == (True, True)


async def test_the_detail_and_the_list_have_the_line_of_the_definition(sqlite_api_harness: ApiHarness) -> None:
    @state(start=True, next=["done"])
    async def check() -> None: ...

    module = ModuleType("trips", "Book a trip.")
    workflow = Workflow("Trips", vars=Trip, summary="{traveller}: {cents} cents")
    vars(module).update(check=check, done=end(), workflow=workflow)
    sqlite_api_harness.app_harness.services.registry.add(module)
    body = {"workflowType": "Trips", "stateVars": {"traveller": "Ada"}}
    id = (await sqlite_api_harness.post("/api/workflows", body, status=201))["id"]

    detail = await sqlite_api_harness.get(f"/api/workflows/{id}")
    found = await sqlite_api_harness.post("/api/workflows/search", {"workflowType": "Trips"})

    assert detail["summary"] == "Ada: 7 cents"
    assert [one["summary"] for one in found["workflows"]] == ["Ada: 7 cents"]


async def test_failures_are_closed_in_bulk_with_a_reason(sqlite_executing_api_harness: ApiHarness) -> None:
    api = sqlite_executing_api_harness
    failed = (await api.create_and_wait("charge", "fail", externalId="f-1"))["id"]
    open_one = (await api.create_and_wait("review", "review"))["id"]
    body = {"operation": "acknowledge", "filter": {"workflowType": "Orders"}}

    preview = await api.post("/api/workflows/bulk", {**body, "preview": True})
    missing = await api.post("/api/workflows/bulk", {**body, "reason": " "}, status=400)
    done = await api.post("/api/workflows/bulk", {**body, "reason": "known"})

    assert (preview["matched"], preview["possible"]) == (2, 1)
    assert "reason" in str(missing)
    assert (done["done"], [one["id"] for one in done["refused"]]) == (1, [open_one])
    assert (await api.get(f"/api/workflows/{failed}"))["status"] == "FAILED"
    (line, *_) = await api.get(f"/api/actions/byWorkflowId/{failed}")
    assert (line["type"], line["text"]) == ("ACKNOWLEDGED", "known")
