"""The page of a workflow in a browser: how it looks, what it lets one do, and that it follows what happens."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from flowlet.instance.instance import Instance
from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
ELEMENT_TOP_SCRIPT = "each => each.getBoundingClientRect().top"
VARIABLES = {"items": [{"sku": "lamp"}]}


async def start_waiting_workflow(browser_tab: BrowserTab) -> Instance:
    """Return a new workflow that waits for a decision."""
    return await browser_tab.site.app.start_and_wait("Order <1>", states=["decide"], vars=VARIABLES, group="default")


async def test_the_page_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    instance = await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await browser_tab.page.get_by_text("Cancel…").click()
    await browser_tab.page.get_by_text("Force move…").click()
    await browser_tab.page.get_by_text("changes of variables").first.click()

    await browser_tab.check_layout_and_accessibility()
    await browser_tab.open_path(f"/workflows/{instance.id}?tab=variables")
    await browser_tab.page.get_by_text("Edit…").click()
    await browser_tab.check_layout_and_accessibility("#details")


@WITHOUT_SCRIPTS
async def test_without_scripts_an_answer_with_a_fault_is_corrected_and_sent(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")

    await page.get_by_role("button", name="Approve").first.click()
    await expect(page.get_by_label("Approved")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Approved").select_option("Yes")
    await page.get_by_role("button", name="Approve").first.click()

    await expect(page.get_by_role("status").filter(has_text="Answered: done.")).to_be_visible()
    ended = await browser_tab.site.app.wait(instance.id, timeout="20s")
    assert (ended.state, ended.status) == ("done", "FINISHED")
    browser_tab.expect_page_error("422")


@WITHOUT_SCRIPTS
async def test_without_scripts_it_is_paused_and_cancelled(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")

    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("Paused.")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    await page.get_by_text("Cancel…").click()
    await page.get_by_label("Reason").first.fill("ordered twice")
    await page.get_by_role("button", name="Cancel workflow").click()

    await expect(page.get_by_text("Reason: ordered twice")).to_be_visible()


async def test_escape_closes_a_confirmation_and_on_a_phone_the_answer_comes_first(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await page.set_viewport_size({"width": 390, "height": 844})

    tops = [
        await page.locator(part).first.evaluate(ELEMENT_TOP_SCRIPT)
        for part in ("#answer", "#diagram", "#details", "#moves")
    ]
    await page.get_by_text("Cancel…").click()
    await page.get_by_label("Reason").first.fill("ordered")
    await page.keyboard.press("Escape")

    assert tops[0] == min(tops)
    await expect(page.get_by_role("button", name="Cancel workflow")).to_be_hidden()
    await expect(page.get_by_text("Cancel…")).to_be_focused()


async def test_a_variable_is_edited(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}?tab=variables")

    await page.get_by_text("Edit…").click()
    await page.get_by_label("Paid").check()
    await page.get_by_label("Items").fill('[{"sku": "chair"}]')
    await page.get_by_role("button", name="Save").click()

    await expect(page.get_by_text("Variables saved.")).to_be_visible()
    await expect(page.locator("#variables")).to_contain_text('"sku": "chair"')
    await expect(page.locator("#variables")).to_contain_text('"paid": true')


async def test_what_happens_elsewhere_is_shown(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await expect(page).to_have_title(re.compile(f"^Waiting · #{instance.id}"))
    await browser_tab.site.app.operations.answer(instance.id, "done", form={"approved": True}, username="ada")

    await expect(page.locator("#status")).to_contain_text("Finished")
    await expect(page).to_have_title(re.compile(f"^Finished · #{instance.id}"))
    await expect(page.locator("#details")).to_contain_text("Answered: decide → done")
    await expect(page.locator("#answer-panel").get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.locator(".fl-state.current")).to_contain_text("done")


async def test_enter_in_a_field_chooses_nothing(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")

    await page.get_by_text("Move without the form…").click()
    await page.locator("#move").get_by_label("Reason").press("Enter")

    await browser_tab.open_path(f"/workflows/{instance.id}")
    await expect(page.locator("#status")).to_contain_text("Waiting")


async def test_of_two_windows_the_second_is_shown_that_it_has_moved_and_a_double_click_moves_once(
    browser_tab: BrowserTab,
) -> None:
    instance = await start_waiting_workflow(browser_tab)
    first, second = browser_tab.page, await browser_tab.page.context.new_page()
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await second.route("**/api/events?*", lambda route: route.abort())  # it hears nothing of the first one
    await second.goto(first.url)
    await first.get_by_text("Move without the form…").click()
    await first.locator("#move").get_by_label("Reason").fill("seen by telephone")
    await second.get_by_text("Force move…").click()
    await second.get_by_label("Reason for forcing").fill("mine")
    await second.locator("#force").get_by_label("State").select_option("broken")

    await first.locator("#move").get_by_role("button", name="Approve").dblclick()
    await expect(first.get_by_text("Moved to done.")).to_be_visible()
    await second.get_by_role("button", name="Force move").click()

    await expect(second.get_by_role("alert")).to_contain_text("was changed in the meantime")
    moves = second.locator(".timeline > li").filter(has_text="Moved")
    await expect(moves).to_have_count(1)
    await expect(moves).to_contain_text("Moved manually: decide → done by admin")
    await expect(moves).to_contain_text("seen by telephone")


async def test_what_is_typed_and_where_the_caret_is_stay_when_something_happens(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await page.get_by_text("Move without the form…").click()
    field = page.locator("#move").get_by_label("Reason")
    await field.fill("the card is valid")
    for _ in range(5):
        await field.press("ArrowLeft")
    top = await page.locator("#answer").evaluate(ELEMENT_TOP_SCRIPT)

    await browser_tab.site.app.operations.edit_variables(instance.id, {"paid": True}, username="ada")
    await expect(page.locator("#details")).to_contain_text("Variables edited")

    await expect(field).to_be_focused()
    assert await field.evaluate("field => [field.value, field.selectionStart]") == ["the card is valid", 12]
    assert await page.locator("#answer").evaluate(ELEMENT_TOP_SCRIPT) == top


async def test_the_picture_has_three_sizes_and_the_page_never_scrolls_sideways(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await page.set_viewport_size({"width": 390, "height": 844})
    widths = list[float]()

    for size in ("Fit", "100 %", "Larger"):
        await page.get_by_role("radio", name=size).check(force=True)
        widths.append(await page.locator(".fl-diagram").evaluate("each => each.getBoundingClientRect().width"))
        assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    assert widths[0] <= widths[1] < widths[2]
    await page.locator(".canvas").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(".canvas")).not_to_have_js_property("scrollLeft", 0)


async def test_a_diagram_that_does_not_fit_opens_at_the_current_state(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.site.app.operations.answer(instance.id, "done", form={"approved": True}, username="ada")
    await browser_tab.open_as_admin("/workflows")
    await page.set_viewport_size({"width": 1440, "height": 250})
    await browser_tab.open_path(f"/workflows/{instance.id}")

    await expect(page.locator(".fl-state.current")).to_contain_text("done")
    script = """() => {
      const frame = document.querySelector(".canvas").getBoundingClientRect();
      const state = document.querySelector(".fl-state.current rect").getBoundingClientRect();
      return frame.top <= state.top && state.bottom <= frame.bottom && document.querySelector(".canvas").scrollTop > 0;
    }"""
    await page.wait_for_function(script)


async def test_the_timeline_is_accessible_and_follows_what_happens(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await page.get_by_role("link", name="Timeline").click()
    await page.get_by_text("In numbers").click()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    await browser_tab.site.app.operations.move(instance.id, "broken", username="ada", reason="a test")

    await expect(page.locator(".timeline-diagram .action-mark")).to_have_text("Moved manually by ada")
    await expect(page.get_by_role("row", name="broken")).to_be_visible()
    await browser_tab.check_layout_and_accessibility("#details")


async def test_on_paper_there_is_what_is_known_and_nothing_to_press(browser_tab: BrowserTab) -> None:
    page, instance = browser_tab.page, await start_waiting_workflow(browser_tab)
    await browser_tab.open_as_admin(f"/workflows/{instance.id}")
    await page.emulate_media(media="print", color_scheme="dark")

    for part in ("#facts", ".fl-diagram", "#details .timeline"):
        await expect(page.locator(part)).to_be_visible()
    shown = "els => els.filter(each => each.checkVisibility() && !each.closest('#operations [hidden]')).length"
    assert await page.locator(".button, .sidebar, .tabs, input:not([type=hidden])").evaluate_all(shown) == 0
    await expect(page.locator(".diff").first).to_be_visible()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert await page.locator("#facts dt").first.evaluate("each => getComputedStyle(each).color") == "rgb(90, 100, 120)"
