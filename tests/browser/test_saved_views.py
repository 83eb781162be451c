"""Saved views in a browser: the row above the list fits every window, and a view is saved without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
LONG_NAME = "A view with a name as long as it may be, " + "x" * 79


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with a workflow, and no views."""
    async with open_site(f"sqlite:///{tmp_path_factory.mktemp('views') / 'flowlet.db'}") as site:
        await site.app.start("Order <1>", external_id="o-1")
        yield site


async def test_the_row_of_views_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    views = browser_tab.site.app.operations.views
    for name in ("Failed <1>", LONG_NAME):
        await views.create(name, "status=FAILED", username="admin", is_shared=True)
    await browser_tab.open_as_admin("/workflows?status=FAILED&sort=id&view=2")
    await browser_tab.page.get_by_text("Save view…").click()

    await browser_tab.check_layout_and_accessibility()


@WITHOUT_SCRIPTS
async def test_a_view_is_saved_and_opened_without_scripts(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows?status=FAILED&sort=-modified")
    await page.get_by_text("Save view…").click()
    await page.get_by_label("Name of the new view").fill("Failed lately")
    await page.get_by_role("button", name="Save view", exact=True).click()

    await expect(page.get_by_role("status").filter(has_text="View saved.")).to_be_visible()
    address = f"{browser_tab.site.url}/workflows?status=FAILED&sort=-modified&view=1"
    await expect(page).to_have_url(address)
    await browser_tab.open_path("/inbox")
    await browser_tab.open_path("/workflows")
    await page.get_by_role("link", name="Failed lately").click()
    await expect(page).to_have_url(address)
