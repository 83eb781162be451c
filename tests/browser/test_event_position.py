"""A page's stream of events begins where the page is up to date, however late its connection comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from flowlet.engine import event_stream
from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site
from tests.engine.executor_harness import wait_for

pytestmark = mark_browser_tests(__name__)

EVENTS = "**/api/events?*"
SET_HIDDEN_SCRIPT = """isHidden => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => isHidden});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


class HeldStreams:
    """The requests of a page for events, or for another address, which get no answer before the test lets them."""

    def __init__(self, page: Page, address: str = EVENTS) -> None:
        self._page = page
        self._address = address
        self._routes: asyncio.Queue[Route] = asyncio.Queue()
        self._is_holding = True

    async def start(self) -> None:
        """Hold every request from now on."""
        await self._page.route(self._address, self._hold_request)

    async def _hold_request(self, route: Route) -> None:
        if self._is_holding:
            self._routes.put_nowait(route)
        else:
            await route.continue_()

    async def wait_for_request(self) -> Route:
        """Return the next request, as soon as the page makes it."""
        route: Route = await wait_for(self._routes.get())
        return route

    async def release(self, route: Route) -> None:
        """Let a request through, and all that come later."""
        self._is_holding = False
        await route.continue_()


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path: Path) -> AsyncIterator[ServedSite]:
    """An application with workflows of its own for each test."""
    async with open_site(f"sqlite:///{tmp_path / 'flowlet.db'}") as site:
        yield site


async def start_order(site: ServedSite, name: str) -> int:
    """Start a workflow, which no executor here runs: its group is another one."""
    return (await site.app.start("Order <1>", external_id=name, key=name)).id


async def cancel_order(site: ServedSite, id: int) -> None:
    await site.app.operations.cancel(id, username="ada")


async def expect_status(page: Page, status: str) -> None:
    await expect(page.locator("#status .badge").first).to_have_text(status)


async def test_what_happens_between_the_page_and_its_stream_is_shown(browser_tab: BrowserTab) -> None:
    page, site, streams = browser_tab.page, browser_tab.site, HeldStreams(browser_tab.page)
    id = await start_order(site, "o-1")
    await streams.start()
    await browser_tab.open_as_admin(f"/workflows/{id}")
    request = await streams.wait_for_request()

    await cancel_order(site, id)
    await expect_status(page, "New")
    await streams.release(request)

    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect_status(page, "Cancelled")


async def test_what_happens_before_any_page_follows_is_shown(browser_tab: BrowserTab) -> None:
    site, streams = browser_tab.site, HeldStreams(browser_tab.page)
    await streams.start()
    await browser_tab.open_as_admin("/workflows")
    request = await streams.wait_for_request()

    await start_order(site, "o-1")
    await streams.release(request)

    await expect(browser_tab.page.get_by_role("row", name="o-1")).to_be_visible()


