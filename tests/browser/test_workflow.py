"""The page of a workflow in a browser: how it looks, what it lets one do, and that it follows what happens."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from flowlet.instances import Instance
from tests.browser.visit import IN_THE_BROWSER, Visitor

pytestmark = IN_THE_BROWSER

WITHOUT_SCRIPTS = pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)
VARIABLES = {"items": [{"sku": "lamp"}]}


async def waiting(visitor: Visitor) -> Instance:
    """Return a new workflow that waits for a decision."""
    return await visitor.site.app.start_and_wait("Order <1>", states=["decide"], vars=VARIABLES, group="default")


async def test_the_page_hinders_nobody_and_fits_every_window(visitor: Visitor) -> None:
    instance = await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}")
    await visitor.page.get_by_text("Cancel…").click()
    await visitor.page.get_by_text("Move by force…").click()
    await visitor.page.get_by_text("variables changed").first.click()

    await visitor.look_around()
    await visitor.open(f"/workflows/{instance.id}?tab=variables")
    await visitor.page.get_by_text("Edit…").click()
    await visitor.look_around("#about")


@WITHOUT_SCRIPTS
async def test_without_scripts_an_answer_with_a_fault_is_mended_and_sent(visitor: Visitor) -> None:
    page, instance = visitor.page, await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}")

    await page.get_by_role("button", name="Approve").first.click()
    await expect(page.get_by_label("Approved")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Approved").select_option("Yes")
    await page.get_by_role("button", name="Approve").first.click()

    await expect(page.get_by_role("status").filter(has_text="Answered: done.")).to_be_visible()
    ended = await visitor.site.app.wait(instance.id, timeout="20s")
    assert (ended.state, ended.status) == ("done", "FINISHED")
    visitor.expect("422")


@WITHOUT_SCRIPTS
async def test_without_scripts_it_is_paused_and_cancelled(visitor: Visitor) -> None:
    page, instance = visitor.page, await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}")

    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("Paused.")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    await page.get_by_text("Cancel…").click()
    await page.get_by_label("Reason").first.fill("ordered twice")
    await page.get_by_role("button", name="Cancel the workflow").click()

    await expect(page.get_by_text("Why: ordered twice")).to_be_visible()


async def test_a_variable_is_edited(visitor: Visitor) -> None:
    page, instance = visitor.page, await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}?tab=variables")

    await page.get_by_text("Edit…").click()
    await page.get_by_label("Paid").check()
    await page.get_by_label("Items").fill('[{"sku": "chair"}]')
    await page.get_by_role("button", name="Save").click()

    await expect(page.get_by_text("The variables are changed.")).to_be_visible()
    await expect(page.locator("#variables")).to_contain_text('"sku": "chair"')
    await expect(page.locator("#variables")).to_contain_text('"paid": true')


async def test_what_happens_elsewhere_is_shown(visitor: Visitor) -> None:
    page, instance = visitor.page, await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await visitor.site.app.operations.answer(instance.id, "done", form={"approved": True}, username="ada")

    await expect(page.locator("#standing")).to_contain_text("Finished")
    await expect(page.locator("#about")).to_contain_text("Answered: decide → done")
    await expect(page.locator("#acting").get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.locator(".fl-state.current")).to_contain_text("done")


async def test_enter_in_a_field_chooses_nothing(visitor: Visitor) -> None:
    page, instance = visitor.page, await waiting(visitor)
    await visitor.enter(f"/workflows/{instance.id}")

    await page.locator("#move").get_by_label("Reason").press("Enter")

    await visitor.open(f"/workflows/{instance.id}")
    await expect(page.locator("#standing")).to_contain_text("Waiting")
