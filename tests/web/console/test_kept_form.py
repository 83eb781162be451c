"""A form that arrives after its session has ended: its content comes back after the login, to the same user only."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import httpx
import pytest

from flowlet.accounts.roles import Role
from flowlet.web.console.kept_form import MAX_KEPT_BYTES
from tests.web.console.console_harness import (
    PASSWORD,
    ConsoleHarness,
    open_console,
    read_csrf_token,
    submit_login,
)

NAME = 'Late <b> "view"\r\nof two lines'


@pytest.fixture
async def office(sqlite_url: str) -> AsyncIterator[ConsoleHarness]:
    """A console with the viewer grace and the operator hedy."""
    async with open_console(sqlite_url, roles={"hedy": Role.OPERATOR}) as harness:
        yield harness


async def send_late(office: ConsoleHarness, browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    """Send the form of a view when the session has ended, from the page of the list."""
    values = {"token": read_csrf_token(await browser.get("/workflows")), "name": NAME, "filters": "q=a"}
    await end_sessions(office)
    page = f"{browser.base_url}/workflows?q=a"
    return await browser.post("/workflows/views", data=values | fields, headers={"Referer": page})


async def end_sessions(office: ConsoleHarness) -> None:
    sql = "UPDATE flowlet_session SET last_seen = 0"
    await office.app_harness.services.store.connections.write(lambda session: session.execute(sql))


def read_kept_form(page: httpx.Response) -> str:
    found = re.search(r'name="kept_form" value="([^"]+)"', page.text)
    return unescape(found[1]) if found else ""


def read_fields(page: httpx.Response) -> dict[str, str]:
    """Return the fields of the page that sends a form again, as a browser sends them."""
    areas = re.findall(r'<textarea name="([^"]+)" hidden>\n(.*?)</textarea>', page.text, re.DOTALL)
    return {"token": read_csrf_token(page), **{name: unescape(value) for name, value in areas}}


async def test_a_form_comes_back_after_the_login_and_is_sent_by_a_button(office: ConsoleHarness) -> None:
    browser = await office.open_logged_in_browser()

    login = await send_late(office, browser, name="Late <b>")
    wrong = await submit_login(browser, password="wrong", kept_form=read_kept_form(login))
    again = await submit_login(browser, kept_form=read_kept_form(wrong), next="/workflows?q=a")
    stored = await office.app_harness.services.operations.views.list_all(username="grace")
    sent = await browser.post("/workflows/views", data=read_fields(again))

    assert (login.status_code, "Your session has ended." in login.text, wrong.status_code) == (401, True, 401)
    assert 'name="next" value="/workflows?q=a"' in login.text
    assert (again.status_code, stored) == (200, [])
    assert "<dt>Name</dt>" in again.text
    assert "Late &lt;b&gt;</dd>" in again.text
    assert 'action="/workflows/views"' in again.text
    assert 'href="/workflows?q=a"' in again.text
    assert (sent.status_code, sent.headers["location"]) == (303, "/workflows?view=1")
    (view,) = await office.app_harness.services.operations.views.list_all(username="grace")
    assert (view.name, view.address) == ("Late <b>", "q=a")


async def test_no_value_changes_on_its_way(office: ConsoleHarness) -> None:
    browser = await office.open_logged_in_browser()

    again = await submit_login(browser, kept_form=read_kept_form(await send_late(office, browser)))

    assert {name: value for name, value in read_fields(again).items() if name != "token"} == {
        "name": NAME,
        "filters": "q=a",
    }


async def test_another_user_gets_the_page_and_not_the_form(office: ConsoleHarness) -> None:
    browser = await office.open_logged_in_browser()
    kept = read_kept_form(await send_late(office, browser))

    other = await submit_login(browser, username="hedy", password=PASSWORD, kept_form=kept, next="/workflows")

    assert (other.status_code, other.headers["location"]) == (303, "/workflows")


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({"origin": "https://evil.example"}, {}),
        ({"sec-fetch-site": "cross-site"}, {}),
        ({"origin": ""}, {}),
        ({}, {"token": "forged"}),
        ({}, {"password": "correct horse"}),
        ({}, {"name": "x" * MAX_KEPT_BYTES}),
    ],
)
async def test_only_a_small_form_of_the_sessions_own_page_is_kept(
    office: ConsoleHarness, headers: dict[str, str], fields: dict[str, str]
) -> None:
    browser = await office.open_logged_in_browser()
    values = {"token": read_csrf_token(await browser.get("/workflows")), "name": NAME, **fields}
    await end_sessions(office)

    login = await browser.post("/workflows/views", data=values, headers=headers)

    assert login.status_code == 303
    assert login.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize("kept", ["x", "WyJodHRwczovL2V2aWwuZXhhbXBsZSIsW11d.c2ln"])
async def test_a_forged_form_leads_nowhere(office: ConsoleHarness, kept: str) -> None:
    browser = await office.open_logged_in_browser()
    await end_sessions(office)

    answer = await submit_login(browser, kept_form=kept, next="https://evil.example/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_form_of_another_session_leads_nowhere(office: ConsoleHarness) -> None:
    first, second = await office.open_logged_in_browser(), await office.open_logged_in_browser()
    kept = read_kept_form(await send_late(office, first))

    answer = await submit_login(second, kept_form=kept)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