async def test_a_page_that_was_hidden_misses_nothing_until_its_stream_is_back(browser_tab: BrowserTab) -> None:
    page, site, streams = browser_tab.page, browser_tab.site, HeldStreams(browser_tab.page)
    id = await start_order(site, "o-1")
    await browser_tab.open_as_admin(f"/workflows/{id}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.evaluate(SET_HIDDEN_SCRIPT, True)
    await site.app.operations.pause(id, username="ada")
    await streams.start()

    await page.evaluate(SET_HIDDEN_SCRIPT, False)
    request = await streams.wait_for_request()
    await expect_status(page, "Paused")
    await cancel_order(site, id)
    await streams.release(request)

    await expect_status(page, "Cancelled")


async def test_an_update_that_a_change_of_the_tab_has_overtaken_is_fetched_again(browser_tab: BrowserTab) -> None:
    page, site = browser_tab.page, browser_tab.site
    id = await start_order(site, "o-1")
    updates = HeldStreams(page, f"**/workflows/{id}?tab=history")
    await browser_tab.open_as_admin(f"/workflows/{id}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await updates.start()
    await site.app.operations.pause(id, username="ada")

    request = await updates.wait_for_request()
    await page.get_by_role("link", name="Timeline").click()
    await expect(page.get_by_role("link", name="Timeline")).to_have_attribute("aria-current", "page")
    await updates.release(request)

    # Earlier than by the third beat.
    await expect(page.locator("#status .badge").first).to_have_text("Paused", timeout=5_000)


async def test_a_stream_that_was_refused_begins_anew_where_the_page_is(browser_tab: BrowserTab) -> None:
    page, site, streams = browser_tab.page, browser_tab.site, HeldStreams(browser_tab.page)
    id = await start_order(site, "o-1")
    await page.clock.install()
    await page.route(EVENTS, lambda route: route.fulfill(status=503))
    await browser_tab.open_as_admin(f"/workflows/{id}")
    await expect(page.get_by_text("Reconnecting…")).to_be_visible()
    await page.unroute(EVENTS)
    await site.app.operations.pause(id, username="ada")
    await streams.start()

    await page.clock.fast_forward("00:05")
    request = await streams.wait_for_request()
    await expect_status(page, "Paused")
    await cancel_order(site, id)
    await streams.release(request)

    await expect_status(page, "Cancelled")
    browser_tab.expect_page_error("503")


async def test_after_two_missed_beats_the_page_says_as_of_when_it_is(browser_tab: BrowserTab) -> None:
    page, streams = browser_tab.page, HeldStreams(browser_tab.page)
    await page.clock.install()
    await streams.start()
    await browser_tab.open_as_admin("/errors")
    request = await streams.wait_for_request()

    await page.clock.fast_forward("00:09")
    await expect(page.locator(".live")).to_have_text("Connecting…")
    await page.clock.fast_forward("00:04")
    await expect(page.locator(".live")).to_have_text(re.compile(r"^Not live, as of \d\d:\d\d:\d\d$"))
    await expect(page.locator(".live.connected")).to_have_count(0)
    await streams.release(request)

    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_a_stream_that_has_been_silent_is_opened_again(browser_tab: BrowserTab) -> None:
    page, streams = browser_tab.page, HeldStreams(browser_tab.page)
    await page.clock.install()
    await streams.start()
    await browser_tab.open_as_admin("/errors")
    await streams.wait_for_request()  # and it gets no answer

    await page.clock.fast_forward("00:31")
    await page.clock.fast_forward("00:05")
    await streams.release(await streams.wait_for_request())

    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_the_page_of_an_error_is_not_fetched_again_and_its_stream_goes_on(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows")
    await browser_tab.open_path("/workflows?created_from=soon")
    browser_tab.expect_page_error("400")  # one
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await page.evaluate(SET_HIDDEN_SCRIPT, True)
    async with page.expect_request(EVENTS):
        await page.evaluate(SET_HIDDEN_SCRIPT, False)

    await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_counts_follow_also_what_a_page_has_no_events_of(
    browser_tab: BrowserTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_SECONDS", 0.1)
    page, app = browser_tab.page, browser_tab.site.app
    shown, other = [await start_order(browser_tab.site, name) for name in ("o-1", "o-2")]
    await browser_tab.open_as_admin(f"/workflows/{shown}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.locator("#navigation .count")).to_have_count(0)

    await app.operations.move(other, "broken", username="ada", force=True, reason="no stock")

    await expect(page.get_by_role("link", name="Errors")).to_have_text("Errors1")
    await expect(page.locator("#navigation [aria-current]")).to_have_text("Workflows")


async def test_a_search_misses_nothing_until_its_own_stream_has_begun(browser_tab: BrowserTab) -> None:
    page, site, streams = browser_tab.page, browser_tab.site, HeldStreams(browser_tab.page)
    await start_order(site, "o-1")
    await browser_tab.open_as_admin("/workflows")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await streams.start()
    await page.get_by_label("Type", exact=True).select_option("Order <1>")
    request = await streams.wait_for_request()

    await start_order(site, "o-2")
    await streams.release(request)

    await expect(page.get_by_role("button", name="1 new: show")).to_be_visible()


async def test_each_update_moves_the_position_on(browser_tab: BrowserTab) -> None:
    page, site = browser_tab.page, browser_tab.site
    await browser_tab.open_as_admin("/workflows")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    before = await _read_position(page)

    await start_order(site, "o-1")
    await expect(page.get_by_role("row", name="o-1")).to_be_visible()

    assert await _read_position(page) > before


async def _read_position(page: Page) -> int:
    return int(await page.locator("[data-events]").get_attribute("data-position") or "-1")
