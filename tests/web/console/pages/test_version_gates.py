"""Workflows that wait for another version: seen on the dashboard, in the list and on their page, and in the metrics."""

from __future__ import annotations

import re
from html import unescape

from flowlet.instance.version_gate import VersionGate, compute_lane
from tests.web.console.pages.test_dashboard import execute_sql, read_card, register_executor
from tests.web.console.pages.test_workflows import read_row_ids
from tests.web.console.workflow_console import WorkflowConsole

REASON = "waits for another version: Orders version 2 has no state 'check'"


async def create_gated(workflow_console: WorkflowConsole) -> int:
    """Create an instance of Orders and leave it as an executor does that cannot run it."""
    id = await workflow_console.create_instance()
    gate = str(VersionGate(compute_lane("Orders", "default"), ("0a1b",)))
    sql = "UPDATE flowlet_workflow SET status = 'IN_PROGRESS', gate = :gate, reason = :reason WHERE id = :id"
    await execute_sql(workflow_console, sql, {"gate": gate, "reason": REASON, "id": id})
    return id


async def test_the_dashboard_counts_them_and_leads_to_them(workflow_console: WorkflowConsole) -> None:
    gated = [await create_gated(workflow_console) for _ in range(2)]
    await workflow_console.create_instance()
    await register_executor(workflow_console)

    page = await workflow_console.viewer.get("/")

    assert "Version Orders 2 wait for another version: deploy one that can run them" in read_card(
        page, "Needs attention"
    )
    (link,) = {unescape(link) for link in re.findall(r'href="([^"]*gated[^"]*)"', page.text)}
    assert read_row_ids(await workflow_console.viewer.get(link)) == gated[::-1]


async def test_the_list_says_what_they_wait_for_and_filters_by_it(workflow_console: WorkflowConsole) -> None:
    gated, other = await create_gated(workflow_console), await workflow_console.create_instance()

    waiting = await workflow_console.viewer.get("/workflows?gated=true")
    others = await workflow_console.viewer.get("/workflows?gated=false")
    wrong = await workflow_console.viewer.get("/workflows?gated=perhaps")

    assert (read_row_ids(waiting), read_row_ids(others)) == ([gated], [other])
    assert "<span>another version</span>" in waiting.text
    assert unescape(waiting.text).count(REASON) == 2
    assert ">Waits for another version<" in waiting.text
    assert "Must be true or false" in wrong.text


async def test_the_page_says_what_it_waits_for_and_offers_to_run_it_now(workflow_console: WorkflowConsole) -> None:
    id = await create_gated(workflow_console)

    page = await workflow_console.operator.get(f"/workflows/{id}")

    assert REASON in unescape(page.text)
    assert "<dt>Waiting for</dt><dd>another version" in page.text
    assert "<dt>Next activation</dt>" not in page.text
    assert f'action="/workflows/{id}/wake"' in page.text


async def test_the_metrics_count_them_by_workflow(workflow_console: WorkflowConsole) -> None:
    for _ in range(2):
        await create_gated(workflow_console)
    await workflow_console.create_instance()

    text = (await workflow_console.console.app_harness.open_client("viewer").get("/metrics")).text

    assert 'flowlet_instances_waiting_for_version{workflow="Orders"} 2.0' in text
