"""Logging in and out in a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)

WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "browser_tab", [{}, {"java_script_enabled": False}], ids=["scripts", "no scripts"], indirect=True
)


@WITH_AND_WITHOUT_SCRIPTS
async def test_who_is_not_logged_in_is_asked_to_and_comes_back(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_path("/docs?from=a-mail")
    await expect(page).to_have_title("Log in · Flowlet")

    await browser_tab.log_in(password="wrong")
    await expect(page.get_by_role("alert")).to_have_text("Wrong username or password.")
    browser_tab.expect_page_error("401")
    await expect(page.get_by_label("Username")).to_have_value("admin")
    await expect(page.get_by_label("Password")).to_be_focused()
    await browser_tab.log_in()

    await expect(page).to_have_url(f"{browser_tab.site.url}/docs?from=a-mail")
    await expect(page.get_by_role("heading", level=1)).to_have_text("API")


@WITH_AND_WITHOUT_SCRIPTS
async def test_who_logs_out_is_out(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/docs")

    await browser_tab.page.get_by_role("button", name="Log out").click()

    await expect(browser_tab.page).to_have_url(f"{browser_tab.site.url}/login")
    await browser_tab.open_path("/docs")
    await expect(browser_tab.page).to_have_title("Log in · Flowlet")


async def test_everything_can_be_done_from_the_keyboard(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_path("/login?next=/docs")

    await expect(page.get_by_label("Username")).to_be_focused()
    await page.keyboard.type("admin")
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{browser_tab.site.url}/docs")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("main")).to_be_focused()


async def test_a_link_on_another_site_finds_who_is_logged_in(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/docs")
    here = f"{browser_tab.site.url}/docs?from=elsewhere"
    # "localhost" is another site than 127.0.0.1, though the same server answers.
    await browser_tab.page.goto(f"{browser_tab.site.url.replace('127.0.0.1', 'localhost')}/login")
    await browser_tab.page.evaluate("address => location.assign(address)", here)

    await expect(browser_tab.page).to_have_title("API · Flowlet")

    assert browser_tab.page.url == here
    browser_tab.expect_page_error("another host was asked")


async def test_the_login_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    await browser_tab.open_path("/login")
    await browser_tab.check_layout_and_accessibility()

    await browser_tab.log_in(password="wrong")
    await expect(browser_tab.page.get_by_role("alert")).to_be_visible()
    await browser_tab.check_layout_and_accessibility()

    browser_tab.expect_page_error("401")


async def test_an_error_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    await browser_tab.open_path(f"/{'long' * 100}")
    browser_tab.expect_page_error("404")

    await browser_tab.check_layout_and_accessibility()
