"""The dashboard and the executors in a browser: how they look, that they follow what happens, also without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import open_store
from tests.browser.visit import IN_THE_BROWSER, Site, Visitor, opened_site

pytestmark = IN_THE_BROWSER

WITHOUT_SCRIPTS = pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)
LONG = "a" * 200


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """An application of its own for each test, in which nothing has been started."""
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'flowlet.db'}"
    async with opened_site(url) as site:
        yield site


async def fill(site: Site) -> None:
    """Start workflows that wait, fail, and are queued for nobody; and let executors be lost and stopped."""
    await site.app.start_and_wait("Order <1>", states=["decide"], vars={"items": []}, group="default")
    broken = await site.app.start_and_wait("Order <1>", states=["decide"], vars={"items": []}, group="default")
    await site.app.operations.move(broken.id, "broken", username="ada", reason=f"{LONG} no cover")
    await site.app.start("Order <1>", key=LONG, vars={"items": []})
    async with open_store(site.app.settings.database_url) as store:
        now = store.clock.now()
        for name, status in ((f"worker-{LONG}", "LOST"), ("former", "STOPPED"), ("other", "RUNNING")):
            groups, types, times = ("default", "shop"), ("Order <1>", LONG), (now, now, now + 60_000_000)
            await store.executors.register(ExecutorRecord(name, name, "host", 7, groups, types, 4, status, *times))


async def test_the_dashboard_hinders_nobody_and_fits_every_window(visitor: Visitor) -> None:
    await fill(visitor.site)
    await visitor.enter("/")
    await expect(visitor.page.get_by_text("1 waits for an answer")).to_be_visible()

    await visitor.look_around()


async def test_the_executors_hinder_nobody_and_fit_every_window(visitor: Visitor) -> None:
    await fill(visitor.site)
    await visitor.enter("/executors")
    await expect(visitor.page.get_by_role("heading", name="other")).to_be_visible()

    await visitor.look_around()


async def test_a_fresh_install_hinders_nobody_and_then_shows_what_is_started(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.enter("/")
    await expect(page.get_by_text("Nothing has been started yet")).to_be_visible()
    await visitor.look_around("#dashboard")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await visitor.site.app.start("Order <1>", vars={"items": []}, group="default")

    await expect(page.get_by_text("1 waits for an answer")).to_be_visible()
    await expect(page.locator("#recent")).to_contain_text("check → decide")


async def test_the_dashboard_follows_what_happens_and_nothing_moves(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.site.app.start("Order <1>", vars={"items": []})
    await visitor.enter("/?span=day")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    tops = await page.evaluate("[...document.querySelectorAll('.aside > .card')].map(each => each.offsetTop)")
    await page.get_by_role("searchbox").fill("half typed")

    await visitor.site.app.start_and_wait("Order <1>", states=["decide"], vars={"items": []}, group="default")

    await expect(page.locator('.statuses a[href$="WAITING"]')).to_contain_text("1")
    await expect(page.locator("#next")).to_contain_text("deadline of an answer")
    await expect(page.get_by_role("link", name="Day", exact=True)).to_have_attribute("aria-current", "true")
    await expect(page.get_by_role("searchbox")).to_have_value("half typed")
    after = await page.evaluate("[...document.querySelectorAll('.aside > .card')].map(each => each.offsetTop)")
    assert after == tops


@WITHOUT_SCRIPTS
async def test_without_scripts_it_leads_everywhere(visitor: Visitor) -> None:
    page = visitor.page
    await fill(visitor.site)
    await visitor.enter("/")

    await page.get_by_role("link", name="Day", exact=True).click()
    await expect(page.get_by_text("-24 h")).to_be_visible()
    await page.get_by_role("searchbox").fill(LONG)
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("heading", name="1 workflow")).to_be_visible()
    await page.get_by_role("link", name="Dashboard").click()
    await page.get_by_role("link", name="slots busy").click()
    await expect(page.get_by_role("heading", name="Executors")).to_be_visible()
