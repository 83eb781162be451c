"""Logging in and out: sessions, their cookie, and wrong passwords."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from flowlet.auth.known_devices import KnownDevices
from flowlet.clock import to_microseconds
from flowlet.store.people.audit import AuditQuery
from flowlet.web.app import create_app
from tests.database_servers import DatabaseServer
from tests.web.app_harness import BASE_URL
from tests.web.console.console_harness import (
    HTML_ACCEPT,
    PASSWORD,
    ConsoleHarness,
    open_console,
    read_csrf_token,
    submit_login,
)

WRONG_LOGIN_NOTICE = "Wrong username or password."


async def test_who_knows_the_password_gets_a_session_and_goes_on(any_console: ConsoleHarness) -> None:
    browser = any_console.open_browser()

    answer = await submit_login(browser, next="/docs?a=1#models")

    me = await browser.get("/api/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs?a=1#models")
    assert me.json()["username"] == "grace"


async def test_the_cookie_is_of_no_use_to_scripts_and_to_other_sites(console: ConsoleHarness) -> None:
    answer = await submit_login(console.open_browser())

    name, *attributes = answer.headers.get_list("set-cookie")[0].split("; ")
    assert name.startswith("flowlet_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={7 * 86_400}"} <= set(attributes)
    assert "Secure" not in attributes


@pytest.mark.parametrize(
    ("headers", "is_secure"),
    [
        ({"origin": BASE_URL.replace("http:", "https:")}, True),
        ({"origin": BASE_URL}, False),
        ({"x-forwarded-proto": "https"}, False),
    ],
)
async def test_the_cookie_is_for_https_only_where_the_browser_says_that_it_came_by_it(
    console: ConsoleHarness, headers: dict[str, str], is_secure: bool
) -> None:
    answer = await submit_login(console.open_browser(**headers))

    assert ("Secure" in answer.headers.get_list("set-cookie")[0].split("; ")) is is_secure


async def test_the_cookie_lasts_as_long_as_the_session_may(sqlite_url: str) -> None:
    async with open_console(sqlite_url, session_lifetime=timedelta(minutes=90)) as harness:
        answer = await submit_login(harness.open_browser())

    assert "Max-Age=5400" in answer.headers["set-cookie"]


WRONG_LOGINS: list[tuple[str, str]] = [("grace", "wrong"), ("nobody", PASSWORD), ("", ""), ("grace", "")]


async def test_what_was_wrong_is_not_told_nor_by_how_long_it_takes(
    console: ConsoleHarness, subtests: pytest.Subtests
) -> None:
    for username, password in WRONG_LOGINS:
        with subtests.test(repr(username)):
            console.hashes.verify_count = 0

            answer = await submit_login(console.open_browser(), username=username, password=password)

            assert answer.status_code == 401
            assert WRONG_LOGIN_NOTICE in answer.text
            assert "set-cookie" not in answer.headers
            assert console.hashes.verify_count == 1


async def test_a_disabled_user_is_shown_nothing_else(console: ConsoleHarness) -> None:
    await console.app_harness.services.users.disable("grace", actor="test")

    answer = await submit_login(console.open_browser())

    assert (answer.status_code, WRONG_LOGIN_NOTICE in answer.text) == (401, True)


async def test_the_form_comes_back_with_the_name_and_without_the_password(console: ConsoleHarness) -> None:
    answer = await submit_login(console.open_browser(), username='"><script>', password="hunter2", next="/docs")

    assert 'value="&#34;&gt;&lt;script&gt;"' in answer.text
    assert 'name="next" value="/docs"' in answer.text
    assert "hunter2" not in answer.text


async def test_programs_may_log_in_as_they_did(console: ConsoleHarness) -> None:
    program = console.app_harness.open_client()

    answer = await submit_login(program)
    wrong = await submit_login(program, password="wrong")

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
async def test_another_site_cannot_log_anybody_in(console: ConsoleHarness, headers: dict[str, str]) -> None:
    answer = await submit_login(console.open_browser(**headers))

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_login_while_logged_in_replaces_the_session(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()
    before = browser.cookies["flowlet_session"]

    await submit_login(browser)

    old = await console.app_harness.open_client(cookie=f"flowlet_session={before}").get("/api/me")
    assert browser.cookies["flowlet_session"] != before
    assert old.status_code == 401
    assert (await browser.get("/api/me")).status_code == 200


async def test_a_login_that_fails_leaves_the_session_as_it_is(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()

    await submit_login(browser, password="wrong")

    assert (await browser.get("/api/me")).status_code == 200


async def test_guessing_is_slowed_down(console: ConsoleHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    browser = console.open_browser()
    statuses = [(await submit_login(browser, password=f"guess {number}")).status_code for number in range(10)]

    right_too_soon = await submit_login(browser)
    console.clock.advance(to_microseconds(timedelta(seconds=30)))
    right = await submit_login(browser)

    assert set(statuses) == {401}
    assert (right_too_soon.status_code, right_too_soon.headers["retry-after"]) == (429, "30")
    assert "Wait 30 seconds" in right_too_soon.text
    assert right.status_code == 303
    assert console.hashes.verify_count == 11
    assert "guess" not in caplog.text


async def test_a_login_gives_the_attempts_back(console: ConsoleHarness) -> None:
    browser = console.open_browser()
    for _ in range(3):
        for _ in range(9):
            await submit_login(browser, password="wrong")
        answer = await submit_login(browser)

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
    caplog.set_level(logging.INFO, logger="flowlet.web.console.pages.login")
    async with open_console(sqlite_url, proxies=proxies) as harness:
        await submit_login(harness.open_browser(**{"x-forwarded-for": forwarded}), password="wrong")

    assert f"login from {counted} refused" in caplog.text


async def test_logging_out_ends_the_session_and_the_cookie(any_console: ConsoleHarness) -> None:
    browser = await any_console.open_logged_in_browser()
    session = browser.cookies["flowlet_session"]

    answer = await browser.post("/logout", data={"token": read_csrf_token(await browser.get("/account"))})

    stolen = await any_console.app_harness.open_client(cookie=f"flowlet_session={session}").get("/api/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "flowlet_session" not in browser.cookies
    assert stolen.status_code == 401
    audit = any_console.app_harness.services.store.audit
    last = (await audit.list_page(AuditQuery(limit=1)))[0]
    assert (last.actor, last.action, last.subject, last.via) == ("grace", "user.logged_out", "grace", "console")


async def test_another_site_cannot_log_anybody_out(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()
    token = read_csrf_token(await browser.get("/account"))

    answers = [
        await browser.post("/logout", data={"token": token}, headers={"origin": "https://elsewhere.test"}),
        await browser.post("/logout", data={"token": token}, headers={"origin": ""}),
        await browser.post("/logout", data={"token": "guessed"}),
        await browser.post("/logout", data={}, headers={"content-type": "application/x-www-form-urlencoded"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 303, 303]
    assert (await browser.get("/api/me")).status_code == 200


async def test_the_form_keeps_where_to_go_and_shows_of_a_session_that_has_ended(console: ConsoleHarness) -> None:
    new = await console.open_browser().get("/login?next=/docs")
    ended = await console.open_browser(cookie="flowlet_session=ended").get("/login?next=/docs")

    assert 'name="next" value="/docs"' in new.text
    assert "Your session has ended" not in new.text
    assert "Your session has ended" in ended.text


async def test_a_login_while_the_database_is_away_says_so(postgres_server: DatabaseServer, postgres_url: str) -> None:
    async with open_console(postgres_url) as harness:
        postgres_server.stop_server()
        try:
            answer = await submit_login(harness.open_browser())
        finally:
            postgres_server.start_server()

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "The database is unavailable, or did not respond in time." in answer.text


async def test_each_login_notes_the_browser_it_came_from(console: ConsoleHarness) -> None:
    await submit_login(console.open_browser(**{"user-agent": "Lynx\x7f"}))

    (session,) = await console.app_harness.services.users.sessions.list_sessions("grace")
    assert session.user_agent.startswith("Lynx")


async def test_a_page_is_served_to_anyone_who_requests_the_form(console: ConsoleHarness) -> None:
    answer = await create_app(console.app_harness.services).test_client().get("/login", headers={"Accept": HTML_ACCEPT})

    assert answer.status_code == 200


async def test_a_known_browser_logs_in_at_once_while_others_guess_from_everywhere(console: ConsoleHarness) -> None:
    known, stranger = await console.open_logged_in_browser(), console.open_browser()
    limiter = console.app_harness.services.login_limiter
    for place in range(1_000):
        limiter.record_attempt("grace", f"198.51.{place // 250}.{place % 250}")

    answers = [await submit_login(stranger), await submit_login(known)]

    assert [answer.status_code for answer in answers] == [429, 303]


@pytest.mark.parametrize(
    "device", ["forged", "a" * 2_000, "WyJncmFjZSIsIngiXQ.aSsd0A.AAAA"], ids=["text", "long", "signed"]
)
async def test_a_forged_device_is_an_unknown_one(console: ConsoleHarness, device: str) -> None:
    browser = console.open_browser(cookie=f"flowlet_device={device}")
    for _ in range(10):
        await submit_login(browser, password="wrong")

    assert (await submit_login(browser)).status_code == 429


async def test_a_device_of_one_user_is_an_unknown_one_for_another(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()
    devices = KnownDevices(console.app_harness.services.store)
    cookie = browser.cookies["flowlet_device"]

    assert await devices.find_device(cookie, "Grace") is not None
    assert await devices.find_device(cookie, "ada") is None
