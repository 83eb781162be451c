"""What is typed into a form in a browser: it outlives tabs, updates, other pages, faults, and the end of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect
from pydantic import BaseModel

from flowlet.instance.instance import Instance
from flowlet.store.opening import open_store
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site
from tests.engine.activation.activation_harness import build_workflow_module

pytestmark = mark_browser_tests(__name__)

COUNT_DRAFTS_SCRIPT = "Object.keys(sessionStorage).filter(name => name.startsWith('flowlet draft ')).length"
TYPED = "the card is valid"


class Expense(BaseModel):
    note: str = ""
    amount: int = 1


class Verdict(BaseModel):
    comment: str = ""
    score: int = 0


def build_expense_module() -> ModuleType:
    """Return a workflow that waits for a decision with a comment."""

    @manual(start=True, next={"paid": "Approve", "refused": "Refuse"}, form=Verdict)
    async def decide() -> None: ...

    workflow = Workflow("Expense", vars=Expense)
    return build_workflow_module(workflow=workflow, decide=decide, paid=end(), refused=end())


def build_deadline_module(name: str, deadline: str) -> ModuleType:
    """Return a workflow that waits for a decision until a deadline."""

    @manual(start=True, next={"paid": "Approve"}, form=Verdict, deadline=deadline, on_deadline="paid")
    async def decide() -> None: ...

    return build_workflow_module(workflow=Workflow(name), decide=decide, paid=end())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with expenses that wait for a decision."""
    url = f"sqlite:///{tmp_path_factory.mktemp('drafts') / 'flowlet.db'}"
    async with open_site(
        url,
        build_expense_module(),
        build_deadline_module("Late", "1 hour"),
        build_deadline_module("Soon", "30 minutes"),
    ) as site:
        yield site


async def start_expense(browser_tab: BrowserTab, name: str = "Expense") -> Instance:
    """Return a new workflow that waits for a decision."""
    return await browser_tab.site.app.start_and_wait(name, states=["decide"], group="default")


async def answer_as_ada(browser_tab: BrowserTab, *instances: Instance) -> None:
    for instance in instances:
        await browser_tab.site.app.operations.answer(instance.id, "paid", form={"score": 3}, username="ada")


def locate_comment(browser_tab: BrowserTab) -> Locator:
    return browser_tab.page.locator("#answer").get_by_label("Comment")


