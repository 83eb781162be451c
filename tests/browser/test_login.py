"""Logging in and out in a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.visit import IN_THE_BROWSER, Visitor

pytestmark = IN_THE_BROWSER

WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "visitor", [{}, {"java_script_enabled": False}], ids=["scripts", "no scripts"], indirect=True
)


@WITH_AND_WITHOUT_SCRIPTS
async def test_who_is_not_logged_in_is_asked_to_and_comes_back(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.open("/docs?from=a-mail")
    await expect(page).to_have_title("Log in · Flowlet")

    await visitor.log_in(password="wrong")
    await expect(page.get_by_role("alert")).to_have_text("The username or the password is not right.")
    visitor.expect("401")
    await expect(page.get_by_label("Username")).to_have_value("admin")
    await expect(page.get_by_label("Password")).to_be_focused()
    await visitor.log_in()

    await expect(page).to_have_url(f"{visitor.site.url}/docs?from=a-mail")
    await expect(page.get_by_role("heading", level=1)).to_have_text("API")


@WITH_AND_WITHOUT_SCRIPTS
async def test_who_logs_out_is_out(visitor: Visitor) -> None:
    await visitor.enter("/docs")

    await visitor.page.get_by_role("button", name="Log out").click()

    await expect(visitor.page).to_have_url(f"{visitor.site.url}/login")
    await visitor.open("/docs")
    await expect(visitor.page).to_have_title("Log in · Flowlet")


async def test_everything_can_be_done_from_the_keyboard(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.open("/login?next=/docs")

    await expect(page.get_by_label("Username")).to_be_focused()
    await page.keyboard.type("admin")
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{visitor.site.url}/docs")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("main")).to_be_focused()


async def test_a_link_on_another_site_finds_who_is_logged_in(visitor: Visitor) -> None:
    await visitor.enter("/docs")
    here = f"{visitor.site.url}/docs?from=elsewhere"
    # "localhost" is another site than 127.0.0.1, though the same server answers.
    await visitor.page.goto(f"{visitor.site.url.replace('127.0.0.1', 'localhost')}/login")
    await visitor.page.evaluate("address => location.assign(address)", here)

    await expect(visitor.page).to_have_title("API · Flowlet")

    assert visitor.page.url == here
    visitor.expect("another host was asked")


async def test_the_login_hinders_nobody_and_fits_every_window(visitor: Visitor) -> None:
    await visitor.open("/login")
    await visitor.look_around()

    await visitor.log_in(password="wrong")
    await expect(visitor.page.get_by_role("alert")).to_be_visible()
    await visitor.look_around()

    visitor.expect("401")


async def test_an_error_hinders_nobody_and_fits_every_window(visitor: Visitor) -> None:
    await visitor.open(f"/{'long' * 100}")
    visitor.expect("404")

    await visitor.look_around()
