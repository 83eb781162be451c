"""Every operation on a workflow by its button, and on a user by its form, with scripts and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio
from playwright.async_api import expect

from flowlet.accounts.roles import Role
from flowlet.app import Flowlet
from flowlet.auth.users import Users
from flowlet.definition.registry import Registry
from flowlet.errors import Fail
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.workflow.states import Next, end, error, state
from flowlet.workflow.workflow import Workflow
from tests.browser.browser_tab import ADMIN_PASSWORD, BrowserTab, ServedSite, mark_browser_tests
from tests.engine.executor_harness import wait_for
from tests.web.http_server import serve_app

pytestmark = mark_browser_tests(__name__)

WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "browser_tab", [{}, {"java_script_enabled": False}], indirect=True, ids=["scripts", "no scripts"]
)


class LoanBank:
    """What lends nothing as long as it is closed, and does not answer once if it is asleep."""

    def __init__(self) -> None:
        self.is_open = False
        self.is_asleep = False
        self.was_asked = asyncio.Event()


def build_loan_module(bank: LoanBank) -> ModuleType:
    """Return a workflow that asks the bank an hour after it has begun."""

    @state(start=True, next=["lend"])
    async def ask() -> Next:
        return lend.after("1 hour")

    @state(next=["lent", "refused"])
    async def lend() -> str:
        bank.was_asked.set()
        if bank.is_asleep:
            bank.is_asleep = False
            await asyncio.Event().wait()
        if not bank.is_open:
            raise Fail("the bank is closed")
        return "lent"

    made = ModuleType("loans")
    vars(made).update(workflow=Workflow("Loans"), ask=ask, lend=lend, lent=end(), refused=error())
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def bank() -> LoanBank:
    """A bank that is closed."""
    return LoanBank()


@pytest_asyncio.fixture(loop_scope="session")
async def site(bank: LoanBank, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application that runs loans."""
    registry = Registry()
    registry.add(build_loan_module(bank))
    url = f"sqlite:///{tmp_path_factory.mktemp('loans') / 'flowlet.db'}"
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=ADMIN_PASSWORD, grace="0s"))
    async with serve_app(app) as client:
        await client.get("/healthz")
        yield ServedSite(str(client.base_url).rstrip("/"), app, client)


async def let_hours_pass(app: Flowlet, id: int) -> None:
    """Date the beginning of an attempt back, so that it runs far too long."""
    hours = {"hours": 2 * 3_600_000_000, "id": id}
    sql = "UPDATE flowlet_workflow SET claimed = claimed - :hours, modified = modified - :hours WHERE id = :id"
    async with open_store(app.settings.database_url) as store:
        await store.connections.write(lambda session: session.execute(sql, hours))


async def click_button(browser_tab: BrowserTab, name: str, expected_notice: str) -> None:
    """Press a button, and see what is said after it."""
    await browser_tab.page.get_by_role("button", name=name, exact=True).click()
    await expect(browser_tab.page.get_by_role("status").filter(has_text=expected_notice)).to_be_visible()


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_workflow_is_held_let_go_on_run_now_and_retried(browser_tab: BrowserTab, bank: LoanBank) -> None:
    page, app = browser_tab.page, browser_tab.site.app
    loan = await app.start_and_wait("Loans", states=["lend"])
    await browser_tab.open_as_admin(f"/workflows/{loan.id}")

    await click_button(browser_tab, "Pause", "Paused.")
    await expect(page.locator("#status")).to_contain_text("Paused")
    await click_button(browser_tab, "Resume", "Resumed.")
    await click_button(browser_tab, "Run now", "Scheduled to run now.")
    assert (await app.wait(loan.id)).status == "FAILED"
    await page.reload()
    await expect(page.locator("#facts")).to_contain_text("the bank is closed")
    bank.is_open = True
    await click_button(browser_tab, "Retry", "Retry scheduled.")

    assert (await app.wait(loan.id)).state == "lent"
    await page.reload()
    for line in ("Paused", "Resumed", "Run now", "Retried"):
        await expect(page.locator(".timeline > li").filter(has_text=line).first).to_contain_text("by admin")


