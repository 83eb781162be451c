"""The row of saved views: a view is a name for an address of the list, which stays an address of its own."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from flowlet.store.people.views import SHARED_OWNER, ViewChange
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_console import WorkflowConsole

FAILED = "status=FAILED&sort=-modified&column=status"


@pytest.fixture
def site(sqlite_workflow_console: WorkflowConsole) -> WorkflowConsole:
    """Where grace is a viewer, and hedy an operator."""
    return sqlite_workflow_console


@pytest.fixture
def browser(site: WorkflowConsole) -> httpx.AsyncClient:
    """The operator's."""
    return site.operator


def read_current(page: httpx.Response) -> str:
    """Return the text of the current view of a page; "" without one."""
    found = re.search(r'<a class="chip"[^>]*aria-current="page">(.*?)</a>', page.text)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", found[1]))).strip() if found else ""


async def submit(browser: httpx.AsyncClient, path: str = "", version: int | None = None, **fields: Any) -> str:
    """Send a form of views, and return the notice of the page that it leads to; the status if it leads to none."""
    token = read_csrf_token(await browser.get("/workflows?view=all"))
    values = {"token": token, "filters": FAILED, **({} if version is None else {"version": str(version)}), **fields}
    answer = await browser.post(f"/workflows/views{path}", data=values)
    if answer.status_code != 303:
        return str(answer.status_code)
    page = await browser.get(answer.headers["location"], follow_redirects=True)
    found = re.search(r'class="notice (\w+)" role="\w+">([^<]*)', page.text)
    assert found, page.text
    return f"{found[1]}: {unescape(found[2])}"


async def test_a_view_is_saved_opened_overwritten_renamed_and_deleted(
    browser: httpx.AsyncClient, site: WorkflowConsole
) -> None:

    assert await submit(browser, name=" Failed <1> ") == "ok: View saved."
    opened = await browser.get("/workflows?view=1")
    shown = await browser.get(opened.headers["location"])
    other = await browser.get("/workflows?status=PAUSED&view=1")
    elsewhere = await browser.get("/workflows?status=PAUSED")
    assert (opened.status_code, opened.headers["location"]) == (303, f"/workflows?{FAILED}&view=1")
    assert (shown.status_code, read_current(shown)) == (200, "Failed <1>")
    assert "Failed &lt;1&gt;" in shown.text
    assert read_current(other) == "Failed <1> changed"
    assert read_current(elsewhere) == ""

    assert await submit(browser, "/1", 1, name="Held", overwrite="true", filters="status=PAUSED") == "ok: View saved."
    assert (await browser.get("/workflows?view=1")).headers["location"] == "/workflows?status=PAUSED&view=1"
    assert await submit(browser, "/1", 2, name="Paused", filters="status=NEW") == "ok: View saved."
    assert (await browser.get("/workflows?view=1")).headers["location"] == "/workflows?status=PAUSED&view=1"
    assert "was changed by 'hedy' in the meantime" in await submit(site.operator, "/1", 1, name="Late")
    assert "There is a view 'paused' already" in await submit(browser, name="paused")
    assert "cannot be a view's name" in await submit(browser, name="")
    assert "was changed by 'hedy'" in await submit(browser, "/1/delete", 1)
    assert await submit(browser, "/1/delete", 3) == "ok: View deleted."
    assert "There is no view 1. Nothing was changed." in await submit(site.operator, "/1", 3, name="Paused")
    gone = await browser.get("/workflows?view=1")
    assert (gone.status_code, "There is no such view" in unescape(gone.text)) == (400, True)


async def test_a_default_opens_with_the_list_alone_and_every_other_address_stays(browser: httpx.AsyncClient) -> None:
    plain = await browser.get("/workflows")

    await submit(browser, name="Failed", default="true")
    opened = await browser.get("/workflows")
    followed = await browser.get("/workflows", follow_redirects=True)
    everything = await browser.get("/workflows?view=all")
    searched = await browser.get("/workflows?q=a")
    mailed = await browser.get("/workflows?utm_source=mail&status=")

    assert (plain.status_code, 'href="/workflows?view=all"' in plain.text) == (200, False)
    assert opened.headers["location"] == "/workflows?view=1"
    assert str(followed.url).endswith(f"/workflows?{FAILED}&view=1")
    assert (everything.status_code, searched.status_code, mailed.status_code) == (200, 200, 303)
    assert 'href="/workflows?view=all">Clear all' in unescape(searched.text)


async def test_a_view_without_filters_is_the_whole_list(browser: httpx.AsyncClient) -> None:
    await submit(browser, name="Whole", filters="", default="true")

    page = await browser.get("/workflows", follow_redirects=True)

    assert (page.status_code, read_current(page)) == (200, "Whole default")


async def test_only_operators_share_and_change_shared_views(browser: httpx.AsyncClient, site: WorkflowConsole) -> None:
    await submit(browser, name="Ours", shared="true")

    seen = await site.viewer.get(f"/workflows?{FAILED}&view=1")
    token = read_csrf_token(seen)
    refused = [
        (await site.viewer.post(f"/workflows/views{path}", data={"token": token, **fields})).status_code
        for path, fields in (
            ("", {"name": "x", "shared": "true"}),
            ("/1", {"name": "x", "version": "1"}),
            ("/1/delete", {"version": "1"}),
        )
    ]

    assert read_current(seen) == "Ours shared"
    assert "Change view…" not in seen.text
    assert "Share with all users" not in seen.text
    assert refused == [403, 403, 403]
    assert "Change view…" in (await browser.get(f"/workflows?{FAILED}&view=1")).text


async def test_a_view_that_is_not_understood_says_so(browser: httpx.AsyncClient, site: WorkflowConsole) -> None:
    store = site.console.app_harness.services.store
    old = ViewChange("Old", "colour=red&status=FAILED", is_default=False, by="hedy", now=store.clock.now())
    await store.views.create(SHARED_OWNER, lambda _: None, old)

    page = await browser.get("/workflows?view=1")
    listed = await browser.get("/workflows")
    exported = await browser.get("/workflows.csv?view=1")

    assert page.status_code == 400
    assert "This version does not understand the view: the address has faults: colour: is no filter" in unescape(
        page.text
    )
    assert (read_current(page), "Search not run" in page.text, "Delete view…" in page.text) == (
        "Old shared",
        True,
        True,
    )
    assert listed.status_code == 200
    assert exported.status_code == 400


async def test_a_file_of_a_view_has_its_columns(browser: httpx.AsyncClient, site: WorkflowConsole) -> None:
    await site.create_instance(external_id="o-1")
    await submit(browser, name="Failed", default="true")

    alone = await browser.get("/workflows.csv?view=1")
    everything = await browser.get("/workflows.csv?column=status")

    assert alone.text == "id,externalId,businessKey,status\r\n"
    assert "o-1" in everything.text


async def test_a_user_of_any_role_has_views_of_the_own(site: WorkflowConsole) -> None:
    viewer = site.viewer
    token = read_csrf_token(await viewer.get("/workflows"))

    answer = await viewer.post("/workflows/views", data={"token": token, "name": "Mine", "filters": FAILED})

    assert (answer.status_code, answer.headers["location"]) == (303, "/workflows?view=1")
    (found,) = await site.console.app_harness.services.operations.views.list_all(username="grace")
    assert (found.name, found.is_shared) == ("Mine", False)
