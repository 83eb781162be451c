"""One's own account, and the page of settings."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from flowlet.accounts.roles import Role
from flowlet.settings import Settings
from flowlet.web.app import create_app
from flowlet.web.console.user_agent import describe_browser
from tests.web.console.console_clients import ConsoleClient, ConsoleClients, open_console_clients
from tests.web.console.console_harness import PASSWORD, submit_login

NEW_PASSWORD = "another very good one"


async def change_password(
    client: ConsoleClient, current: str = PASSWORD, password: str = NEW_PASSWORD, repeated: str = NEW_PASSWORD
) -> httpx.Response:
    return await client.submit_form("/account/password", current=current, password=password, repeated=repeated)


async def test_everybody_changes_their_own_password_and_stays_logged_in(console_clients: ConsoleClients) -> None:
    other = console_clients.console.open_browser()
    await submit_login(other, username="vera")

    notice = await console_clients.viewer.read_notice(await change_password(console_clients.viewer))

    assert notice.startswith("ok: Password changed.")
    assert (await other.get("/workflows")).status_code == 303
    assert (await console_clients.log_in("vera")).status_code == 401
    assert (await console_clients.log_in("vera", NEW_PASSWORD)).status_code == 303


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"current": "a guess of it"}, "current"),
        ({"current": ""}, "current"),
        ({"password": "short", "repeated": "short"}, "password"),
        ({"repeated": "yet another one"}, "repeated"),
    ],
)
async def test_a_password_that_cannot_be_changed_stays(
    console_clients: ConsoleClients, fields: dict[str, str], faulty: str
) -> None:
    answer = await change_password(console_clients.viewer, **fields)

    assert answer.status_code == 422
    assert f'id="{faulty}-error"' in answer.text
    assert not [text for text in (PASSWORD, NEW_PASSWORD, *fields.values()) if text and f'"{text}"' in answer.text]
    assert (await console_clients.log_in("vera")).status_code == 303


async def test_who_finds_an_open_session_cannot_try_passwords_for_long(console_clients: ConsoleClients) -> None:
    for _ in range(10):
        assert (await change_password(console_clients.viewer, current="a guess of it")).status_code == 422

    answer = await change_password(console_clients.viewer)

    assert (answer.status_code, int(answer.headers["retry-after"])) == (429, 30)
    assert "Too many attempts" in answer.text


async def test_other_sessions_are_ended_all_or_one(any_console_clients: ConsoleClients) -> None:
    others = [any_console_clients.console.open_browser(**{"user-agent": f"<b>{number}</b>"}) for number in range(3)]
    for browser in others:
        await submit_login(browser, username="vera")
    sessions = await any_console_clients.users.sessions.list_sessions("vera")
    rita = (await any_console_clients.users.sessions.list_sessions("rita"))[0]
    page = await any_console_clients.viewer.read_page("/account")

    await any_console_clients.viewer.submit_form(f"/account/sessions/{sessions[0].id}/logout")
    await any_console_clients.viewer.submit_form(f"/account/sessions/{rita.id}/logout")
    one = [(await browser.get("/workflows")).status_code for browser in others]
    await any_console_clients.viewer.submit_form("/account/logout")

    assert (page.count("This session"), page.count('/logout"><input'), "&lt;b&gt;2&lt;/b&gt;" in page) == (1, 5, True)
    assert one == [200, 200, 303]
    assert [(await browser.get("/workflows")).status_code for browser in others] == [303, 303, 303]
    assert (await any_console_clients.viewer.browser.get("/workflows")).status_code == 200
    assert (await any_console_clients.admin.browser.get("/users")).status_code == 200


async def test_a_session_that_is_none_does_not_end(
    any_console_clients: ConsoleClients, subtests: pytest.Subtests
) -> None:
    for id in ("0", str(2**63 - 1), str(2**63), str(10**30)):
        with subtests.test(id):
            answer = await any_console_clients.viewer.submit_form(f"/account/sessions/{id}/logout")

            assert await any_console_clients.viewer.read_notice(answer) == "err: You have no such session."


async def test_a_session_ends_once_and_by_who_has_it(any_console_clients: ConsoleClients) -> None:
    await submit_login(any_console_clients.console.open_browser(), username="vera")
    paths = [
        f"/account/sessions/{one.id}/logout" for one in await any_console_clients.users.sessions.list_sessions("vera")
    ]

    others = await any_console_clients.admin.read_notice(await any_console_clients.admin.submit_form(paths[0]))
    own = [
        await any_console_clients.viewer.read_notice(await any_console_clients.viewer.submit_form(paths[0]))
        for _ in range(2)
    ]

    assert others == own[1] == "err: You have no such session."
    assert own[0] == "ok: Session ended."


async def test_an_api_key_has_no_account(console_clients: ConsoleClients) -> None:
    made = await console_clients.users.keys.create("lesser", username="rita", role=Role.VIEWER, actor="rita")
    session = (await console_clients.users.sessions.list_sessions("rita"))[0]
    fields = {"current": PASSWORD, "password": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    paths = ("/account/password", "/account/logout", f"/account/sessions/{session.id}/logout")

    async with console_clients.console.app_harness.open_client(**{"x-api-key": made.text}) as program:
        answers = [await program.get("/account"), *[await program.post(path, data=fields) for path in paths]]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert {answer.json()["detail"] for answer in answers} == {"An API key has no account."}
    assert (await console_clients.admin.browser.get("/users")).status_code == 200
    assert (await console_clients.log_in("rita")).status_code == 303


async def test_a_form_of_another_login_does_nothing(console_clients: ConsoleClients) -> None:
    fields = {"current": PASSWORD, "password": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    session = (await console_clients.users.sessions.list_sessions("vera"))[0]
    paths = ("/account/password", "/account/logout", f"/account/sessions/{session.id}/logout")

    answers = [await console_clients.viewer.submit_form(path, token="x", **fields) for path in paths]

    assert [answer.status_code for answer in answers] == [303] * 3
    assert (await console_clients.log_in("vera")).status_code == 303
    assert (await console_clients.viewer.browser.get("/account")).status_code == 200


async def test_an_admin_sees_every_setting_without_a_secret(database_url: str) -> None:
    async with open_console_clients(database_url) as clients:
        services = clients.console.app_harness.services
        settings = Settings(database_url="mysql://ada:swordfish@host/shop", admin_password="swordfish", slots=7)
        app = create_app(replace(services, settings=settings))
        browser = replace(clients.console, app_harness=replace(clients.console.app_harness, app=app)).open_browser()
        await submit_login(browser, username="rita")

        page = (await browser.get("/settings")).text

        assert [
            one.variable for one in settings.describe_settings() if f"<code>{one.variable}</code>" not in page
        ] == []
        assert "swordfish" not in page
        assert "mysql://ada:***@host/shop" in page
        assert page.count('<span class="badge accent">Set</span>') == len(settings.model_fields_set)
        assert "Not in this process" in page


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/120.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "Unknown program"),
    ],
)
def test_a_browser_is_called_as_people_call_it(user_agent: str, words: str) -> None:
    assert describe_browser(user_agent) == words
