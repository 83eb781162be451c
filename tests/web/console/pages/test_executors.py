"""The page of executors: the live ones with what they run, and those that are gone."""

from __future__ import annotations

import re

from flowlet.store.dialects.batch import ClaimRequest
from tests.web.console.pages.test_dashboard import MINUTE_MICROSECONDS, execute_sql, register_executor
from tests.web.console.workflow_console import WorkflowConsole


async def test_a_live_one_is_shown_with_what_it_runs(workflow_console: WorkflowConsole) -> None:
    store = workflow_console.console.app_harness.services.store
    record = await register_executor(workflow_console, groups=("default", "night"))
    ids = [await workflow_console.create_instance(key=f"A-{number}") for number in range(3)]
    await store.instances.claim(ClaimRequest(record.id, ("default",), ("Orders",), 2, store.clock.now()))
    await store.executors.renew_lease(record.id, lease_microseconds=MINUTE_MICROSECONDS, claimed_at=store.clock.now())

    page = await workflow_console.viewer.get("/executors")

    assert "1 live · 2 of 4 slots busy" in page.text
    assert '<span class="badge ok">Running</span>' in page.text
    assert 'aria-label="2 busy"' in page.text
    assert re.findall(r'id="running-(\d+)"', page.text) == [str(id) for id in ids[:2]]
    assert "none yet" not in page.text
    for link in ('href="/workflows?group=night"', 'href="/definitions/Orders"', f'href="/workflows/{ids[0]}"'):
        assert link in page.text


async def test_more_than_it_shows_is_said(sqlite_workflow_console: WorkflowConsole) -> None:
    store = sqlite_workflow_console.console.app_harness.services.store
    record = await register_executor(sqlite_workflow_console, slots=10)
    for _ in range(10):
        await sqlite_workflow_console.create_instance()
    await store.instances.claim(ClaimRequest(record.id, ("default",), ("Orders",), 10, store.clock.now()))

    page = await sqlite_workflow_console.viewer.get("/executors")

    assert len(re.findall(r'id="running-\d+"', page.text)) == 8
    assert "and 2 more: " in page.text
    assert "all slots are busy" in page.text


async def test_a_busy_one_whose_instances_were_not_read_is_not_said_to_be_free(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    elder, younger = (
        await register_executor(sqlite_workflow_console, "elder", slots=2_000),
        await register_executor(sqlite_workflow_console, slots=512),
    )
    await register_executor(sqlite_workflow_console, "idle")
    columns = "workflow_type, definition_version, executor_group, priority, state, vars, next_activation, created"
    values = "lower(hex(randomblob(16))), 'EXECUTING', :id, created + :later"
    copy = (
        f"INSERT INTO flowlet_workflow (external_id, status, executor_id, modified, {columns}) "
        f"SELECT {values}, {columns} FROM flowlet_workflow WHERE id <= :most"
    )
    await sqlite_workflow_console.create_instance()
    for most in [2**power for power in range(10)]:
        await execute_sql(sqlite_workflow_console, copy, {"id": elder.id, "later": 0, "most": most})
    await execute_sql(sqlite_workflow_console, copy, {"id": younger.id, "later": MINUTE_MICROSECONDS, "most": 2})

    page = (await sqlite_workflow_console.viewer.get("/executors")).text

    card = page.partition('id="worker-1"')[2].partition("</section>")[0]
    assert "Idle." not in card
    assert '<a href="/workflows?status=EXECUTING">2 running</a>' in card
    assert page.count("Idle.") == 1


async def test_its_id_is_a_place_that_links_lead_to_whatever_it_is_called(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await sqlite_workflow_console.create_instance()
    now = sqlite_workflow_console.console.app_harness.services.store.clock.now()
    await register_executor(sqlite_workflow_console, "50% #1")
    await register_executor(sqlite_workflow_console, "gone #2", lease_until=now - MINUTE_MICROSECONDS)

    executors, dashboard = [(await sqlite_workflow_console.viewer.get(path)).text for path in ("/executors", "/")]

    for name in ("50%25%20%231-1", "gone%20%232-1"):
        assert f' id="{name}"' in executors
        assert f' id="executor-{name}"' in dashboard
        assert f'href="/executors#{name}"' in dashboard
    assert not re.findall(r' id="[^"]* [^"]*"', executors + dashboard)
    assert not re.findall(r'href="[^"]*#[^"]*[ #][^"]*"', executors + dashboard)


async def test_the_gone_ones_are_below_with_what_they_still_hold(sqlite_workflow_console: WorkflowConsole) -> None:
    now = sqlite_workflow_console.console.app_harness.services.store.clock.now()
    await register_executor(sqlite_workflow_console, "stopped", status="STOPPED")
    await register_executor(sqlite_workflow_console, "silent", lease_until=now - MINUTE_MICROSECONDS)
    await register_executor(sqlite_workflow_console, "working")

    page = (await sqlite_workflow_console.viewer.get("/executors")).text

    live, gone = page.split(">Stopped</h2>")
    assert ('id="working-1"' in live, 'id="silent-1"' in gone, 'id="stopped-1"' in gone) == (True, True, True)
    assert '<span class="badge err">Lost</span>' in gone
    assert '<span class="badge idle">Stopped</span>' in gone


async def test_without_any_it_says_how_to_start_one(sqlite_workflow_console: WorkflowConsole) -> None:
    page = await sqlite_workflow_console.viewer.get("/executors")

    assert page.status_code == 200
    assert "No executor is running" in page.text
    assert "flowlet serve my_workflows.py" in page.text
    assert ">Stopped</h2>" not in page.text
