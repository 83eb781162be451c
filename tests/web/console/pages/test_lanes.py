"""Lanes in the console: a definition's page pauses a workflow, the executors' page a group; both say who and why."""

from __future__ import annotations

from flowlet.store.limits.table import LaneKind
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.pages.test_dashboard import read_card
from tests.web.console.workflow_console import WorkflowConsole
from tests.web.console.workflow_page_client import WorkflowPageClient

PAGE = "/definitions/Orders"


async def test_an_operator_pauses_and_resumes_a_workflow_and_a_group(operator: WorkflowPageClient) -> None:
    store = operator.console.app_harness.services.store
    await store.definitions.save_definitions(operator.console.app_harness.services.registry.definitions, now=1)
    token = read_csrf_token(await operator.browser.get(PAGE))

    async def submit(path: str, **fields: str) -> str:
        return await operator.read_notice(await operator.browser.post(path, data={"token": token, **fields}))

    assert "needs a reason" in await submit("/lanes/pause", kind="workflow", name="Orders")
    assert "called 'Order'" in await submit("/lanes/pause", kind="workflow", name="Order", reason="why")
    assert "the name of the group is missing" in await submit("/lanes/pause", kind="group", reason="why")
    assert (await submit("/lanes/pause", kind="workflow", name="Orders", reason="the bank moves")).startswith("ok: ")
    assert (await submit("/lanes/pause", kind="group", name="night", reason="an upgrade")).startswith("ok: Paused.")
    definition, executors = (await operator.browser.get(PAGE)).text, (await operator.browser.get("/executors")).text
    assert "the bank moves" in definition
    assert "the bank moves" in executors
    assert "an upgrade" in executors
    assert await submit("/lanes/resume", kind="workflow", name="Orders") == "ok: Resumed."
    assert await submit("/lanes/resume", kind="group", name="night") == "ok: Resumed."
    assert "is not paused" in await submit("/lanes/resume", kind="group", name="night")


async def test_a_workflow_says_which_pause_it_waits_for(workflow_console: WorkflowConsole) -> None:
    services, id = workflow_console.console.app_harness.services, await workflow_console.create_instance()
    await services.store.definitions.save_definitions(services.registry.definitions, now=1)
    await services.operations.lanes.pause(LaneKind.WORKFLOW, "Orders", username="ada", reason="the bank moves")

    page = (await workflow_console.viewer.get(f"/workflows/{id}")).text
    definition = (await workflow_console.viewer.get(PAGE)).text
    dashboard = read_card(await workflow_console.viewer.get("/"), "Needs attention")
    metrics = (await workflow_console.viewer.get("/metrics")).text
    forbidden = await workflow_console.viewer.post("/lanes/pause", data={})

    assert "It waits because the workflow" in page
    assert "the bank moves" in definition
    assert 'action="/lanes' not in definition
    assert "Paused Orders paused by ada: the bank moves" in dashboard
    assert 'flowlet_lane_paused{kind="workflow",name="Orders"} 1.0' in metrics
    assert forbidden.status_code == 403
