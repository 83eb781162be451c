"""A real browser on a served application, which may write nothing to the browser's console.

Every test of a page takes ``browser_tab``: a window of its own, without a login. Messages on the browser's console,
script errors and requests to other hosts are recorded, and fail the test at its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import ConsoleMessage, Page, Request, Response, expect

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from tests.web.api.api_users import build_shop_module
from tests.web.http_server import serve_app

__all__ = ["ADMIN_PASSWORD", "WINDOW_SIZES", "BrowserTab", "ServedSite", "mark_browser_tests", "open_site"]

ADMIN_PASSWORD = "correct horse"
"""The admin's."""
WINDOW_SIZES = {1440: 1000, 768: 1024, 390: 844}
"""The windows that pages are looked at in: their widths and heights."""
TABLE_WINDOW_WIDTHS = (1440, 1280, 1024)
"""In these windows no table is wider than its card."""
Theme = Literal["light", "dark"]

# No rule that is on reads the style sheets, which axe-core fetches unless it is told not to.
_AXE_SCRIPT = """([parts, options]) =>
    axe.run({include: parts}, {resultTypes: ["violations"], preload: false, ...options}).then(found => found.violations)
"""
_COLOR_RULES = {"runOnly": ["color-contrast", "link-in-text-block"]}
_DARK_WINDOW_WIDTHS = (1440, 390)
"""In these windows the contrast in the dark theme is checked too. A theme changes colors and nothing else, and no color
depends on the window: between these two widths nothing else is shown."""
_REMOVE_OTHERS_SCRIPT = """selectors => {
    const kept = selectors.map(each => document.querySelector(each));
    for (const each of document.querySelectorAll("main [id]"))
        if (!kept.some(one => one.contains(each) || each.contains(one))) each.remove();
}"""
_OVERFLOW_SCRIPT = """() => [...document.querySelectorAll("body *")]
    .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(each => each.outerHTML.slice(0, 120)).slice(0, 3)"""
_WIDE_TABLES_SCRIPT = """() => [...document.querySelectorAll(".scroll")]
    .filter(each => each.scrollWidth > each.clientWidth)
    .map(each => `${each.ariaLabel}, by ${each.scrollWidth - each.clientWidth}`)"""
