"""The parts that pages are made of, all on one page: how they look, and what the script adds to them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests
from tests.browser.gallery_page import GalleryPage, open_gallery

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
READ_STYLE_SCRIPT = "(element, names) => names.map(name => getComputedStyle(element)[name])"
FORCED_STATES = (
    (".tabs a[aria-current]", ".tabs a:not([aria-current])", ["borderBottomColor"]),
    (".pause[aria-pressed=false]", ".icon-button:not(.pause)", ["outlineStyle"]),
    (".button:disabled", ".button:enabled:not(.primary)", ["color", "borderTopColor"]),
    (".button.primary", ".button:enabled:not(.primary)", ["borderTopWidth"]),
    (".live:not(.connected)", ".badge", ["borderTopStyle"]),
)
"""A control in a state, one that is not, and in which styles they differ where backgrounds are not drawn."""
DONE_NOTICE = "The workflow moves on to <PackItems>."


@pytest_asyncio.fixture(loop_scope="session")
async def gallery_page() -> GalleryPage:
    """What the page shows."""
    return GalleryPage()


@pytest_asyncio.fixture(loop_scope="session")
async def site(gallery_page: GalleryPage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with the page of all parts."""
    url = f"sqlite:///{tmp_path_factory.mktemp('gallery') / 'flowlet.db'}"
    async with open_gallery(url, gallery_page) as site:
        yield site


async def trigger_event(browser_tab: BrowserTab, number: int = 1) -> None:
    """Start a workflow, which sends an event."""
    order = {"workflowType": "Order <1>", "externalId": f"o-{number}"}
    url = f"{browser_tab.site.url}/api/workflows"
    answer = await browser_tab.page.request.post(url, data=order, headers={"Origin": browser_tab.site.url})
    assert answer.status == 201, await answer.text()


async def test_every_part_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/gallery")
    await browser_tab.page.get_by_text("Cancel…").click()

    await browser_tab.check_layout_and_accessibility()


