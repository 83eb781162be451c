"""The pages of users, keys, the account and the settings in a browser."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.store.opening import open_store
from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)


async def add_disabled_user(browser_tab: BrowserTab, username: str, role: Role = Role.VIEWER) -> None:
    """Create a disabled user with a key, as another process would."""
    async with open_store(browser_tab.site.app.settings.database_url) as store:
        users = Users(store)
        await users.create(username, "correct horse", role, actor="test")
        await users.keys.create("nightly build of everything there is", username=username, role=role, actor="test")
        await users.disable(username, actor="test")


async def test_the_pages_are_accessible_and_fit_every_window(browser_tab: BrowserTab) -> None:
    await add_disabled_user(browser_tab, "somebody.with-a-name.that-is-long")
    await browser_tab.open_as_admin("/users")
    for _ in range(2):
        await browser_tab.page.get_by_label("Username").fill("another-one.who-is-made-twice")
        await browser_tab.page.get_by_role("button", name="Add user").click()
    await expect(browser_tab.page.get_by_role("alert").first).to_contain_text("A password is shown only once")
    await browser_tab.check_layout_and_accessibility()
    await browser_tab.page.get_by_role("link", name="somebody.with-a-name.that-is-long").click()
    await browser_tab.page.get_by_text("Delete…").click()
    await browser_tab.page.get_by_text("Revoke…").click()

    await browser_tab.check_layout_and_accessibility("main")
    await browser_tab.open_path("/keys")
    await browser_tab.page.get_by_label("Name").fill("shop")
    await browser_tab.page.get_by_role("button", name="Create key").click()
    await browser_tab.check_layout_and_accessibility("main")
    await browser_tab.open_path("/account")
    await browser_tab.check_layout_and_accessibility("main")
    await browser_tab.open_path("/settings")
    await browser_tab.check_layout_and_accessibility(".facts", ".settings tr:nth-child(-n + 3)")
    browser_tab.expect_page_error("422")


@pytest.mark.parametrize("browser_tab", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True)
async def test_a_new_key_is_copied_and_gone_with_the_page(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/keys")
    await page.get_by_label("Name").fill("copied")
    await page.get_by_role("button", name="Create key").click()
    await expect(page.get_by_role("status").filter(has_text="API key copied")).to_be_visible()

    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = await page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"flk_[a-z0-9]{8}_\w{43}", key)
    assert (await browser_tab.site.client.get("/api/me", headers={"x-api-key": key})).json()["username"] == "admin"

    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("A key is shown only once")
    await browser_tab.open_path("/keys")
    await expect(page.locator("#secret")).to_have_count(0)
    assert key not in await page.content()
    browser_tab.expect_page_error("409")


@WITHOUT_SCRIPTS
async def test_without_scripts_a_user_is_added_and_logs_in_with_the_password_shown(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/users")
    await page.get_by_label("Username").fill("hedy")
    await page.get_by_label("Role").select_option("Operator")
    await page.get_by_role("button", name="Add user").click()
    password = await page.locator("#secret").inner_text()

    await page.get_by_role("button", name="Log out").click()
    await browser_tab.log_in(username="hedy", password=password)
    await page.get_by_role("link", name="hedy").click()
    await page.get_by_label("Current password").fill("a guess of it")
    for label in ("New password", "Repeat new password"):
        await page.get_by_label(label, exact=True).fill("four words make one")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_label("Current password")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Current password").fill(password)
    for label in ("New password", "Repeat new password"):
        await page.get_by_label(label, exact=True).fill("four words make one")
    await page.get_by_role("button", name="Change password").click()

    await expect(page.get_by_text("Password changed.")).to_be_visible()
    await expect(page.get_by_role("link", name="Users")).to_have_count(0)
    browser_tab.expect_page_error("422")
