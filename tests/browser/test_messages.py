"""Messages on the page of a workflow in a browser: sent by a form, with and without scripts, and shown unread."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site
from tests.engine.messages import payments

pytestmark = mark_browser_tests(__name__)

WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "browser_tab", [{}, {"java_script_enabled": False}], indirect=True, ids=["js", "no-js"]
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application whose workflow waits for messages."""
    async with open_site(f"sqlite:///{tmp_path_factory.mktemp('site') / 'flowlet.db'}", payments) as site:
        yield site


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_message_with_a_fault_is_corrected_and_sent(browser_tab: BrowserTab) -> None:
    page, app = browser_tab.page, browser_tab.site.app
    instance = await app.start_and_wait("Payments", states=["collect"])
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    form = page.locator("#messages details").filter(has_text="Send payment")

    await form.get_by_label("Amount").fill("much")
    await form.get_by_role("button", name="Send payment").click()
    await expect(form.get_by_label("Amount")).to_have_attribute("aria-invalid", "true")
    await form.get_by_label("Amount").fill("10")
    await form.get_by_role("button", name="Send payment").click()

    await expect(page.get_by_role("status").filter(has_text="Sent payment.")).to_be_visible()
    assert (await app.wait(instance.id, timeout="20s")).state == "paid"
    browser_tab.expect_page_error("422")


async def test_unread_messages_are_accessible_and_fit_every_window(browser_tab: BrowserTab) -> None:
    app = browser_tab.site.app
    instance = await app.start_and_wait("Payments", {"wait": True}, states=["approve"])
    await app.send("payment", {"amount": 1, "fault": "x" * 300}, to=instance.id, key="evt_1", expires="1 day")
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")

    await expect(browser_tab.page.locator("#messages").get_by_text("1 unread")).to_be_visible()
    await browser_tab.page.locator("#messages summary").first.click()
    await browser_tab.check_layout_and_accessibility()


async def test_a_receive_state_is_drawn_accessibly(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/definitions/Payments")

    await expect(browser_tab.page.locator(".fl-state.receive").first).to_be_visible()
    await browser_tab.check_layout_and_accessibility()
