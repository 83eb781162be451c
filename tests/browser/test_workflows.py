"""The page of workflows in a browser: found as one types, sorted, followed live, and operated with a preview."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site
from tests.engine.executor_harness import wait_for

pytestmark = mark_browser_tests(__name__)

ADD_GONE_ROWS_SCRIPT = """rows => {
    const row = id => `<tr id="other-${id}" class="gone"><td></td></tr>`;
    for (let id = 0; id < 200; id++) rows.insertAdjacentHTML("beforeend", row(id));
}"""

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with workflows of its own for each test."""
    url = f"sqlite:///{tmp_path_factory.mktemp('workflows') / 'flowlet.db'}"
    async with open_site(url) as site:
        for number in range(1, 4):
            await start_workflow(site, number)
        yield site


async def start_workflow(site: ServedSite, number: int) -> None:
    """Start a workflow, which no executor here runs: its group is another one."""
    await site.app.start("Order <1>", external_id=f"o-{number}", key=f"A-{number} <b>")


async def test_the_page_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    await start_workflow(browser_tab.site, int("1" * 200))
    await browser_tab.open_as_admin("/workflows?status=NEW")
    await browser_tab.page.get_by_text("More filters").click()
    await browser_tab.page.get_by_label("Select 1", exact=True).check()

    await browser_tab.check_layout_and_accessibility()


