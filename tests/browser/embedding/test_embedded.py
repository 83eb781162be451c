"""The console in a browser, mounted in FastAPI below /flow, behind a proxy that removes /shop.

Each request outside of /shop/flow fails the test: the window records it as one to another host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import Browser, expect

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from tests.browser.browser_tab import ADMIN_PASSWORD, BrowserTab, ServedSite, mark_browser_tests
from tests.browser.embedding.prefix_proxy import build_prefix_proxy
from tests.web.api.api_users import build_shop_module
from tests.web.http_server import serve_app

pytestmark = mark_browser_tests(__name__)


@pytest_asyncio.fixture(loop_scope="session")
async def embedded_tab(chromium: Browser, tmp_path: Path) -> AsyncIterator[BrowserTab]:
    """A window on the proxy."""
    registry = Registry()
    registry.add(build_shop_module())
    url = f"sqlite:///{tmp_path / 'flowlet.db'}"
    settings = Settings(database_url=url, admin_password=ADMIN_PASSWORD, grace="0s", groups=["shop"], proxies=1)
    flow = Flowlet(registry=registry, settings=settings)
    host = FastAPI(lifespan=flow.lifespan)
    host.mount("/flow", flow)
    async with serve_app(host) as client, serve_app(build_prefix_proxy(str(client.base_url), "/shop")) as outside:
        site = ServedSite(str(outside.base_url).rstrip("/") + "/shop/flow", flow, outside)
        context = await chromium.new_context(reduced_motion="reduce")
        tab = BrowserTab(await context.new_page(), site)
        yield tab
        await context.close()
    assert not tab.page_errors, "\n".join(tab.page_errors)


async def test_forms_events_and_downloads_stay_below_the_prefix(embedded_tab: BrowserTab) -> None:
    page, site = embedded_tab.page, embedded_tab.site
    await embedded_tab.open_path("/")
    await embedded_tab.log_in()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()

    for name in ("Definitions", "Schedules", "Executors", "Users", "API keys", "Settings", "API", "Errors", "Inbox"):
        await page.get_by_label("Main").get_by_role("link", name=name, exact=name == "API").click()
        await expect(page.locator("h1")).to_be_visible()
        assert page.url.startswith(f"{site.url}/")

    # The inbox follows events: the workflow appears without a click.
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    instance = await site.app.start("Order <1>", external_id="order-7")
    await page.locator(f"#waits-{instance.id}").get_by_text("Answer…").click()
    await page.get_by_label("Approved").select_option("Yes")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text(f"Answered #{instance.id}: Approve.")).to_be_visible()

    await page.get_by_label("Main").get_by_role("link", name="Workflows").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    saved = await (await download.value).path()
    assert "order-7" in saved.read_text()
    await page.get_by_role("link", name=f"#{instance.id}").click()
    async with page.expect_download() as diagram:
        await page.locator("#diagram").get_by_role("link", name="SVG").click()
    assert (await diagram.value).suggested_filename == f"workflow-{instance.id}.svg"

    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Username")).to_be_visible()
    assert page.url == f"{site.url}/login"
