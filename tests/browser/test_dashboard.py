"""The dashboard and the executors in a browser: how they look, that they follow what happens, also without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import open_store
from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
LONG_TEXT = "a" * 200


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application of its own for each test, in which nothing has been started."""
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'flowlet.db'}"
    async with open_site(url) as site:
        yield site


async def fill_dashboard(site: ServedSite) -> None:
    """Start workflows that wait, fail, and that no executor serves; register lost and stopped executors."""
    await site.app.start_and_wait("Order <1>", states=["decide"], vars={"items": []}, group="default")
    broken = await site.app.start_and_wait("Order <1>", states=["decide"], vars={"items": []}, group="default")
    await site.app.operations.move(broken.id, "broken", username="ada", reason=f"{LONG_TEXT} no cover")
    await site.app.start("Order <1>", key=LONG_TEXT, vars={"items": []})
    async with open_store(site.app.settings.database_url) as store:
        now = store.clock.now()
        for name, status in ((f"worker-{LONG_TEXT}", "LOST"), ("former", "STOPPED"), ("other", "RUNNING")):
            groups, types, times = ("default", "shop"), ("Order <1>", LONG_TEXT), (now, now, now + 60_000_000)
            await store.executors.register(ExecutorRecord(name, name, "host", 7, groups, types, 4, status, *times))


async def test_the_dashboard_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    await fill_dashboard(browser_tab.site)
    await browser_tab.open_as_admin("/")
    await expect(browser_tab.page.get_by_text("1 waiting for a decision")).to_be_visible()

    await browser_tab.check_layout_and_accessibility()


async def test_the_executors_are_accessible_and_fit_every_window(browser_tab: BrowserTab) -> None:
    await fill_dashboard(browser_tab.site)
    await browser_tab.open_as_admin("/executors")
    await expect(browser_tab.page.get_by_role("heading", name="other")).to_be_visible()

    await browser_tab.check_layout_and_accessibility()


async def test_a_fresh_install_is_accessible_and_then_shows_what_is_started(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/")
    await expect(page.get_by_text("No workflows yet")).to_be_visible()
    await browser_tab.check_layout_and_accessibility("#dashboard")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await browser_tab.site.app.start("Order <1>", vars={"items": []}, group="default")

    await expect(page.get_by_text("1 waiting for a decision")).to_be_visible()
    await expect(page.locator("#recent")).to_contain_text("check → decide")


async def test_the_dashboard_follows_what_happens_and_nothing_moves(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.site.app.start("Order <1>", vars={"items": []})
    await browser_tab.open_as_admin("/?span=day")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    tops = await page.evaluate("[...document.querySelectorAll('.aside > .card')].map(each => each.offsetTop)")
    await page.get_by_role("searchbox").fill("half typed")

    await browser_tab.site.app.start_and_wait("Order <1>", states=["decide"], vars={"items": []}, group="default")

    await expect(page.locator('.statuses a[href$="WAITING"]')).to_contain_text("1")
    await expect(page.locator("#next")).to_contain_text("decision deadline")
    await expect(page.get_by_role("link", name="Day", exact=True)).to_have_attribute("aria-current", "true")
    await expect(page.get_by_role("searchbox")).to_have_value("half typed")
    after = await page.evaluate("[...document.querySelectorAll('.aside > .card')].map(each => each.offsetTop)")
    assert after == tops


@WITHOUT_SCRIPTS
async def test_without_scripts_it_leads_everywhere(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await fill_dashboard(browser_tab.site)
    await browser_tab.open_as_admin("/")

    await page.get_by_role("link", name="Day", exact=True).click()
    await expect(page.get_by_text("-24 h").first).to_be_visible()
    await page.get_by_role("searchbox").fill(LONG_TEXT)
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("heading", name="1 workflow")).to_be_visible()
    await page.get_by_role("link", name="Dashboard").click()
    await page.get_by_role("link", name="slots busy").click()
    await expect(page.get_by_role("heading", name="Executors")).to_be_visible()