async def test_the_preview_and_the_result_are_accessible_and_fit_every_window(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/workflows")
    await browser_tab.page.get_by_label("Operation").select_option("cancel")
    await browser_tab.page.get_by_role("button", name="All 3").click()
    await browser_tab.check_layout_and_accessibility()

    await browser_tab.site.app.operations.pause(1, username="ada")
    await browser_tab.open_path("/workflows/bulk?operation=resume&scope=selected&id=1&id=2")
    await expect(browser_tab.page.get_by_text("1 can be resumed; 1 cannot.")).to_be_visible()
    await browser_tab.page.get_by_role("button", name="Resume 1 workflow").click()

    await expect(browser_tab.page.get_by_text("1 workflow was resumed. 1 skipped.")).to_be_visible()
    await browser_tab.check_layout_and_accessibility()


async def test_live_updates_are_turned_off_and_on(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")
    other = await page.context.new_page()
    await other.goto(page.url)
    for window in (page, other):
        await expect(window.get_by_text("Live", exact=True)).to_be_visible()

    await page.get_by_role("button", name="Live updates").click()
    await expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    await start_workflow(browser_tab.site, 4)
    await expect(other.get_by_role("button", name="1 new: show")).to_be_visible()

    await expect(page.locator("[data-held]")).to_be_hidden()
    await page.get_by_role("button", name="Live updates").click()
    await expect(page.get_by_role("button", name="1 new: show")).to_be_visible()


async def test_a_fault_is_accessible(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/workflows")
    await browser_tab.open_path("/workflows?variable=amount&created_from=soon&sort=colour")
    browser_tab.expect_page_error("400")

    await expect(browser_tab.page.get_by_label("Created from")).to_have_value("soon")
    await browser_tab.check_layout_and_accessibility()


async def test_slash_finds_as_one_types_and_the_operation_is_on_what_is_seen(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")

    await page.keyboard.press("/")
    await page.keyboard.type("o-2")

    await expect(page.get_by_role("heading", name="1 workflow")).to_be_visible()
    await expect(page).to_have_url(f"{browser_tab.site.url}/workflows?q=o-2")
    await page.get_by_role("button", name="All 1").click()
    await expect(page.get_by_role("heading", name="Pause 1 workflow?")).to_be_visible()
    await page.get_by_label("Reason").fill("stock-taking")
    await page.get_by_role("button", name="Pause 1 workflow").dblclick()
    await expect(page.get_by_text("1 workflow was paused.")).to_be_visible()
    await expect(page.get_by_role("row", name="o-2")).to_contain_text("Paused")


async def test_a_status_and_a_type_are_chosen_with_a_click_and_taken_away_again(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")

    await page.get_by_role("checkbox", name="Finished").check()
    await expect(page.get_by_text("No matching workflows")).to_be_visible()
    await page.get_by_label("Type", exact=True).select_option("Order <1>")
    await expect(page.locator("[data-events]")).to_have_attribute("data-events", "workflowType=Order+%3C1%3E")
    await page.get_by_role("link", name="Finished (remove)").click()

    await expect(page.get_by_role("heading", name="3 workflows")).to_be_visible()
    await expect(page.get_by_label("Type", exact=True)).to_have_value("Order <1>")


async def test_a_filter_that_is_applied_keeps_what_was_typed_before(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")
    await page.get_by_role("searchbox").fill("o-3")
    await expect(page.get_by_role("heading", name="1 workflow")).to_be_visible()

    await page.get_by_text("More filters").click()
    await page.get_by_label("State", exact=True).fill("check")
    await page.get_by_role("button", name="Apply").click()

    await expect(page.get_by_role("link", name="Search: o-3 (remove)")).to_be_visible()
    await expect(page.get_by_role("link", name="State: check (remove)")).to_be_visible()
    await expect(page.get_by_role("row", name="o-3")).to_be_visible()


async def test_rows_and_ticks_stay_where_they_are_and_new_rows_are_shown_on_request(browser_tab: BrowserTab) -> None:
    page, second = browser_tab.page, browser_tab.page.locator("#workflow-2")
    await browser_tab.open_as_admin("/workflows")
    await page.get_by_role("checkbox", name="New").check()
    await page.get_by_label("Type", exact=True).select_option("Order <1>")
    await expect(page.locator("[data-events]")).to_have_attribute("data-events", "workflowType=Order+%3C1%3E")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.get_by_label("Select 2", exact=True).check()
    await page.get_by_label("Operation").select_option("cancel")
    top = await second.evaluate("each => each.getBoundingClientRect().top")

    await start_workflow(browser_tab.site, 4)
    await expect(page.get_by_role("button", name="1 new: show")).to_be_visible()
    await expect(page.get_by_role("heading", name="4 workflows")).to_be_visible()
    await browser_tab.site.app.operations.cancel(3, username="ada")
    await expect(page.locator("#workflow-3.gone")).to_be_visible()
    await expect(page.get_by_role("row", name="o-4")).to_have_count(0)
    # Texts of several sizes in a cell may make a row a pixel higher.
    assert await second.evaluate("each => each.getBoundingClientRect().top") == pytest.approx(top, abs=2)
    await browser_tab.check_layout_and_accessibility("#results")

    await page.get_by_role("button", name="Live updates").click()
    await expect(page.locator(".live")).to_have_text("Not live")
    await start_workflow(browser_tab.site, 5)
    await expect(page.get_by_role("button", name="1 new: show")).to_be_visible()
    await page.get_by_role("button", name="Live updates").click()
    await page.get_by_role("button", name="2 new: show").click()
    await expect(page.get_by_role("row", name="o-5")).to_be_visible()
    await expect(page.locator("#workflow-3")).to_have_count(0)
    await expect(page.get_by_label("Select 2", exact=True)).to_be_checked()

    await page.get_by_label("Select all on this page").check()
    await expect(page.get_by_role("button", name="Selected (4)…")).to_be_visible()
    await page.get_by_label("Select all on this page").uncheck()
    await page.get_by_label("Select 2", exact=True).check()
    await expect(page.get_by_label("Select all on this page")).to_have_js_property("indeterminate", True)
    await page.get_by_role("button", name="Selected (1)…").click()
    await expect(page.get_by_role("heading", name="Cancel 1 workflow?")).to_be_visible()
    await expect(page.get_by_role("row", name="o-2")).to_be_visible()


async def test_a_list_that_is_long_or_only_looked_at_is_shown_as_it_is(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await page.clock.install()
    await browser_tab.open_as_admin("/workflows")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await page.locator("#rows").evaluate(ADD_GONE_ROWS_SCRIPT)
    await start_workflow(browser_tab.site, 4)
    await expect(page.get_by_role("row", name="o-4")).to_be_visible()
    await expect(page.locator("tr.gone")).to_have_count(0)

    await page.clock.fast_forward("06:00")
    await start_workflow(browser_tab.site, 5)

    await expect(page.get_by_role("row", name="o-5")).to_be_visible()


async def test_workflows_are_moved_with_a_preview_of_the_state_and_of_what_can_be_moved(
    browser_tab: BrowserTab,
) -> None:
    page = browser_tab.page
    await browser_tab.site.app.operations.cancel(3, username="ada")
    await browser_tab.open_as_admin("/workflows")
    await page.get_by_label("Operation").select_option("move")
    await page.get_by_role("button", name="All 3").click()

    await page.get_by_label("Move to").select_option("decide")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_text("2 can be moved; 1 cannot.")).to_be_visible()
    await expect(page.get_by_text("1: it has ended as CANCELLED")).to_be_visible()
    await browser_tab.check_layout_and_accessibility()
    await page.get_by_label("Reason").fill("checked by telephone")
    await page.get_by_label("Yes, apply to all workflows").check()
    await page.get_by_role("button", name="Move 2 workflows").click()

    await expect(page.get_by_text("2 workflows were moved. 1 skipped.")).to_be_visible()
    await browser_tab.open_path("/workflows/1")
    await expect(page.locator("#details")).to_contain_text("checked by telephone")


async def test_a_late_look_does_not_undo_a_search(browser_tab: BrowserTab) -> None:
    page, held = browser_tab.page, asyncio.get_running_loop().create_future()

    async def hold_request(route: Route) -> None:
        if route.request.resource_type == "fetch" and not held.done():
            held.set_result(route)
        else:
            await route.continue_()

    await browser_tab.open_as_admin("/workflows")
    await page.route(f"{browser_tab.site.url}/workflows", hold_request)
    await start_workflow(browser_tab.site, 4)
    route = await wait_for(held)
    await page.get_by_role("searchbox").fill("o-2")
    await expect(page.get_by_role("heading", name="1 workflow", exact=True)).to_be_visible()
    await page.get_by_label("Select 2", exact=True).check()

    async with page.expect_response(lambda answer: "q=o-2" in answer.url) as later:
        await route.continue_()
        await start_workflow(browser_tab.site, 5)
    await (await later.value).finished()

    await expect(page.get_by_label("Select 2", exact=True)).to_be_checked()
    await expect(page.get_by_role("row", name="o-3")).to_be_hidden()


@WITHOUT_SCRIPTS
async def test_without_scripts_everything_is_a_form_or_a_link(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")

    await page.get_by_role("link", name="Created").click()
    await page.get_by_role("link", name="Created").click()
    await expect(page.get_by_role("row").nth(1)).to_contain_text("o-1")
    await page.get_by_role("checkbox", name="New").check()
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("link", name="New (remove)")).to_be_visible()
    await page.get_by_label("Select 1", exact=True).check()
    await page.get_by_label("Select 3", exact=True).check()
    await page.get_by_label("Operation").select_option("cancel")
    await page.get_by_role("button", name="Selected").click()
    await page.get_by_label("Also cancel their open children").check()
    await page.get_by_role("button", name="Cancel 2 workflows").click()

    await expect(page.get_by_text("2 workflows were cancelled.")).to_be_visible()
    await expect(page.get_by_role("heading", name="1 workflow")).to_be_visible()
    await expect(page.get_by_role("row").nth(1)).to_contain_text("o-2")


@WITHOUT_SCRIPTS
async def test_without_scripts_pages_are_turned(browser_tab: BrowserTab) -> None:
    for number in range(4, 53):
        await start_workflow(browser_tab.site, number)
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")

    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("row", name="o-1")).to_be_visible()
    await expect(page.get_by_role("row", name="o-52")).to_have_count(0)
    await page.get_by_role("link", name="Newest").click()

    await expect(page.get_by_role("row", name="o-52")).to_be_visible()


@pytest.mark.parametrize("browser_tab", [{"timezone_id": "Asia/Tokyo"}], indirect=True)
async def test_times_and_filters_are_in_the_browser_s_zone_or_in_utc(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    created = await browser_tab.site.app.start("Order <1>", external_id="zoned", key="zoned")
    line = page.locator(".timeline > li time").last
    await browser_tab.open_as_admin(f"/workflows/{created.id}")
    at = datetime.fromisoformat(await line.get_attribute("datetime") or "")

    await expect(line).to_have_text(f"{at.astimezone(ZoneInfo('Asia/Tokyo')):%H:%M:%S}")
    await page.get_by_role("button", name="Times in Asia/Tokyo").click()
    await expect(page.get_by_role("button", name="Times in UTC")).to_be_visible()
    await expect(line).to_have_text(f"{at:%H:%M:%S}")
    await page.get_by_role("button", name="Times in UTC").click()
    await browser_tab.open_path("/workflows?created_from=2020-01-01T00:00:00Z")
    field = page.get_by_label("Created from (Asia/Tokyo)")
    await expect(field).to_have_value("2020-01-01T09:00")
    await field.fill("2020-01-01T10:30")
    await page.get_by_role("button", name="Apply").click()

    await expect(page).to_have_url(re.compile("created_from=2020-01-01T01%3A30%3A00.000Z"))
    await expect(field).to_have_value(re.compile("^2020-01-01T10:30"))
    await expect(page.get_by_role("row", name="zoned")).to_be_visible()
