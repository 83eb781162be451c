"""The inbox in a browser: how it looks, answering with and without scripts."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from flowlet.instance.instance import Instance
from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "browser_tab", [{}, {"java_script_enabled": False}], indirect=True, ids=["js", "no-js"]
)


async def start_waiting_workflow(browser_tab: BrowserTab) -> Instance:
    """Return a new workflow that waits for a decision."""
    return await browser_tab.site.app.start_and_wait("Order <1>", states=["decide"], group="default", key="A <1>")


def locate_question(browser_tab: BrowserTab, instance: Instance) -> Locator:
    return browser_tab.page.locator(f"#waits-{instance.id}")


async def test_the_page_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    instance, _ = await start_waiting_workflow(browser_tab), await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin("/inbox")
    await locate_question(browser_tab, instance).get_by_text("Answer…").click()

    await browser_tab.check_layout_and_accessibility()


@WITH_AND_WITHOUT_SCRIPTS
async def test_an_answer_with_a_fault_is_corrected_and_sent_and_the_others_stay(browser_tab: BrowserTab) -> None:
    instance, other = await start_waiting_workflow(browser_tab), await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin("/inbox")
    asked = locate_question(browser_tab, instance)

    await asked.get_by_text("Answer…").click()
    await asked.get_by_role("button", name="Approve").click()
    await expect(asked.get_by_label("Approved")).to_have_attribute("aria-invalid", "true")
    await asked.get_by_label("Approved").select_option("Yes")
    await asked.get_by_role("button", name="Approve").click()

    await expect(browser_tab.page.get_by_text(f"Answered #{instance.id}: Approve.")).to_be_visible()
    await expect(locate_question(browser_tab, instance)).to_have_count(0)
    await expect(locate_question(browser_tab, other)).to_be_visible()
    ended = await browser_tab.site.app.wait(instance.id, timeout="20s")
    assert (ended.state, ended.status) == ("done", "FINISHED")
    browser_tab.expect_page_error("422")
