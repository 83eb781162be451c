"""The inbox in a browser: how it looks, answering with and without scripts, and that it follows what happens."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from flowlet.instances import Instance
from tests.browser.visit import IN_THE_BROWSER, Visitor

pytestmark = IN_THE_BROWSER

WITHOUT_SCRIPTS = pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)
BOTH_WAYS = pytest.mark.parametrize("visitor", [{}, {"java_script_enabled": False}], indirect=True, ids=["js", "no-js"])


async def waiting(visitor: Visitor) -> Instance:
    """Return a new workflow that waits for a decision."""
    return await visitor.site.app.start_and_wait("Order <1>", states=["decide"], group="default", key="A <1>")


def question(visitor: Visitor, instance: Instance) -> Locator:
    return visitor.page.locator(f"#waits-{instance.id}")


async def test_the_page_hinders_nobody_and_fits_every_window(visitor: Visitor) -> None:
    instance, _ = await waiting(visitor), await waiting(visitor)
    await visitor.enter("/inbox")
    await question(visitor, instance).get_by_text("Answer…").click()

    await visitor.look_around()


@BOTH_WAYS
async def test_an_answer_with_a_fault_is_mended_and_sent_and_the_others_stay(visitor: Visitor) -> None:
    instance, other = await waiting(visitor), await waiting(visitor)
    await visitor.enter("/inbox")
    asked = question(visitor, instance)

    await asked.get_by_text("Answer…").click()
    await asked.get_by_role("button", name="Approve").click()
    await expect(asked.get_by_label("Approved")).to_have_attribute("aria-invalid", "true")
    await asked.get_by_label("Approved").select_option("Yes")
    await asked.get_by_role("button", name="Approve").click()

    await expect(visitor.page.get_by_text(f"Answered #{instance.id}: Approve.")).to_be_visible()
    await expect(question(visitor, instance)).to_have_count(0)
    await expect(question(visitor, other)).to_be_visible()
    ended = await visitor.site.app.wait(instance.id, timeout="20s")
    assert (ended.state, ended.status) == ("done", "FINISHED")
    visitor.expect("422")


async def test_what_is_answered_elsewhere_goes_but_not_from_under_who_types(visitor: Visitor) -> None:
    typed, other, third = [await waiting(visitor) for _ in range(3)]
    await visitor.enter("/inbox")
    await expect(visitor.page.get_by_text("Live", exact=True)).to_be_visible()
    await question(visitor, typed).get_by_text("Answer…").click()
    await question(visitor, typed).get_by_label("Approved").select_option("Yes")

    for instance in (typed, other):
        await visitor.site.app.operations.answer(instance.id, "done", form={"approved": True}, username="ada")
    await expect(question(visitor, other)).to_have_count(0)
    await expect(question(visitor, typed).get_by_label("Approved")).to_have_value("true")
    await question(visitor, typed).get_by_role("button", name="Approve").click()

    await expect(visitor.page.get_by_role("alert")).to_contain_text("has moved on since it was looked at")
    await expect(question(visitor, typed)).to_have_count(0)
    await expect(question(visitor, third)).to_be_visible()
