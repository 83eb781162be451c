"""The pages of definitions in a browser: their looks, how they follow what happens, and how one starts a workflow."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)

DEFINITION_PATH = "/definitions/Order%20%3C1%3E"
WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "browser_tab",
    [{"java_script_enabled": True}, {"java_script_enabled": False}],
    indirect=True,
    ids=["with", "without"],
)


async def start_workflow(browser_tab: BrowserTab) -> int:
    """Return a new workflow that waits for a decision."""
    vars = {"items": [{"sku": "lamp"}]}
    return (await browser_tab.site.app.start_and_wait("Order <1>", states=["decide"], vars=vars, group="default")).id


async def test_the_pages_are_accessible_and_fit_every_window(browser_tab: BrowserTab) -> None:
    await start_workflow(browser_tab)
    await browser_tab.open_as_admin("/definitions")
    await browser_tab.open_path(DEFINITION_PATH)
    await expect(browser_tab.page.locator(".fl-badge").first).to_be_visible()
    await browser_tab.check_layout_and_accessibility()

    await browser_tab.open_path("/definitions")
    await browser_tab.check_layout_and_accessibility("#definitions")
    await browser_tab.open_path(DEFINITION_PATH.replace("definitions", "start"))
    await browser_tab.check_layout_and_accessibility("form.start-form")


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_workflow_is_started_by_the_form_once_its_faults_are_corrected(browser_tab: BrowserTab) -> None:
    page, key = browser_tab.page, uuid.uuid4().hex
    await browser_tab.open_as_admin("/definitions")
    await page.get_by_role("link", name="New workflow for Order <1>").click()
    await page.get_by_label("Items").fill('[{"sku": 1}]')
    await page.get_by_label("Paid").check()
    await page.get_by_label("Business key").fill(key)
    await page.get_by_role("button", name="Start").click()

    await expect(page.get_by_label("Items")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("Paid")).to_be_checked()
    await page.get_by_label("Items").fill('[{"sku": "lamp"}]')
    await page.get_by_label("Not before").fill("2126-01-02T03:04")
    await page.get_by_role("button", name="Start").dblclick()

    await expect(page.get_by_role("heading", level=1)).to_contain_text(key)
    await expect(page.get_by_text("Next activation")).to_be_visible()
    await browser_tab.open_path(f"/workflows?q={key}")
    await expect(page.locator("#results tbody tr")).to_have_count(1)
    browser_tab.expect_page_error("422")


async def test_figures_follow_what_happens(browser_tab: BrowserTab) -> None:
    page, id = browser_tab.page, await start_workflow(browser_tab)
    await browser_tab.open_as_admin("/definitions")
    await browser_tab.open_path(DEFINITION_PATH)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    row = page.locator("#states tr").filter(has_text="Wait for a decision.")
    before = int(await row.locator("td").first.inner_text())

    await browser_tab.site.app.operations.answer(id, "done", form={"approved": True}, username="ada")

    await expect(row.locator("td").first).to_have_text(str(before - 1))
    share = re.compile(r"\d+ % · ")
    await expect(page.locator("#diagram .fl-label").filter(has_text="Approve")).to_contain_text(share)
    await expect(page.locator("#counts")).to_contain_text("Finished")


async def test_a_state_of_the_diagram_leads_to_its_workflows(browser_tab: BrowserTab) -> None:
    id = await start_workflow(browser_tab)
    await browser_tab.open_as_admin("/definitions")
    await browser_tab.open_path(DEFINITION_PATH)

    await browser_tab.page.get_by_role("link", name="decide (manual)").click()

    await expect(browser_tab.page.locator(f"#workflow-{id}")).to_be_visible()
    await expect(browser_tab.page.get_by_role("list", name="Filters")).to_contain_text("State: decide")


async def test_the_diagram_is_zoomed_and_dragged(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/definitions")
    await browser_tab.open_path(DEFINITION_PATH)
    canvas = page.locator("#diagram")
    before = await page.locator(".fl-diagram").evaluate("each => each.getBoundingClientRect().width")

    for _ in range(7):
        await page.get_by_role("button", name="Zoom in").click()
    await canvas.scroll_into_view_if_needed()
    box = await canvas.bounding_box()
    assert box
    await page.mouse.move(box["x"] + 200, box["y"] + 200)
    left = await canvas.evaluate("each => each.scrollLeft")
    await page.mouse.down()
    await page.mouse.move(box["x"] + 150, box["y"] + 200, steps=3)
    await page.mouse.up()

    assert await page.locator(".fl-diagram").evaluate("each => each.getBoundingClientRect().width") > 2 * before
    await expect(canvas).to_have_js_property("scrollLeft", left + 50)
    await page.get_by_role("radio", name="Fit").check(force=True)
    assert await page.locator(".fl-diagram").evaluate("each => each.getBoundingClientRect().width") == before
