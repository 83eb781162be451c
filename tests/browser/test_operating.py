"""Every operation on a workflow by its button, and on a user by its form, with scripts and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio
from playwright.async_api import expect

from flowlet.errors import Fail
from flowlet.registry import Registry
from flowlet.roles import Role
from flowlet.server import Flowlet
from flowlet.settings import Settings
from flowlet.states import Workflow, end, error, state
from flowlet.store.opening import open_store
from flowlet.transitions import Next
from flowlet.users import Users
from tests.browser.visit import IN_THE_BROWSER, PASSWORD, Site, Visitor
from tests.web.served import served

pytestmark = IN_THE_BROWSER

WITH_AND_WITHOUT_SCRIPTS = pytest.mark.parametrize(
    "visitor", [{}, {"java_script_enabled": False}], indirect=True, ids=["scripts", "no scripts"]
)


class Bank:
    """What lends nothing as long as it is closed."""

    is_open = False


def loans(bank: Bank) -> ModuleType:
    """Return a workflow that asks the bank an hour after it has begun."""

    @state(start=True, next=["lend"])
    async def ask() -> Next:
        return lend.after("1 hour")

    @state(next=["lent", "refused"])
    async def lend() -> str:
        if not bank.is_open:
            raise Fail("the bank is closed")
        return "lent"

    made = ModuleType("loans")
    vars(made).update(workflow=Workflow("Loans"), ask=ask, lend=lend, lent=end(), refused=error())
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def bank() -> Bank:
    """A bank that is closed."""
    return Bank()


@pytest_asyncio.fixture(loop_scope="session")
async def site(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """An application that runs loans."""
    registry = Registry()
    registry.add(loans(bank))
    url = f"sqlite:///{tmp_path_factory.mktemp('loans') / 'flowlet.db'}"
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=PASSWORD, grace="0s"))
    async with served(app) as client:
        await client.get("/healthz")
        yield Site(str(client.base_url).rstrip("/"), app, client)


async def press(visitor: Visitor, name: str, told: str) -> None:
    """Press a button, and see what is said after it."""
    await visitor.page.get_by_role("button", name=name, exact=True).click()
    await expect(visitor.page.get_by_role("status").filter(has_text=told)).to_be_visible()


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_workflow_is_held_let_go_on_run_now_and_retried(visitor: Visitor, bank: Bank) -> None:
    page, app = visitor.page, visitor.site.app
    loan = await app.start_and_wait("Loans", states=["lend"])
    await visitor.enter(f"/workflows/{loan.id}")

    await press(visitor, "Pause", "Paused.")
    await expect(page.locator("#standing")).to_contain_text("Paused")
    await press(visitor, "Resume", "It goes on.")
    await press(visitor, "Run now", "It runs now.")
    assert (await app.wait(loan.id)).status == "FAILED"
    await page.reload()
    await expect(page.locator("#facts")).to_contain_text("the bank is closed")
    bank.is_open = True
    await press(visitor, "Retry", "It is tried again.")

    assert (await app.wait(loan.id)).state == "lent"
    await page.reload()
    for line in ("Paused", "Resumed", "Run now", "Retried"):
        await expect(page.locator(".timeline > li").filter(has_text=line).first).to_contain_text("by admin")


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_workflow_is_moved_later_and_by_force(visitor: Visitor) -> None:
    page, loan = visitor.page, await visitor.site.app.start_and_wait("Loans", states=["lend"])
    await visitor.enter(f"/workflows/{loan.id}")

    await page.get_by_text("Move by force…").click()
    await page.locator("#force").get_by_label("State").select_option("ask")
    await page.get_by_label("Why by force").fill("asked for too much")
    await page.locator("#force").get_by_label("Not before").fill("2 days")
    await press(visitor, "Move it by force", "Moved by force to ask.")
    await expect(page.locator("#facts")).to_contain_text("in 1 d")
    await page.locator("#move").get_by_label("Reason").fill("asked for less")
    await page.locator("#move").get_by_label("Not before").fill("10 minutes")
    await press(visitor, "lend (move there)", "Moved to lend.")

    assert (await visitor.site.app.wait(loan.id, states=["lend"])).status == "IN_PROGRESS"
    lines = page.locator(".timeline > li").filter(has_text="by admin")
    await expect(lines.filter(has_text="asked for too much")).to_be_visible()
    await expect(lines.filter(has_text="asked for less")).to_be_visible()


@WITH_AND_WITHOUT_SCRIPTS
async def test_a_user_is_given_a_role_let_out_let_in_and_deleted(visitor: Visitor) -> None:
    page, name = visitor.page, "hedy"
    async with open_store(visitor.site.app.settings.database_url) as store:
        users = Users(store)
        user = await users.create(name, PASSWORD, Role.VIEWER, by="test")
        await users.keys.add("nightly", username=name, role=Role.VIEWER, by="test")
        await users.log_in(name, PASSWORD)
    await visitor.enter(f"/users/{user.id}")

    await page.get_by_label("Role").select_option("Operator")
    await press(visitor, "Change the role", "hedy is operator now.")
    await press(visitor, "End all", "have ended")
    await page.get_by_text("Revoke…").click()
    await press(visitor, "Revoke the key", "revoked")
    await visitor.open(f"/users/{user.id}")
    await page.get_by_role("button", name="Reset the password").click()
    await expect(page.get_by_role("status", name=f"The password of {name}")).to_be_visible()
    await page.get_by_text("Disable…").click()
    await press(visitor, "Disable", "is disabled")
    await press(visitor, "Enable", "can log in again")
    await page.get_by_text("Delete…").click()
    await press(visitor, "Delete the user", "is deleted")

    await expect(page.get_by_role("link", name=name)).to_have_count(0)
