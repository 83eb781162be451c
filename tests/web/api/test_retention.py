"""What is kept and what is deleted, over HTTP and on the pages of admins."""

from __future__ import annotations

from dataclasses import replace

from flowlet.settings import Settings
from flowlet.web.services import EXTENSION_NAME
from tests.store.retention.retention_harness import RetentionHarness
from tests.web.api.api_harness import ApiHarness
from tests.web.app_harness import BASE_URL, AppHarness
from tests.web.console.console_harness import HTML_ACCEPT, read_csrf_token

KEPT = {"keep": "1 day", "keepFailed": "1 day", "source": "setting", "prunableIsAtLeast": False}


def keep_one_day(app_harness: AppHarness) -> AppHarness:
    """Return an application whose settings delete what ended a day ago, and keep external ids."""
    settings = Settings(database_url="sqlite:///unused.db", keep="1 day", keep_external_ids="always")
    services = replace(app_harness.services, settings=settings)
    app_harness.app.extensions[EXTENSION_NAME] = services
    return replace(app_harness, services=services)


async def test_an_admin_previews_deletes_and_exports_and_what_is_gone_says_so(any_app_harness: AppHarness) -> None:
    app_harness = keep_one_day(any_app_harness)
    seen, client = RetentionHarness(app_harness.services.store), app_harness.open_client("admin")
    root = await seen.create_ended(external_id="order-7")
    child = await seen.create_child(root, root)

    rules = (await client.get("/api/retention")).json()
    tree = (await client.get(f"/api/workflows/{child}/export")).json()
    preview = (await client.post("/api/retention/prune", json={"workflowType": "Orders", "dryRun": True})).json()
    deleted = (await client.post("/api/retention/prune")).json()
    gone = [await client.get(path) for path in (f"/api/workflows/{child}", "/api/workflowByExternalId/order-7")]
    unknown = await client.post("/api/retention/prune", json={"workflowType": "Nothing"})

    (orders,) = [rule for rule in rules if rule["workflowType"] == "Orders"]
    assert orders.pop("oldestEnd") is not None
    assert orders == {"workflowType": "Orders", "prunable": 1, **KEPT}
    assert [row["id"] for row in tree["instances"]] == [root, child]
    assert {row["workflow_id"] for row in tree["history"]} == {root, child}
    assert preview == {"trees": 1, "workflows": 0, "isComplete": True}
    assert deleted == {"trees": 1, "workflows": 2, "isComplete": True}
    assert [(one.status_code, one.json()["type"]) for one in gone] == [(410, "/problems/pruned")] * 2
    assert unknown.status_code == 404
    await seen.check_counts()


async def test_a_create_of_a_deleted_one_says_so_and_a_wait_for_it_is_410(sqlite_api_harness: ApiHarness) -> None:
    app_harness = keep_one_day(sqlite_api_harness.app_harness)
    seen, client = RetentionHarness(app_harness.services.store), app_harness.open_client("admin")
    id = await seen.create_ended(external_id="order-7")
    await client.post("/api/retention/prune")
    body = {"workflowType": "Orders", "externalId": "order-7"}

    created = await client.post("/api/workflows", json=body)
    waited = await client.post(
        "/api/createAndWait", json={"createWorkflowRequest": body, "waitForStates": ["delivered"], "waitSeconds": 1}
    )

    assert (created.status_code, created.json()) == (200, {"id": id, "externalId": "order-7", "pruned": True})
    assert waited.status_code == 410


async def test_a_business_key_is_forgotten_and_refused_while_something_of_it_is_open(app_harness: AppHarness) -> None:
    seen, client = RetentionHarness(app_harness.services.store), app_harness.open_client("admin")
    ended = await seen.create_ended()
    opened = await seen.create_instance(business_key="customer-7")
    await seen.execute_sql("UPDATE flowlet_workflow SET business_key = 'customer-7' WHERE id = :id", id=ended)
    body = {"businessKey": "customer-7"}

    refused = await client.post("/api/retention/forget", json=body)
    await seen.execute_sql(
        "UPDATE flowlet_workflow SET status = 'CANCELLED', ended = :ended WHERE id = :id", id=opened, ended=seen.ended
    )
    counted = (await client.post("/api/retention/forget", json={**body, "dryRun": True})).json()
    done = (await client.post("/api/retention/forget", json=body)).json()

    assert (refused.status_code, f"{opened}. Nothing was deleted." in refused.json()["detail"]) == (409, True)
    assert counted == {"trees": 2, "workflows": 0, "isComplete": True}
    assert done == {"trees": 2, "workflows": 2, "isComplete": True}


async def test_the_settings_page_says_what_is_kept_and_deletes_after_a_preview(app_harness: AppHarness) -> None:
    browser = app_harness.open_admin_browser(accept=HTML_ACCEPT, origin=BASE_URL)
    forever = await browser.get("/settings")
    seen = RetentionHarness(keep_one_day(app_harness).services.store)
    for _ in range(2):
        await seen.create_ended()

    page, preview = await browser.get("/settings"), await browser.get("/settings/prune")
    token = read_csrf_token(preview)
    deleted = await browser.post("/settings/prune", data={"token": token})

    assert "Ended workflows are kept for ever: FLOWLET_KEEP is not set" in forever.text
    assert "1 day (FLOWLET_KEEP)" in page.text
    assert 'href="/settings/prune"' in page.text
    assert '<td class="num">2</td>' in preview.text
    assert (deleted.status_code, deleted.headers["location"]) == (303, "/settings")
    assert await seen.read_ids() == []