@WITH_AND_WITHOUT_SCRIPTS
async def test_an_attempt_that_hangs_is_aborted_and_a_failure_closed(browser_tab: BrowserTab, bank: LoanBank) -> None:
    page, app, bank.is_asleep = browser_tab.page, browser_tab.site.app, True
    errors = page.get_by_role("navigation", name="Main").get_by_role("link", name="Errors")
    loan = await app.start_and_wait("Loans", states=["lend"])
    await app.operations.wake(loan.id, username="ada")
    await wait_for(bank.was_asked.wait())
    await let_hours_pass(app, loan.id)
    await browser_tab.open_as_admin("/")

    alert = page.get_by_role("listitem").filter(has_text="it runs too long")
    await expect(alert).to_contain_text("Stuck")
    await alert.get_by_role("link", name=f"#{loan.id} Loans").click()
    await page.get_by_text("Abort and retry…").click()
    await page.locator("form[action$='/abort']").get_by_label("Reason").fill("the bank sleeps")
    await click_button(browser_tab, "Abort and retry", "Attempt aborted: it runs again.")
    assert (await app.wait(loan.id)).status == "FAILED"
    await page.reload()
    await expect(errors).to_have_text("Errors1")
    await page.get_by_text("Close failure…").click()
    await page.locator("form[action$='/acknowledge']").get_by_label("Reason").fill("paid in cash")
    await page.get_by_role("button", name="Close failure", exact=True).click()

    await expect(errors).to_have_text("Errors")
    await expect(page.locator("#status")).to_contain_text("Failed")
    for line in ("the bank sleeps", "paid in cash"):
        await expect(page.locator(".timeline > li").filter(has_text=line)).to_contain_text("by admin")


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_workflow_is_moved_later_and_by_force(browser_tab: BrowserTab) -> None:
    page, loan = browser_tab.page, await browser_tab.site.app.start_and_wait("Loans", states=["lend"])
    await browser_tab.open_as_admin(f"/workflows/{loan.id}")

    await page.get_by_text("Force move…").click()
    await page.locator("#force").get_by_label("State").select_option("ask")
    await page.get_by_label("Reason for forcing").fill("asked for too much")
    await page.locator("#force").get_by_label("Not before").fill("2 days")
    await click_button(browser_tab, "Force move", "Forced move to ask.")
    await expect(page.locator("#facts")).to_contain_text("in 1 d")
    await page.locator("#move").get_by_label("Reason").fill("asked for less")
    await page.locator("#move").get_by_label("Not before").fill("10 minutes")
    await click_button(browser_tab, "lend (move to this state)", "Moved to lend.")

    assert (await browser_tab.site.app.wait(loan.id, states=["lend"])).status == "IN_PROGRESS"
    lines = page.locator(".timeline > li").filter(has_text="by admin")
    await expect(lines.filter(has_text="asked for too much")).to_be_visible()
    await expect(lines.filter(has_text="asked for less")).to_be_visible()


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_user_is_given_a_role_let_out_let_in_and_deleted(browser_tab: BrowserTab) -> None:
    page, name = browser_tab.page, "hedy"
    async with open_store(browser_tab.site.app.settings.database_url) as store:
        users = Users(store)
        user = await users.create(name, ADMIN_PASSWORD, Role.VIEWER, actor="test")
        await users.keys.create("nightly", username=name, role=Role.VIEWER, actor="test")
        await users.log_in(name, ADMIN_PASSWORD)
    await browser_tab.open_as_admin(f"/users/{user.id}")

    await page.get_by_label("Role").select_option("Operator")
    await click_button(browser_tab, "Change role", "hedy is now operator.")
    await click_button(browser_tab, "End all sessions", "have ended")
    await page.get_by_text("Revoke…").click()
    await click_button(browser_tab, "Revoke key", "revoked")
    await browser_tab.open_path(f"/users/{user.id}")
    await page.get_by_role("button", name="Reset password").click()
    await expect(page.get_by_role("status", name=f"Password of {name}")).to_be_visible()
    await page.get_by_text("Disable…").click()
    await click_button(browser_tab, "Disable", "is disabled")
    await click_button(browser_tab, "Enable", "can log in again")
    await page.get_by_text("Delete…").click()
    await click_button(browser_tab, "Delete user", "deleted")

    await expect(page.get_by_role("link", name=name)).to_have_count(0)
