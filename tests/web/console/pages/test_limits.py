"""Limits in the console: a definition's page lists, holds and releases them, and a waiting workflow says what for."""

from __future__ import annotations

from flowlet.definition.limits.limit_policy import build_limit_policy
from flowlet.workflow.limits import Limit
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.pages.test_dashboard import execute_sql, read_card
from tests.web.console.workflow_console import WorkflowConsole
from tests.web.console.workflow_page_client import WorkflowPageClient

PAGE = "/definitions/Orders"


async def save_limit(console: object) -> str:
    """Store a limit of Orders, and return the gate of its instances."""
    policy = build_limit_policy("Orders", "check", 1, limit=Limit(3))
    assert policy is not None
    await console.app_harness.services.store.limits.save_policies([policy])  # type: ignore[attr-defined]  # both consoles have it
    return policy.build_gate("{}")


async def test_an_operator_holds_and_releases_a_limit(operator: WorkflowPageClient) -> None:
    await save_limit(operator.console)
    token = read_csrf_token(await operator.browser.get(PAGE))

    async def submit(path: str, **fields: str) -> str:
        values = {"token": token, "workflow": "Orders", "state": "check", **fields}
        return await operator.read_notice(await operator.browser.post(path, data=values))

    assert "3 at once" in (await operator.browser.get(PAGE)).text
    assert "needs a reason" in await submit("/limits/hold")
    assert (await submit("/limits/hold", reason="the bank moves")).startswith("ok: Held.")
    held = (await operator.browser.get(PAGE)).text
    assert "held by" in held
    assert "the bank moves" in held
    assert "has no limits" in await submit("/limits/release", state="")
    assert "'soon' is not a duration" in await submit("/limits/release", interval="soon")
    assert await submit("/limits/release", interval="100ms") == "ok: Released."
    assert "letting one attempt begin each 100 milliseconds" in (await operator.browser.get(PAGE)).text
    assert "is not held" in await submit("/limits/release")


async def test_a_workflow_says_which_limit_it_waits_for(workflow_console: WorkflowConsole) -> None:
    gate, id = await save_limit(workflow_console.console), await workflow_console.create_instance()
    await execute_sql(
        workflow_console, "UPDATE flowlet_workflow SET gate = :gate WHERE id = :id", {"gate": gate, "id": id}
    )
    limits = workflow_console.console.app_harness.services.operations.limits
    await limits.hold("Orders", "check", username="ada", reason="the bank moves")

    page = (await workflow_console.viewer.get(f"/workflows/{id}")).text
    listed = (await workflow_console.viewer.get(PAGE)).text
    dashboard = read_card(await workflow_console.viewer.get("/"), "Needs attention")
    metrics = (await workflow_console.viewer.get("/metrics")).text
    forbidden = await workflow_console.viewer.post("/limits/hold", data={})

    assert "It waits for the limit of Orders in state" in page
    assert "the bank moves" in page
    assert 'action="/limits' not in listed
    assert "Limit Orders check held by ada, 1 waiting: the bank moves" in dashboard
    assert 'flowlet_limit_waiting{state="check",workflow="Orders"} 1.0' in metrics
    assert 'flowlet_limit_held{state="check",workflow="Orders"} 1.0' in metrics
    assert forbidden.status_code == 403
