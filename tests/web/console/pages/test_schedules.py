"""The pages of schedules: made in two steps, paused, fired and backfilled."""

from __future__ import annotations

import re

import httpx

from flowlet.workflow.schedule import Schedule
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_console import WorkflowConsole


async def submit(browser: httpx.AsyncClient, page: str, path: str, **fields: str) -> httpx.Response:
    """Send a form of a page, with its token and its version."""
    shown = await browser.get(page)
    version = re.search(r'name="version" value="(\d+)"', shown.text)
    hidden = {"token": read_csrf_token(shown), **({"version": version[1]} if version else {})}
    return await browser.post(path, data={**hidden, **fields})


async def test_a_schedule_is_saved_only_after_its_next_times_were_shown(workflow_console: WorkflowConsole) -> None:
    browser, path = workflow_console.operator, "/schedules/new?type=Orders"
    fields = {
        "name": "nightly",
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "overlap": "skip",
        "catch_up": "last",
    }
    schedules = workflow_console.console.app_harness.services.operations.schedules

    faulty = await submit(browser, path, path, **{**fields, "cron": "30 2"})
    first = await submit(browser, path, path, **fields)
    digest = re.search(r'name="previewed" value="(\w+)"', first.text)
    assert digest
    changed = await submit(browser, path, path, **{**fields, "cron": "0 4 * * *"}, previewed=digest[1])
    saved = await submit(browser, path, path, **fields, previewed=digest[1])

    assert faulty.status_code == 422
    assert "has to have five fields" in faulty.text
    assert (first.status_code, first.text.count("T02:30+0")) == (200, 10)
    assert (changed.status_code, changed.text.count("T04:00+0")) == (200, 10)
    assert saved.status_code == 303
    assert [(one.name, one.spec, one.created_by) for one in await schedules.list_all()] == [
        ("nightly", "30 2 * * *", "hedy")
    ]
    listed = await browser.get("/schedules")
    assert "nightly" in listed.text


async def test_a_schedule_is_paused_fired_and_backfilled_on_its_page(workflow_console: WorkflowConsole) -> None:
    browser = workflow_console.operator
    schedules = workflow_console.console.app_harness.services.operations.schedules
    made = await schedules.create("Orders", Schedule("30 2 * * *", name="nightly"), username="ada")
    page = f"/schedules/{made.id}"

    await submit(browser, page, f"{page}/pause", reason="the archive moves")
    paused = await browser.get(page)
    await submit(browser, page, f"{page}/resume")
    fired = await submit(browser, page, f"{page}/fire")
    await submit(browser, page, f"{page}/backfill", **{"from": "2026-03-28T00:00", "to": "2026-03-30T00:00"})
    stale = await browser.post(f"{page}/delete", data={"token": read_csrf_token(paused), "version": "1"})
    shown = await browser.get(page)

    assert "the archive moves" in paused.text
    assert fired.status_code == stale.status_code == 303
    assert "2026-03-29T02:30+00:00" in shown.text
    assert len(re.findall(r'id="started-\d+"', shown.text)) == 3
    assert "was changed" in shown.text


async def test_a_viewer_sees_schedules_and_no_buttons(sqlite_workflow_console: WorkflowConsole) -> None:
    schedules = sqlite_workflow_console.console.app_harness.services.operations.schedules
    made = await schedules.create("Orders", Schedule("30 2 * * *", name="nightly"), username="ada")

    page = await sqlite_workflow_console.viewer.get(f"/schedules/{made.id}")

    assert page.status_code == 200
    assert "Fire now" not in page.text
    assert (await sqlite_workflow_console.viewer.get("/schedules/new?type=Orders")).status_code == 403