async def test_tabs_change_their_own_part_and_what_is_typed_comes_back(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_expense(browser_tab)
    comment, details = locate_comment(browser_tab), page.locator("#details")
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await comment.fill(TYPED)
    await page.evaluate("window.isSamePage = true")

    await details.get_by_role("link", name="Variables").click()
    await expect(page).to_have_url(f"{browser_tab.site.url}/workflows/{instance.id}?tab=variables")
    await expect(details.get_by_role("link", name="Variables")).to_be_focused()
    await page.get_by_text("Edit…").click()
    await page.locator("#edit").get_by_label("Note").fill("travel")
    await details.get_by_role("link", name="Timeline").click()
    await expect(details.locator(".timeline-diagram")).to_be_visible()
    await page.go_back()
    await expect(page.locator("#edit").get_by_label("Note")).to_have_value("travel")
    await expect(details.get_by_text("Your unsent input was restored.")).to_be_visible()
    await browser_tab.site.app.operations.edit_variables(instance.id, {"amount": 7}, username="ada")
    await expect(page.locator("#variables")).to_contain_text('"amount": 7')
    await expect(page.locator("#edit").get_by_label("Note")).to_have_value("travel")
    await expect(comment).to_have_value(TYPED)
    assert await page.evaluate("window.isSamePage")
    await browser_tab.check_layout_and_accessibility("#details")

    await browser_tab.open_path("/workflows")
    await browser_tab.open_path(f"/workflows/{instance.id}?tab=variables")
    await expect(comment).to_have_value(TYPED)
    await expect(page.get_by_text("The page has changed since then")).to_have_count(2)
    await expect(page.locator("#edit").get_by_label("Amount")).to_have_value("7")
    await page.locator("#edit").get_by_role("button", name="Discard").click()
    await expect(page.locator("#edit").get_by_label("Note")).to_have_value("")
    await page.locator("#answer").get_by_role("button", name="Approve").click()

    await expect(page.get_by_text("Answered: paid.")).to_be_visible()
    assert await page.evaluate(COUNT_DRAFTS_SCRIPT) == 0
    await expect(page.locator("#decision")).to_contain_text("Answered: Approve")


async def test_after_a_fault_the_address_can_be_opened_again_and_the_input_is_there(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_expense(browser_tab)
    await browser_tab.open_as_admin("/inbox")
    question = page.locator(f"#waits-{instance.id}")
    await question.get_by_text("Add details…").click()
    await question.get_by_label("Comment").fill(TYPED)
    await question.get_by_label("Score").fill("many")
    await question.get_by_role("button", name="Approve").click()
    await expect(question.get_by_label("Score")).to_have_attribute("aria-invalid", "true")
    browser_tab.expect_page_error("422")

    await page.goto(page.url)

    await expect(page).to_have_url(f"{browser_tab.site.url}/inbox")
    await expect(question.get_by_label("Comment")).to_have_value(TYPED)
    await question.get_by_label("Score").fill("3")
    await browser_tab.open_path(f"/workflows/{instance.id}")
    await expect(locate_comment(browser_tab)).to_have_value(TYPED)
    await page.locator("#answer").get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("Answered: paid.")).to_be_visible()
    assert await page.evaluate(COUNT_DRAFTS_SCRIPT) == 0


async def test_a_session_that_has_ended_comes_back_to_the_form_with_its_content(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_expense(browser_tab)
    comment = locate_comment(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}?tab=timeline")
    await comment.fill(TYPED)
    await page.context.clear_cookies()
    await page.locator("#answer").get_by_role("button", name="Approve").click()
    await browser_tab.log_in()
    await expect(page).to_have_url(f"{browser_tab.site.url}/workflows/{instance.id}?tab=timeline")
    await expect(comment).to_have_value(TYPED)

    other = BrowserTab(await page.context.new_page(), browser_tab.site)
    await page.context.clear_cookies()
    await other.open_as_admin("/docs")
    await page.locator("#answer").get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("Your session has changed")
    await expect(comment).to_have_value(TYPED)
    await page.locator("#answer").get_by_role("button", name="Approve").click()

    await expect(page.get_by_text("Answered: paid.")).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_title("Log in · Flowlet")
    assert not other.page_errors


async def test_what_another_user_has_answered_stays_in_grey_with_the_name_and_the_input(
    browser_tab: BrowserTab,
) -> None:
    typed, other, third = [await start_expense(browser_tab) for _ in range(3)]
    page, question = browser_tab.page, browser_tab.page.locator(f"#waits-{typed.id}")
    await browser_tab.open_as_admin("/inbox")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await question.get_by_text("Add details…").click()
    await question.get_by_label("Comment").fill(TYPED)
    top = await page.locator(f"#waits-{third.id}").evaluate("each => each.getBoundingClientRect().top")

    await answer_as_ada(browser_tab, typed, other)

    for instance in (typed, other):
        gone = page.locator(f"#waits-{instance.id}.gone")
        await expect(gone.locator(".decision")).to_contain_text("Answered: Approve")
        await expect(gone.locator(".decision")).to_contain_text("by ada")
        await expect(gone.get_by_role("button", name="Approve")).to_be_disabled()
    await expect(question.get_by_label("Comment")).to_have_value(TYPED)
    await expect(page.get_by_role("button", name="Update list")).to_be_visible()
    moved = await page.locator(f"#waits-{third.id}").evaluate("each => each.getBoundingClientRect().top")
    assert moved == pytest.approx(top, abs=2)
    await browser_tab.check_layout_and_accessibility("#inbox")
    await page.get_by_role("button", name="Update list").click()
    await expect(page.locator(f"#waits-{other.id}")).to_have_count(0)
    await expect(page.get_by_role("heading", name="waiting for a decision")).to_be_focused()
    await browser_tab.site.app.operations.answer(third.id, "paid", form={}, username="ada")


async def test_a_question_that_another_one_has_moved_off_the_page_can_still_be_answered(
    browser_tab: BrowserTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.console.pages.inbox.QUESTIONS_SHOWN", 1)
    page, typed = browser_tab.page, await start_expense(browser_tab, "Late")
    question = page.locator(f"#waits-{typed.id}")
    await browser_tab.open_as_admin("/inbox")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await question.get_by_text("Add details…").click()
    await question.get_by_label("Comment").fill(TYPED)
    async with page.expect_response(f"**/workflows/{typed.id}"):
        soon = await start_expense(browser_tab, "Soon")

    await expect(page.locator(f"#waits-{typed.id}.gone")).to_be_visible()
    await expect(question.get_by_label("Comment")).to_be_editable()
    await question.get_by_role("button", name="Approve").click()

    await expect(page.get_by_text(f"Answered #{typed.id}: Approve.")).to_be_visible()
    await browser_tab.site.app.operations.answer(soon.id, "paid", form={}, username="ada")


async def test_an_answer_that_comes_too_late_says_who_was_faster_and_shows_what_was_typed(
    browser_tab: BrowserTab,
) -> None:
    page, instance = browser_tab.page, await start_expense(browser_tab)
    late = await page.context.new_page()
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await late.route("**/api/events?*", lambda route: route.abort())
    await late.goto(page.url)
    for window in (page, late):
        await window.locator("#answer").get_by_label("Comment").fill(TYPED)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await answer_as_ada(browser_tab, instance)
    await expect(page.locator("#answer.gone")).to_contain_text("No longer waiting for your decision")
    await late.locator("#answer").get_by_role("button", name="Approve").click()

    await expect(page.locator("#decision")).to_contain_text("Answered: Approve")
    await expect(locate_comment(browser_tab)).to_have_value(TYPED)
    await expect(page.locator("#answer").get_by_role("button", name="Approve")).to_be_disabled()
    await expect(late.get_by_role("alert")).to_have_text(
        f"#{instance.id} was already answered by ada: Approve. Your answer was not saved."
    )
    await expect(late.locator(".refused-draft")).to_contain_text(TYPED)
    await late.get_by_role("button", name="Discard").click()
    assert await late.evaluate(COUNT_DRAFTS_SCRIPT) == 0


async def test_an_answer_that_is_sent_after_the_session_has_ended_comes_back_after_the_login(
    browser_tab: BrowserTab,
) -> None:
    page, instance = browser_tab.page, await start_expense(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await locate_comment(browser_tab).fill(TYPED)
    async with open_store(browser_tab.site.app.settings.database_url) as store:
        await store.connections.write(lambda session: session.execute("UPDATE flowlet_session SET last_seen = 0"))

    await page.locator("#answer").get_by_role("button", name="Approve").click()
    await expect(page).to_have_title("Log in · Flowlet")
    browser_tab.expect_page_error("401")
    await browser_tab.log_in()

    await expect(page.get_by_role("definition").get_by_text(TYPED)).to_be_visible()
    await browser_tab.check_layout_and_accessibility("main")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("#decision")).to_contain_text("Answered: Approve")
    assert await page.evaluate(COUNT_DRAFTS_SCRIPT) == 0
