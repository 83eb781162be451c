"""The documentation in a browser: who sees it, that all of it is there, and Swagger UI only where it is installed."""

from __future__ import annotations

import re
import sys
from html import unescape
from typing import Any

import httpx
import pytest

from flowlet.accounts.roles import Role
from flowlet.web.paths import is_api
from tests.docs.pages import read_table_rows
from tests.web.api.api_users import build_shop_module
from tests.web.api.test_permissions import ACCOUNT_PATH, REST_PAGE, call_as_role, list_routes
from tests.web.console.console_harness import ConsoleHarness

DOCUMENTED_PAGES = {names[0]: cells[1] for names, cells in read_table_rows(REST_PAGE, "Pages")}


async def test_every_page_is_documented_with_who_may_see_it(console: ConsoleHarness) -> None:
    pages = [route for route in list_routes(console.app_harness) if not is_api(route.partition(" ")[2])]

    refused = {page for page in pages if (await call_as_role(console.app_harness, page, None)).status_code == 401}

    assert sorted(DOCUMENTED_PAGES) == pages
    assert refused == {page for page, role in DOCUMENTED_PAGES.items() if role != "everybody"}


async def test_a_viewer_sees_every_page_that_is_for_viewers(console: ConsoleHarness) -> None:
    for page, role in DOCUMENTED_PAGES.items():
        if role == Role.VIEWER and f" {ACCOUNT_PATH}" not in page:
            assert (await call_as_role(console.app_harness, page, "viewer")).status_code not in (401, 403), page


async def test_the_reference_has_every_operation_and_every_component(console: ConsoleHarness) -> None:
    console.app_harness.services.registry.add(build_shop_module())
    browser = await console.open_logged_in_browser()

    page, document = await browser.get("/docs"), (await browser.get("/openapi.json")).json()

    anchors = read_anchors(page)
    components = document["components"]
    assert {f"model-{name}" for name in components["schemas"]} - anchors == {
        f"model-Problem{status}" for status in components["responses"]
    }
    assert {f"error-{name}" for name in components["responses"]} <= anchors
    assert {
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    } <= anchors
    text = read_words(page)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in text
            assert operation["summary"].replace("``", "") in text
            assert all(f"{each['name']}" in text for each in operation.get("parameters", ()))
    for name, schema in components["schemas"].items():
        assert all(field in text for field in schema.get("properties", ())), name
    assert all(scheme in text for scheme in components["securitySchemes"])


async def test_every_link_on_the_reference_leads_somewhere(console: ConsoleHarness) -> None:
    console.app_harness.services.registry.add(build_shop_module())
    page = await (await console.open_logged_in_browser()).get("/docs")

    wanted = {unescape(link) for link in re.findall(r'href="#([^"]*)"', page.text)}

    assert wanted - read_anchors(page) == set()
    assert len(re.findall(r' id="', page.text)) == len(read_anchors(page))


async def test_the_navigation_shows_who_is_logged_in_and_where_one_is(console: ConsoleHarness) -> None:
    page = await (await console.open_logged_in_browser()).get("/docs")

    assert '<span class="name">grace</span>' in page.text
    assert '<span class="small muted">viewer</span>' in page.text
    assert re.search(r'<a href="/docs" aria-current="page">', page.text)


async def test_no_page_holds_a_script_or_a_style_or_names_another_host(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()
    addresses = ["/login", "/docs", "/docs/swagger", "/nothing"]

    text = "".join([(await browser.get(address)).text for address in addresses])

    assert not re.findall(r"<style|<script(?! src=)|\sstyle=|\son\w+=|javascript:", text)
    assert not re.findall(r'(?:href|src|action)="(?!/|#)[^"]*"', text)


async def test_swagger_ui_is_served_from_its_package(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()

    page = await browser.get("/docs/swagger")

    assets = [unescape(link) for link in re.findall(r'(?:href|src)="(/docs/swagger/assets/[^"]+)"', page.text)]
    answers = [await browser.get(asset) for asset in assets]
    assert [answer.headers["content-type"] for answer in answers] == [
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
    ]
    assert "/docs/swagger" in (await browser.get("/docs")).text
    assert (await browser.get("/docs/swagger/assets/../__init__.py")).status_code == 404
    assert "swagger_ui" not in sys.modules


async def test_without_swagger_ui_a_page_says_how_to_install_it(
    console: ConsoleHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "swagger_ui", None)  # as where it is not installed
    browser = await console.open_logged_in_browser()

    answers = [await browser.get(address) for address in ("/docs/swagger", "/docs/swagger/assets/swagger-ui.css")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert "pip install 'flowlet-workflows[docs]'" in unescape(answers[0].text)
    assert "/docs/swagger" not in (await browser.get("/docs")).text


async def test_what_a_workflow_is_called_is_text_and_nothing_else(console: ConsoleHarness) -> None:
    console.app_harness.services.registry.add(build_shop_module("<script>alert(1)</script>"))

    page = await (await console.open_logged_in_browser()).get("/docs")

    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


def read_anchors(page: httpx.Response) -> set[str]:
    """Return the ids of a page's elements."""
    return {unescape(id) for id in re.findall(r' id="([^"]*)"', page.text)}


def read_words(page: httpx.Response) -> str:
    """Return a page's text, without its elements."""
    text: Any = re.sub(r"<wbr>|<[^>]+>", "", page.text)
    return " ".join(unescape(text).split())
