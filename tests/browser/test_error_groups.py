"""The page of errors in a browser: from a group to its preview, and all of it retried, with scripts and without."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.errors import Fail
from flowlet.settings import Settings
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import end, error, state
from flowlet.workflow.workflow import Workflow
from tests.browser.browser_tab import ADMIN_PASSWORD, BrowserTab, ServedSite, mark_browser_tests
from tests.web.http_server import serve_app

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
LONG_MESSAGE = "<b>the answer</b> cannot be read: " + "{'sku': None, 'left': None} " * 12


class Bank:
    """What declines every card as long as it is closed."""

    def __init__(self) -> None:
        self.is_open = False

    def charge(self, card: object) -> None:
        """Charge a card.

        Raises:
            Fail: If the bank is closed.
        """
        if not self.is_open:
            raise Fail(f"card {card} declined")


def build_payment_module(name: str, bank: Bank) -> ModuleType:
    """Return a workflow that charges a card, or waits for another attempt where it has none."""

    @state(start=True, next=["done"])
    async def charge(ctx: Context) -> str:
        if "card" not in ctx.vars:
            raise ValueError(LONG_MESSAGE)
        bank.charge(ctx.vars["card"])
        return "done"

    made = ModuleType("payments")
    workflow = Workflow(name, retry=Retry(limit=3, min="1h", max="1h"))
    vars(made).update(charge=charge, done=end(), workflow=workflow)
    return made


def build_order_module(bank: Bank) -> ModuleType:
    """Return a workflow that ends in an error state while the bank is closed."""

    @state(start=True, next=["paid", "unpaid"], on_error="unpaid")
    async def pay() -> str:
        bank.charge("9000")
        return "paid"

    made = ModuleType("orders")
    workflow = Workflow("Orders", retry=Retry(limit=0))
    vars(made).update(pay=pay, paid=end(), unpaid=error("The order could not be paid."), workflow=workflow)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def bank() -> Bank:
    """A bank that is closed."""
    return Bank()


@pytest_asyncio.fixture(loop_scope="session")
async def site(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application in which three payments have failed alike."""
    registry = Registry()
    registry.add(build_payment_module("Payments", bank))
    registry.add(build_payment_module("Refunds", bank))
    registry.add(build_order_module(bank))
    url = f"sqlite:///{tmp_path_factory.mktemp('errors') / 'flowlet.db'}"
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=ADMIN_PASSWORD, grace="0s"))
    async with serve_app(app) as client:
        await client.get("/healthz")
        for card in (4711, 4712, 4713):
            await app.start_and_wait("Payments", vars={"card": card})
        yield ServedSite(str(client.base_url).rstrip("/"), app, client)


async def retry_error_group(browser_tab: BrowserTab, bank: Bank) -> None:
    """Go from the errors to the group's workflows and back, and retry them all once the bank is open."""
    page = browser_tab.page
    await browser_tab.open_as_admin("/errors")
    await expect(page.get_by_role("link", name="Errors")).to_have_text("Errors3")
    await page.get_by_role("link", name="3 failed").click()
    await expect(page.get_by_role("link", name="Error: Fail: card 4713 declined (remove)")).to_be_visible()
    await expect(page.get_by_role("heading", name="3 workflows")).to_be_visible()
    bank.is_open = True

    await page.get_by_role("link", name="Errors").click()
    await page.get_by_role("link", name="Retry all: Fail: card 4713 declined").click()
    await expect(page.get_by_role("heading", name="Retry 3 workflows?")).to_be_visible()
    await page.get_by_role("button", name="Retry 3 workflows").click()

    await expect(page.get_by_text("3 workflows were retried.")).to_be_visible()
    for id in (1, 2, 3):
        assert (await browser_tab.site.app.wait(id)).status == "FINISHED"
    await browser_tab.open_path("/errors")
    await expect(page.get_by_text("No errors")).to_be_visible()


async def test_a_group_is_retried_and_finishes(browser_tab: BrowserTab, bank: Bank) -> None:
    await retry_error_group(browser_tab, bank)


@WITHOUT_SCRIPTS
async def test_a_group_is_retried_without_scripts(browser_tab: BrowserTab, bank: Bank) -> None:
    await retry_error_group(browser_tab, bank)


async def test_the_page_follows_what_happens_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/errors")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await browser_tab.site.app.start("Refunds")

    await expect(page.get_by_role("heading", name="2 error groups")).to_be_visible()
    await page.get_by_label("Type", exact=True).select_option("Refunds")
    await expect(page.get_by_role("heading", name="1 error group")).to_be_visible()
    await expect(page).to_have_url(f"{browser_tab.site.url}/errors?type=Refunds")
    await page.get_by_text("ValueError: <b>the answer</b>").first.click()
    await expect(page.get_by_role("link", name="1 open")).to_be_visible()
    await browser_tab.check_layout_and_accessibility()


async def test_an_outage_that_left_54_orders_in_an_error_state_is_repaired_in_six_clicks(
    browser_tab: BrowserTab, bank: Bank
) -> None:
    page, app, clicks = browser_tab.page, browser_tab.site.app, 0

    async def click(role: Literal["link", "button"], name: str | re.Pattern[str]) -> None:
        nonlocal clicks
        clicks += 1
        await page.get_by_role(role, name=name).click()

    for _ in range(54):
        await app.start_and_wait("Orders", states=["unpaid"])
    await browser_tab.open_as_admin("/")
    alert = page.locator("#dashboard li").filter(has_text="54 × Orders")
    await expect(alert).to_contain_text("pay: Fail: card 9000 declined")
    await expect(alert).to_contain_text("since")
    await expect(page.locator("#backlog")).to_contain_text(re.compile(r"5[47] created or reopened, 5[47] ended"))
    bank.is_open = True

    await click("link", re.compile("^Errors"))
    group = page.locator("#errors li").first
    await expect(group).to_contain_text("card 9000 declined")
    await expect(group).to_contain_text("Orders in pay")
    await expect(group).to_contain_text("54 failed")
    await expect(group).to_contain_text("54 in 24 h, 54 in the last 2 h")
    clicks += 1
    await group.get_by_role("link", name=re.compile("^#")).click()
    await expect(page.get_by_text("Reason: Fail: card 9000 declined")).to_be_visible()
    await expect(page.locator(".fl-state.current")).to_contain_text("unpaid")
    await click("link", re.compile("^Errors"))
    clicks += 1
    await group.get_by_role("link", name=re.compile("^Retry all")).click()
    await expect(page.get_by_text("54 can be retried")).to_be_visible()
    await click("button", "Retry 54 workflows")

    await expect(page.get_by_text("54 workflows were retried.")).to_be_visible()
    assert clicks <= 6
    await browser_tab.open_path("/workflows?type=Orders&status=FINISHED")
    await expect(page.get_by_role("heading", name="54 workflows")).to_be_visible()
