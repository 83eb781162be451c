"""The documentation in a browser: the reference, and Swagger UI under the same strict policy."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, mark_browser_tests

pytestmark = mark_browser_tests(__name__)


@pytest.mark.timeout(180)
async def test_the_reference_is_accessible_and_fits_every_window(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/docs")

    operation = "[id='users.create_user']"
    parts = (".sidebar", ".page-header", ".contents", "#access", operation, "#errors", "#model-CreateUserRequest")
    await browser_tab.check_layout()
    await browser_tab.remove_others(*parts)  # axe-core looks at all of a page to judge its parts
    await browser_tab.check_accessibility(*parts)


@pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
async def test_the_reference_leads_to_each_of_its_parts_without_a_script(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/docs")
    contents = page.get_by_role("navigation", name="On this page")

    await contents.get_by_role("link", name="POST workflows", exact=True).click()
    create = page.locator("[id='workflows.create_workflow']")
    await expect(create).to_be_in_viewport()
    await create.get_by_role("link", name="CreateWorkflowRequest").click()

    model = page.locator("[id=model-CreateWorkflowRequest]")
    await expect(model).to_be_in_viewport()
    await expect(model).to_contain_text("Unique over all workflows; generated if left out.")
    await expect(page.locator("[id='model-variables.Order_20_3c1_3e']")).to_contain_text("Order <1>")


@pytest.mark.parametrize("browser_tab", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
async def test_in_a_narrow_window_the_contents_are_folded_up(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/docs")
    link = browser_tab.page.get_by_role("link", name="POST workflows", exact=True)
    await expect(link).to_be_hidden()

    await browser_tab.page.get_by_text("On this page").first.click()
    await link.click()

    await expect(browser_tab.page.locator("[id='workflows.create_workflow']")).to_be_in_viewport()


async def test_swagger_ui_tries_the_api_out_with_the_session(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/docs")
    await page.get_by_role("link", name="Swagger UI").click()

    operation = page.locator(".opblock").filter(has=page.locator("[data-path='/api/me']"))
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()

    await expect(operation.locator(".live-responses-table")).to_contain_text('"username": "admin"')
