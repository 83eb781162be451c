"""One browser for all tests, one served application for each module, and a window of its own for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.browser_tab import BrowserTab, ServedSite, open_site
from tests.database_servers import skip_or_fail

# Two browsers, their servers and the databases of other tests share two cores.
expect.set_options(timeout=20_000)

BROWSER_VARIABLE = "FLOWLET_TEST_BROWSER"
BROWSER_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Chromium, as the system has it."""
    found = os.environ.get(BROWSER_VARIABLE) or next(filter(None, map(shutil.which, BROWSER_NAMES)), None)
    if not found:
        skip_or_fail(
            f"Chromium is not installed: install chromium-headless-shell, or name a program by {BROWSER_VARIABLE}"
        )
    async with async_playwright() as playwright:
        # A container's root may not use the sandbox, and its /dev/shm is small.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedSite]:
    """An application with a workflow, on SQLite, and an executor that runs it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('site') / 'flowlet.db'}"
    async with open_site(url) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def browser_tab(chromium: Browser, site: ServedSite, request: pytest.FixtureRequest) -> AsyncIterator[BrowserTab]:
    """A window without a login. A parameter of the test sets options of the window, such as no JavaScript."""
    options: dict[str, Any] = getattr(request, "param", {})
    context = await chromium.new_context(reduced_motion="reduce", **options)
    visitor = BrowserTab(await context.new_page(), site)
    yield visitor
    await context.close()
    assert not visitor.page_errors, "\n".join(visitor.page_errors)
