"""Six approvals of three persons in two teams, decided from the inbox alone: four eyes, on behalf of, an escalation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio
from playwright.async_api import expect
from pydantic import BaseModel

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.engine.people.due_questions import process_due_questions
from flowlet.instance.action import ActionKind
from flowlet.store.opening import Store, open_store
from flowlet.store.people.tables import INBOX
from flowlet.workflow.question import team
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site

pytestmark = mark_browser_tests(__name__)

PASSWORD = "four words make one"


class Claim(BaseModel):
    requested_by: str
    amount: int


@manual(
    start=True,
    title="Pay {amount} to {requested_by}",
    next={"paid": "Pay", "refused": "Refuse"},
    to=team("finance"),
    not_by="requested_by",
    approvals={"paid": 2},
    remind="1 day",
    escalate={"3 days": team("board")},
)
async def approve() -> None: ...


def build_claims() -> ModuleType:
    module = ModuleType("claims", "Pay claims.")
    vars(module).update(approve=approve, paid=end(), refused=end(), workflow=Workflow("Claims", vars=Claim))
    return module


@pytest.fixture(scope="module")
def claims_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('claims') / 'flowlet.db'}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(claims_url: str) -> AsyncIterator[ServedSite]:
    """An application with claims, in place of the other one."""
    async with open_site(claims_url, build_claims()) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def store(claims_url: str, site: ServedSite) -> AsyncIterator[Store]:
    """The database of the application, with three persons in two teams."""
    async with open_store(claims_url) as store:
        users = Users(store)
        known = {user.username for user in await users.list_users()}
        for name in {"ann", "bob", "lea", "portal"} - known:
            await users.create(name, PASSWORD, Role.OPERATOR, actor="admin")
        await site.app.operations.teams.set_members("finance", ["ann", "bob"], username="admin")
        await site.app.operations.teams.set_members("board", ["lea"], username="admin")
        yield store


async def decide(tab: BrowserTab, username: str, decisions: dict[int, str]) -> None:
    """Log in, press these buttons in the inbox of the person's teams, and log out."""
    page, path = tab.page, "/inbox?whose=teams"
    await tab.open_path(f"/login?next={path}")
    await tab.log_in(username=username, password=PASSWORD)
    await page.wait_for_url(tab.site.url + path)
    for id, button in decisions.items():
        await page.locator(f"#waits-{id}").get_by_role("button", name=button, exact=True).click()
        await expect(page.get_by_text(f"Answered #{id}: {button}.")).to_be_visible()
    await leave(tab)


async def leave(tab: BrowserTab) -> None:
    """Leave the page, whose stream of events would be refused without a session, and forget the session."""
    await tab.page.goto("about:blank")
    await tab.page.context.clear_cookies()


async def test_six_approvals_are_decided_from_the_inbox_alone(browser_tab: BrowserTab, store: Store) -> None:
    tab, site = browser_tab, browser_tab.site
    key = await Users(store).keys.create(
        "portal", username="portal", role=Role.OPERATOR, actor="admin", may_act_on_behalf=True
    )
    requesters = ("kim", "ann", "bob", "kim", "kim", "kim")
    ids = [(await site.app.start("Claims", {"requested_by": name, "amount": 9})).id for name in requesters]
    one, of_ann, of_bob, by_portal, escalated, refused = ids

    async def vote_on_behalf(person: str, id: int) -> int:
        headers = {"X-API-Key": key.text, "On-Behalf-Of": person}
        body = {"state": "paid"}
        return (await site.client.post(f"/api/workflows/{id}/state", json=body, headers=headers)).status_code

    assert [await vote_on_behalf("bob", of_bob), await vote_on_behalf("ann", by_portal)] == [409, 200]
    await decide(tab, "ann", {one: "Pay", of_bob: "Pay", escalated: "Pay", refused: "Refuse"})
    await decide(tab, "bob", {one: "Pay", of_ann: "Pay", by_portal: "Pay"})
    sql = f"UPDATE {INBOX} SET escalate_at = 1, remind_at = 1, escalations = '[[1, [\"board\"]]]'"
    await store.connections.write(lambda session: session.execute(sql))
    await process_due_questions(store, "maintenance")
    await tab.open_path("/login?next=/inbox")
    await tab.log_in()
    card = tab.page.locator(f"#waits-{escalated}")
    await expect(card).to_contain_text("Escalated to board")
    await expect(card).to_contain_text("Reminded once")
    await expect(card).to_contain_text("Pay: 1 of 2 (ann)")
    await leave(tab)
    await decide(tab, "lea", {of_ann: "Pay", of_bob: "Pay", escalated: "Pay"})

    decided = {
        id: [
            (line.on_behalf_of or line.username, line.to_state)
            for line in await store.queries.read_history(id)
            if line.kind in (ActionKind.VOTED, ActionKind.ANSWERED)
        ]
        for id in ids
    }
    assert decided == {
        one: [("ann", "paid"), ("bob", "paid")],
        of_ann: [("bob", "paid"), ("lea", "paid")],
        of_bob: [("ann", "paid"), ("lea", "paid")],
        by_portal: [("ann", "paid"), ("bob", "paid")],
        escalated: [("ann", "paid"), ("lea", "paid")],
        refused: [("ann", "refused")],
    }


async def test_the_audit_is_accessible_and_fits_every_window(browser_tab: BrowserTab, store: Store) -> None:
    long = AuditEntry("a.rather.long.username@example.org", AuditAction.WORKFLOW_FORCED, "7", "Claims: approve → paid")
    await store.audit.write(long, now=store.clock.now())

    await browser_tab.open_as_admin("/audit")

    await expect(browser_tab.page.get_by_role("link", name="#7")).to_be_visible()
    await browser_tab.check_layout_and_accessibility("main")