async def test_forced_colours_keep_every_state_of_a_control(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await page.emulate_media(forced_colors="active")
    await browser_tab.open_as_admin("/gallery")
    await page.get_by_role("button", name="Live updates").click()
    await page.locator(".button:not(.primary)").first.evaluate("button => { button.disabled = true; }")

    for selector, other, names in FORCED_STATES:
        drawn = [await page.locator(each).first.evaluate(READ_STYLE_SCRIPT, names) for each in (selector, other)]
        assert drawn[0] != drawn[1], selector
    await browser_tab.open_path("/workflows")
    await expect(page.locator(".nav a[aria-current]")).to_have_css("outline-style", "solid")
    await expect(page.locator(".nav a:not([aria-current])").first).to_have_css("outline-style", "none")


@WITHOUT_SCRIPTS
async def test_without_scripts_a_question_is_answered_and_the_result_is_shown_once(
    browser_tab: BrowserTab, gallery_page: GalleryPage
) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/gallery")

    await page.get_by_text("Cancel…").click()
    await page.get_by_label("Reason").first.fill("ordered twice")
    await page.get_by_role("button", name="Cancel workflow").click()

    await expect(page.get_by_role("status").filter(has_text="moves on")).to_have_text(DONE_NOTICE)
    await browser_tab.open_path("/gallery")
    await expect(page.get_by_text(DONE_NOTICE)).to_have_count(0)
    assert gallery_page.sent_reasons == ["ordered twice"]


@WITHOUT_SCRIPTS
async def test_without_scripts_a_search_is_an_address(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/gallery")

    await browser_tab.page.get_by_role("searchbox").fill("Order3")
    await browser_tab.page.get_by_role("button", name="Search").click()

    await expect(browser_tab.page).to_have_url(f"{browser_tab.site.url}/gallery?q=Order3")
    await expect(browser_tab.page.get_by_text("1 found")).to_be_visible()
    await expect(browser_tab.page.get_by_role("time").first).to_have_text(re.compile(r"2 min( \d+ s)?"))


async def test_slash_goes_to_the_search_which_finds_as_one_types(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/gallery")

    await page.keyboard.press("/")
    await page.keyboard.type("Order3")

    await expect(page.get_by_text("1 found")).to_be_visible()
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await expect(page.get_by_role("searchbox")).to_have_value("Order3")
    await expect(page).to_have_url(f"{browser_tab.site.url}/gallery?q=Order3")


async def test_what_happens_is_shown_and_what_one_has_begun_stays(
    browser_tab: BrowserTab, gallery_page: GalleryPage
) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/gallery")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.get_by_label("Select Order5").check()
    await page.get_by_label("Not before").fill("in an hour")

    gallery_page.row_names = ["Order9", *gallery_page.row_names[2:]]
    await trigger_event(browser_tab)

    await expect(page.get_by_role("row", name="Order9")).to_be_visible()
    await expect(page.get_by_role("row", name="Order1")).to_have_count(0)
    assert await page.locator("[name=id]:checked").evaluate_all("all => all.map(each => each.value)") == ["Order5"]
    await expect(page.get_by_label("Not before")).to_have_value("in an hour")


async def test_the_focus_stays_on_a_row_that_moves(browser_tab: BrowserTab, gallery_page: GalleryPage) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/gallery")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.get_by_label("Select Order5").focus()

    gallery_page.row_names = ["Order5", "Order1"]
    await trigger_event(browser_tab)

    await expect(page.get_by_text("2 found")).to_be_visible()
    await expect(page.get_by_label("Select Order5")).to_be_focused()


async def test_many_events_at_once_are_one_look(browser_tab: BrowserTab, gallery_page: GalleryPage) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/gallery")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    before = gallery_page.request_count

    for number in range(10):
        await trigger_event(browser_tab, number)
    gallery_page.row_names = ["Order9"]
    await trigger_event(browser_tab, 10)

    await expect(page.get_by_text("1 found")).to_be_visible()
    assert gallery_page.request_count - before <= 4


async def test_a_lost_connection_is_shown_and_what_was_missed_is_fetched(
    browser_tab: BrowserTab, gallery_page: GalleryPage
) -> None:
    page = browser_tab.page
    await page.clock.install()
    await page.route("**/api/events*", lambda route: route.fulfill(status=503))
    await browser_tab.open_as_admin("/gallery")
    await expect(page.get_by_text("Reconnecting…")).to_be_visible()
    gallery_page.row_names = ["Order9"]

    await page.unroute("**/api/events*")
    await page.clock.fast_forward("00:05")

    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_text("1 found")).to_be_visible()
    browser_tab.expect_page_error("503")


async def test_times_stay_fresh_and_are_the_readers_own(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await page.clock.install()
    await browser_tab.open_as_admin("/gallery")
    time = page.locator(".list time").first
    await expect(time).to_have_text(re.compile(r"2 min( \d+ s)? ago"))

    await page.clock.fast_forward("01:00")

    await expect(time).to_have_text(re.compile(r"3 min( \d+ s)? ago"))
    await expect(page.locator(".facts time").last).to_have_text("20 s ago")


@pytest.mark.parametrize("browser_tab", [{"timezone_id": "Asia/Tokyo"}], indirect=True)
async def test_the_exact_time_is_in_the_readers_zone(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/gallery")

    await expect(browser_tab.page.locator("time").first).to_have_attribute("title", re.compile(r"GMT\+9"))


@pytest.mark.parametrize("browser_tab", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True)
async def test_a_button_copies_the_text_beside_it(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/gallery")

    await browser_tab.page.get_by_role("button", name="Copy").click()

    await expect(browser_tab.page.get_by_role("button", name="Copied")).to_be_visible()
    assert '"order": "A-10291"' in await browser_tab.page.evaluate("navigator.clipboard.readText()")


async def test_a_form_is_sent_once_however_often_it_is_clicked(
    browser_tab: BrowserTab, gallery_page: GalleryPage
) -> None:
    await browser_tab.open_as_admin("/gallery")

    await browser_tab.page.get_by_role("button", name="Run now").dblclick()

    await expect(browser_tab.page.get_by_text(DONE_NOTICE)).to_be_visible()
    assert len(gallery_page.sent_reasons) == 1
