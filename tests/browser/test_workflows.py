"""The page of workflows in a browser: found as one types, sorted, followed live, and operated with a preview."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site
from tests.engine.executor_harness import wait_for

pytestmark = mark_browser_tests(__name__)

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

    await browser_tab.open_path("/workflows/bulk?operation=retry&scope=selected&id=1&id=2")
    await browser_tab.page.get_by_role("button", name="Retry 2 workflows").click()

    await expect(browser_tab.page.get_by_text("0 workflows were retried. 2 skipped.")).to_be_visible()
    await browser_tab.check_layout_and_accessibility()


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
    await page.get_by_label("State").fill("check")
    await page.get_by_role("button", name="Apply").click()

    await expect(page.get_by_role("link", name="Search: o-3 (remove)")).to_be_visible()
    await expect(page.get_by_role("link", name="State: check (remove)")).to_be_visible()
    await expect(page.get_by_role("row", name="o-3")).to_be_visible()


async def test_what_happens_is_shown_and_what_is_ticked_stays(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")
    await page.get_by_role("checkbox", name="New").check()
    await page.get_by_label("Type", exact=True).select_option("Order <1>")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.get_by_label("Select 2", exact=True).check()
    await page.get_by_label("Operation").select_option("cancel")

    await start_workflow(browser_tab.site, 4)

    await expect(page.get_by_role("row", name="o-4")).to_be_visible()
    await expect(page.get_by_label("Select 2", exact=True)).to_be_checked()
    await page.get_by_role("button", name="Selected").click()
    await expect(page.get_by_role("heading", name="Cancel 1 workflow?")).to_be_visible()
    await expect(page.get_by_role("row", name="o-2")).to_be_visible()


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
