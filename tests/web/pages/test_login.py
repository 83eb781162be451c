"""Logging in and out: who gets a session, what the cookie allows, and what a wrong password tells."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from flowlet.clock import microseconds
from flowlet.web.app import create_app
from tests.servers import Server
from tests.web.pages.door import HTML, PASSWORD, Door, log_in, opened_door, token_of
from tests.web.probe import HOST

WRONG = "The username or the password is not right."


async def test_who_knows_the_password_gets_a_session_and_goes_on(any_door: Door) -> None:
    browser = any_door.browser()

    answer = await log_in(browser, next="/docs?a=1#models")

    me = await browser.get("/api/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs?a=1#models")
    assert me.json()["username"] == "grace"


async def test_the_cookie_is_of_no_use_to_scripts_and_to_other_sites(door: Door) -> None:
    answer = await log_in(door.browser())

    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith("flowlet_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={7 * 86_400}"} <= set(attributes)
    assert "Secure" not in attributes


@pytest.mark.parametrize(
    ("headers", "is_secure"),
    [
        ({"origin": HOST.replace("http:", "https:")}, True),
        ({"origin": HOST}, False),
        ({"x-forwarded-proto": "https"}, False),
    ],
)
async def test_the_cookie_is_for_https_only_where_the_browser_says_that_it_came_by_it(
    door: Door, headers: dict[str, str], is_secure: bool
) -> None:
    answer = await log_in(door.browser(**headers))

    assert ("Secure" in answer.headers["set-cookie"].split("; ")) is is_secure


async def test_the_cookie_lasts_as_long_as_the_session_may(sqlite_url: str) -> None:
    async with opened_door(sqlite_url, session_lifetime=timedelta(minutes=90)) as door:
        answer = await log_in(door.browser())

    assert "Max-Age=5400" in answer.headers["set-cookie"]


@pytest.mark.parametrize(("username", "password"), [("grace", "wrong"), ("nobody", PASSWORD), ("", ""), ("grace", "")])
async def test_what_was_wrong_is_not_told_nor_by_how_long_it_takes(
    any_door: Door, username: str, password: str
) -> None:
    answer = await log_in(any_door.browser(), username=username, password=password)

    assert answer.status_code == 401
    assert WRONG in answer.text
    assert "set-cookie" not in answer.headers
    assert any_door.hashes.verified == 1


async def test_a_disabled_user_is_told_nothing_else(door: Door) -> None:
    await door.probe.services.users.disable("grace", by="test")

    answer = await log_in(door.browser())

    assert (answer.status_code, WRONG in answer.text) == (401, True)


async def test_the_form_comes_back_with_the_name_and_without_the_password(door: Door) -> None:
    answer = await log_in(door.browser(), username='"><script>', password="hunter2", next="/docs")

    assert 'value="&#34;&gt;&lt;script&gt;"' in answer.text
    assert 'name="next" value="/docs"' in answer.text
    assert "hunter2" not in answer.text


async def test_programs_may_log_in_as_they_did(door: Door) -> None:
    program = door.probe.client()

    answer = await log_in(program)
    wrong = await log_in(program, password="wrong")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (wrong.status_code, wrong.headers["content-type"]) == (401, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.test"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_another_site_cannot_log_anybody_in(door: Door, headers: dict[str, str]) -> None:
    answer = await log_in(door.browser(**headers))

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_login_while_logged_in_replaces_the_session(any_door: Door) -> None:
    browser = await any_door.logged_in()
    before = browser.cookies["flowlet_session"]

    await log_in(browser)

    old = await any_door.probe.client(cookie=f"flowlet_session={before}").get("/api/me")
    assert browser.cookies["flowlet_session"] != before
    assert old.status_code == 401
    assert (await browser.get("/api/me")).status_code == 200


async def test_a_login_that_fails_leaves_the_session_as_it_is(door: Door) -> None:
    browser = await door.logged_in()

    await log_in(browser, password="wrong")

    assert (await browser.get("/api/me")).status_code == 200


async def test_guessing_is_slowed_down(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    browser = door.browser()
    statuses = [(await log_in(browser, password=f"guess {number}")).status_code for number in range(10)]

    right_too_soon = await log_in(browser)
    door.clock.advance(microseconds(timedelta(seconds=30)))
    right = await log_in(browser)

    assert set(statuses) == {401}
    assert (right_too_soon.status_code, right_too_soon.headers["retry-after"]) == (429, "30")
    assert "Wait 30 seconds" in right_too_soon.text
    assert right.status_code == 303
    assert door.hashes.verified == 11
    assert "guess" not in caplog.text


async def test_a_login_gives_the_attempts_back(door: Door) -> None:
    browser = door.browser()
    for _ in range(3):
        for _ in range(9):
            await log_in(browser, password="wrong")
        answer = await log_in(browser)

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted"),
    [
        (0, "192.0.2.7", "127.0.0.1"),
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        (2, "198.51.100.1, 192.0.2.7, 10.0.0.1", "192.0.2.7"),
        (2, "192.0.2.7", "192.0.2.7"),
        (1, " , ", "127.0.0.1"),
    ],
)
async def test_behind_proxies_it_is_the_browser_that_is_counted(
    sqlite_url: str, proxies: int, forwarded: str, counted: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="flowlet.web.pages.sessions")
    async with opened_door(sqlite_url, proxies=proxies) as door:
        await log_in(door.browser(**{"x-forwarded-for": forwarded}), password="wrong")

    assert f"a login from {counted} was refused" in caplog.text


async def test_logging_out_ends_the_session_and_the_cookie(any_door: Door) -> None:
    browser = await any_door.logged_in()
    session = browser.cookies["flowlet_session"]

    answer = await browser.post("/logout", data={"token": token_of(await browser.get("/docs"))})

    stolen = await any_door.probe.client(cookie=f"flowlet_session={session}").get("/api/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "flowlet_session" not in browser.cookies
    assert stolen.status_code == 401


async def test_another_site_cannot_log_anybody_out(door: Door) -> None:
    browser = await door.logged_in()
    token = token_of(await browser.get("/docs"))

    answers = [
        await browser.post("/logout", data={"token": token}, headers={"origin": "https://elsewhere.test"}),
        await browser.post("/logout", data={"token": token}, headers={"origin": ""}),
        await browser.post("/logout", data={"token": "guessed"}),
        await browser.post("/logout", data={}, headers={"content-type": "application/x-www-form-urlencoded"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert (await browser.get("/api/me")).status_code == 200


async def test_the_form_keeps_where_to_go_and_tells_of_a_session_that_has_ended(door: Door) -> None:
    new = await door.browser().get("/login?next=/docs")
    ended = await door.browser(cookie="flowlet_session=ended").get("/login?next=/docs")

    assert 'name="next" value="/docs"' in new.text
    assert "Your session has ended" not in new.text
    assert "Your session has ended" in ended.text


async def test_a_login_while_the_database_is_away_says_so(postgres_server: Server, postgres_url: str) -> None:
    async with opened_door(postgres_url) as door:
        postgres_server.stop()
        try:
            answer = await log_in(door.browser())
        finally:
            postgres_server.start()

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "The database is away." in answer.text


async def test_each_login_notes_the_browser_it_came_from(door: Door) -> None:
    await log_in(door.browser(**{"user-agent": "Lynx\x7f"}))

    (session,) = await door.probe.services.users.sessions.list("grace")
    assert session.user_agent.startswith("Lynx")


async def test_a_page_is_served_to_whoever_asks_for_the_form(door: Door) -> None:
    answer = await create_app(door.probe.services).test_client().get("/login", headers={"Accept": HTML})

    assert answer.status_code == 200