_IS_WIDER_SCRIPT = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def mark_browser_tests(module_name: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a module here: its tests share a site and a browser, which live in one loop and process."""
    return [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group(module_name)]


@dataclass(frozen=True, slots=True)
class ServedSite:
    """An application that is served.

    Attributes:
        url: Where, without a slash at the end.
        app: For what a test starts or looks up without the browser.
        client: For asking without the browser.
    """

    url: str
    app: Flowlet
    client: httpx.AsyncClient


@asynccontextmanager
async def open_site(url: str, *modules: ModuleType) -> AsyncIterator[ServedSite]:
    """Serve an application with a workflow, and those of more modules, and an executor, for the length of the block."""
    registry = Registry()
    for module in modules:
        registry.add(module)
    registry.add(build_shop_module())
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=ADMIN_PASSWORD, grace="0s"))
    async with serve_app(app) as client:
        await client.get("/healthz")
        yield ServedSite(str(client.base_url).rstrip("/"), app, client)


@dataclass  # without slots: Playwright notes something at whose methods it calls
class BrowserTab:
    """A window of a browser on a site.

    Attributes:
        page_errors: Messages on the console, script errors, and requests to other hosts.
    """

    page: Page
    site: ServedSite
    page_errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._record_console_message)
        self.page.on("pageerror", lambda error: self.page_errors.append(f"a script broke off: {error}"))
        self.page.on("request", self._record_foreign_request)

    async def open_path(self, path: str) -> Response:
        """Go to a path of the site, and return the response."""
        answer = await self.page.goto(self.site.url + path)
        assert answer
        return answer

    async def log_in(self, *, username: str = "admin", password: str = ADMIN_PASSWORD) -> None:
        """Fill in and send the login form, which has to be open and new.

        A field gets the focus when the page is first drawn. Chromium writes a message on its console if something has
        the focus by then.
        """
        await expect(self.page.locator("input[autofocus]")).to_be_focused()
        await self.page.get_by_label("Username").fill(username)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()

    async def open_as_admin(self, path: str) -> None:
        """Go to a path of the site as an admin, who has logged in without a page: test_login.py fills the form in."""
        form: dict[str, str | float | bool] = {"username": "admin", "password": ADMIN_PASSWORD}
        answer = await self.page.context.request.post(
            f"{self.site.url}/login", form=form, headers={"Origin": self.site.url}, max_redirects=0
        )
        assert answer.status == 303, await answer.text()
        await self.open_path(path)

    def expect_page_error(self, text: str) -> None:
        """Expect a message on the console: browsers write one for each page with an error status."""
        others = [complaint for complaint in self.page_errors if text not in complaint]
        assert len(others) < len(self.page_errors), f"expected {text!r}, but found {self.page_errors}"
        self.page_errors = others

    async def check_layout(self) -> None:
        """Check the page in every window size: it does not scroll sideways, and no table is wider than its card.

        Raises:
            AssertionError: If it does, or one is.
        """
        faults = []
        for width in sorted({*TABLE_WINDOW_WIDTHS, *WINDOW_SIZES}, reverse=True):
            await self.page.set_viewport_size({"width": width, "height": WINDOW_SIZES.get(width, 1000)})
            wide = await self.page.evaluate(_WIDE_TABLES_SCRIPT) if width in TABLE_WINDOW_WIDTHS else []
            faults += [f"{width}: a table is wider than its card: {each}" for each in wide]
            if await self.page.evaluate(_IS_WIDER_SCRIPT):
                faults.append(f"{width}: scrolls sideways, by {await self.page.evaluate(_OVERFLOW_SCRIPT)}")
        assert not faults, f"{self.page.url}\n" + "\n".join(faults)

    async def check_layout_and_accessibility(self, *selectors: str) -> None:
        """Check the page as ``check_layout`` and ``check_accessibility`` do."""
        await self.check_layout()
        await self.check_accessibility(*selectors)

    async def check_accessibility(self, *selectors: str) -> None:
        """Check in every window size and both themes that the page is accessible.

        Args:
            selectors: Selectors of the parts that axe-core checks; the whole page if none is given. A long page of
                similar parts takes seconds.

        Raises:
            AssertionError: If axe-core finds a violation.
        """
        await self.page.evaluate(AXE_SCRIPT)
        faults = []
        for width, height in WINDOW_SIZES.items():
            await self.page.set_viewport_size({"width": width, "height": height})
            faults += await self._find_violations(selectors, width=width, theme="light")
            if width in _DARK_WINDOW_WIDTHS:
                faults += await self._find_violations(selectors, width=width, theme="dark", options=_COLOR_RULES)
        assert not faults, "\n".join(faults)

    async def remove_others(self, *selectors: str) -> None:
        """Remove from the page what has an id and is neither one of these parts, nor in one, nor around one."""
        await self.page.evaluate(_REMOVE_OTHERS_SCRIPT, list(selectors))

    async def _find_violations(
        self, selectors: Sequence[str], *, width: int, theme: Theme, options: Mapping[str, Any] | None = None
    ) -> list[str]:
        await self.page.emulate_media(color_scheme=theme)
        found = await self.page.evaluate(_AXE_SCRIPT, [list(selectors) or ["html"], options or {}])
        return [f"{width} {theme}: {line}" for violation in found for line in _describe_violation(violation)]

    def _record_console_message(self, message: ConsoleMessage) -> None:
        if "net::ERR_NETWORK_CHANGED" in message.text:  # another test has made or removed a network of its own
            return
        self.page_errors.append(f"the console said ({message.type}): {message.text} at {message.location.get('url')}")

    def _record_foreign_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site.url}/", "data:")):
            self.page_errors.append(f"another host was asked: {request.url}")


def _describe_violation(violation: dict[str, Any]) -> Iterator[str]:
    for node in violation["nodes"][:3]:
        yield f"{violation['id']} ({violation['help']}) at {node['target']}: {node['html'][:160]}"
