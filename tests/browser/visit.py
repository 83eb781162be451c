"""A visit to a served application in a real browser, which has to go without a word on the console.

Every test of a page takes ``visitor``: a window of its own, in which nobody is logged in. What the console says, what a
script throws and what is asked of another host is kept, and fails the test at its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import ConsoleMessage, Page, Request, Response

from flowlet.registry import Registry
from flowlet.server import Flowlet
from flowlet.settings import Settings
from tests.web.api.shop import shop
from tests.web.served import served

__all__ = ["IN_THE_BROWSER", "PASSWORD", "THEMES", "WIDTHS", "Site", "Visitor", "opened_site"]

IN_THE_BROWSER = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]
"""The marks of every module here: one browser, which lives in one loop and one process."""
PASSWORD = "correct horse"
"""The admin's."""
WIDTHS = {1440: 1000, 768: 1024, 390: 844}
"""The windows that pages are looked at in: their widths and heights."""
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

_AXE = "parts => axe.run({include: parts}, {resultTypes: ['violations']}).then(found => found.violations)"
_OVERFLOW = """() => [...document.querySelectorAll("body *")]
    .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(each => each.outerHTML.slice(0, 120)).slice(0, 3)"""
_IS_WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@dataclass(frozen=True, slots=True)
class Site:
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
async def opened_site(url: str) -> AsyncIterator[Site]:
    """Serve an application with a workflow and an executor that runs it, for the length of the block."""
    registry = Registry()
    registry.add(shop())
    app = Flowlet(registry=registry, settings=Settings(database_url=url, admin_password=PASSWORD, grace="0s"))
    async with served(app) as client:
        await client.get("/healthz")
        yield Site(str(client.base_url).rstrip("/"), app, client)


@dataclass  # without slots: Playwright notes something at whose methods it calls
class Visitor:
    """Somebody with a window of a browser, on a site.

    Attributes:
        complaints: What the console said, what a script threw, and what was asked of other hosts.
    """

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"a script broke off: {error}"))
        self.page.on("request", self._see)

    async def open(self, path: str) -> Response:
        """Go to a path of the site, and return what was answered."""
        answer = await self.page.goto(self.site.url + path)
        assert answer
        return answer

    async def log_in(self, *, username: str = "admin", password: str = PASSWORD) -> None:
        """Fill the form of the login in, which has to be open, and send it."""
        await self.page.get_by_label("Username").fill(username)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()

    async def enter(self, path: str) -> None:
        """Go to a path of the site as an admin who is logged in."""
        await self.open(f"/login?next={path}")
        await self.log_in()
        await self.page.wait_for_url(self.site.url + path)

    def expect(self, text: str) -> None:
        """Take note that the console said this, as a browser does of each page with an error's status."""
        others = [complaint for complaint in self.complaints if text not in complaint]
        assert len(others) < len(self.complaints), f"nobody said {text!r}, but {self.complaints}"
        self.complaints = others

    async def look_around(self, *parts: str) -> None:
        """Look at the page in every window and theme: nothing hinders anybody, and nothing is wider than the window.

        Args:
            parts: Selectors of what axe-core looks at; the whole page if none is given. A long page of parts that are
                all alike takes it seconds.

        Raises:
            AssertionError: If axe-core finds a violation, or the page scrolls sideways.
        """
        await self.page.evaluate(AXE_SCRIPT)
        faults = []
        for width, height in WIDTHS.items():
            await self.page.set_viewport_size({"width": width, "height": height})
            if await self.page.evaluate(_IS_WIDER):
                faults.append(f"{width}: scrolls sideways, by {await self.page.evaluate(_OVERFLOW)}")
            for theme in THEMES:
                await self.page.emulate_media(color_scheme=theme)
                found = await self.page.evaluate(_AXE, list(parts) or ["html"])
                faults += [f"{width} {theme}: {line}" for violation in found for line in _told(violation)]
        assert not faults, "\n".join(faults)

    def _hear(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"the console said ({message.type}): {message.text} at {message.location.get('url')}")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site.url}/", "data:")):
            self.complaints.append(f"another host was asked: {request.url}")


def _told(violation: dict[str, Any]) -> Iterator[str]:
    for node in violation["nodes"][:3]:
        yield f"{violation['id']} ({violation['help']}) at {node['target']}: {node['html'][:160]}"
