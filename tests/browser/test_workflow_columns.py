"""The columns of the workflow list in a browser: chosen, remembered, shared by their address, in every window."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.browser_tab import BrowserTab, ServedSite, mark_browser_tests, open_site

pytestmark = mark_browser_tests(__name__)

WITHOUT_SCRIPTS = pytest.mark.parametrize("browser_tab", [{"java_script_enabled": False}], indirect=True)
NAMES = ("type", "status", "state", "next", "modified", "created", "group", "priority", "vars.paid", "vars.items.0.sku")
MANY_COLUMNS = "&".join(f"column={name}" for name in NAMES)


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with workflows that no executor runs: their group is another one."""
    async with open_site(f"sqlite:///{tmp_path_factory.mktemp('columns') / 'flowlet.db'}") as site:
        for number in range(1, 4):
            variables = {"items": [{"sku": f"a-long-name-of-an-article-{number}"}], "paid": True}
            await site.app.start("Order <1>", vars=variables, external_id=f"o-{number}", key=f"A-{number} <b>")
        yield site


@pytest.mark.parametrize(
    "query", [MANY_COLUMNS, "column=created&column=vars.items.0.sku", "column=type", "variable=PAID%3Dtrue"]
)
async def test_chosen_columns_are_accessible_and_fit_every_window(browser_tab: BrowserTab, query: str) -> None:
    await browser_tab.open_as_admin(f"/workflows?{query}")
    await browser_tab.page.locator("#columns summary").click()

    await browser_tab.check_layout_and_accessibility()


async def test_the_names_of_variables_are_suggested(browser_tab: BrowserTab) -> None:
    await browser_tab.open_as_admin("/workflows?type=Order+%3C1%3E&group=other")

    list_id = await browser_tab.page.get_by_label("Variable", exact=True).get_attribute("list")

    names = await browser_tab.page.locator(f"#{list_id} option").evaluate_all("all => all.map(one => one.value)")
    assert names == ["items=", "paid="]


@WITHOUT_SCRIPTS
async def test_columns_are_chosen_remembered_and_given_back_without_scripts(browser_tab: BrowserTab) -> None:
    page = browser_tab.page
    await browser_tab.open_as_admin("/workflows?q=o-2")
    await page.locator("#columns summary").click()
    for name in ("Type", "Next / reason", "Modified", "Created"):
        await page.get_by_role("checkbox", name=f"{name} column", exact=True).uncheck()
    await page.get_by_label("Variables").fill("paid, Items.0.SKU")
    await page.get_by_role("button", name="Show these columns").click()

    query = "?q=o-2&column=status&column=state&column=vars.paid&column=vars.Items.0.SKU"
    await expect(page).to_have_url(f"{browser_tab.site.url}/workflows{query}")
    await expect(page.get_by_role("row", name="o-2")).to_contain_text("a-long-name-of-an-article-2")
    await expect(page.get_by_role("columnheader", name="Type")).to_have_count(0)

    await browser_tab.open_path("/workflows")
    await expect(page.get_by_role("columnheader", name="paid")).to_be_visible()
    await page.locator("#columns summary").click()
    await page.get_by_role("button", name="Default columns").click()
    await expect(page).to_have_url(f"{browser_tab.site.url}/workflows")
    await expect(page.get_by_role("columnheader", name="Type")).to_be_visible()
