"""The pages of schedules in a browser: made in two steps, paused and fired, with and without scripts."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)

SCRIPTS = pytest.mark.parametrize(
    "browser_tab", [{}, {"java_script_enabled": False}], indirect=True, ids=["with scripts", "without scripts"]
)


async def fill_form(browser_tab: BrowserTab, name: str) -> None:
    page = browser_tab.page
    await page.get_by_role("button", name="New schedule").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Cron").fill("30 2 * * *")
    await page.get_by_label("Time zone").fill("Europe/Berlin")
    await page.get_by_role("button", name="Show next times").click()


@SCRIPTS
async def test_a_schedule_is_made_paused_and_fired(browser_tab: BrowserTab, request: pytest.FixtureRequest) -> None:
    page, name = browser_tab.page, f"nightly-{'plain' if 'without' in request.node.name else 'scripted'}"
    await browser_tab.open_path("/login?next=/schedules")
    await page.get_by_label("Username").fill("admin")
    await page.get_by_label("Password").fill("correct horse")
    await page.get_by_role("button", name="Log in").click()
    await fill_form(browser_tab, name)
    await expect(page.locator("#next-times li")).to_have_count(10)
    await page.get_by_role("button", name="Create schedule").click()
    await expect(page.get_by_role("heading", name=name)).to_be_visible()

    await page.get_by_text("Pause…").click()
    await page.get_by_label("Reason").fill("the archive moves")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("the archive moves")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await page.get_by_text("Fire now…").click()
    await page.get_by_role("button", name="Fire now").click()

    await expect(page.get_by_role("status").filter(has_text=re.compile(r"Started Order <1> #\d+"))).to_be_visible()
    await expect(page.locator("#started tbody tr")).to_have_count(1)


async def test_the_pages_are_accessible_and_fit_every_window(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/schedules")
    await fill_form(browser_tab, "a-schedule-with-a-name-that-is-long-enough-to-wrap-in-a-narrow-window")
    await expect(page.locator("#next-times li")).to_have_count(10)
    await browser_tab.check_layout_and_accessibility("main")
    await page.get_by_role("button", name="Create schedule").click()
    await page.get_by_text("Backfill…").click()
    await browser_tab.check_layout_and_accessibility("main")
    await browser_tab.open_path("/schedules")
    await browser_tab.check_layout_and_accessibility()
