"""The user pages: what an admin may do, what is forbidden, and a password that is shown once."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from flowlet.accounts.models import User
from flowlet.accounts.roles import Role
from tests.web.console.console_clients import ConsoleClient, ConsoleClients
from tests.web.console.console_harness import PASSWORD, read_csrf_token

ATTACK_TEXT = "<script>alert(1)</script>\"'&"
USER_OPERATIONS = ("role", "disable", "enable", "logout", "password", "delete")


async def submit_user_form(client: ConsoleClient, user: User, operation: str, **fields: str) -> httpx.Response:
    """Send a form of a user's page, as of the user that is given."""
    return await client.submit_form(f"/users/{user.id}/{operation}", version=str(user.version), **fields)


def read_secret(text: str) -> str:
    """Return what a page shows this once."""
    found = re.search(r'<code id="secret" tabindex="0">([^<]+)</code>', text)
    assert found, text
    return found[1]


async def test_the_list_shows_who_may_log_in_and_as_what(any_console_clients: ConsoleClients) -> None:
    await any_console_clients.users.disable("grace", actor="test")

    page = await any_console_clients.admin.read_page("/users")

    row = page.partition(f'<tr id="user-{any_console_clients.operator.user.id}">')[2].partition("</tr>")[0]
    assert '<span class="tag role">operator</span>' in row
    assert re.findall(r'<td class="num"><a href="[^"]+">(\d)</a>', row) == ["1", "0"]
    assert "Disabled" in page.partition("<bdi>grace</bdi>")[2].partition("</tr>")[0]


async def test_a_user_is_added_with_a_password_and_logs_in(console_clients: ConsoleClients) -> None:
    answer = await console_clients.admin.submit_form(
        "/users", username="hedy", password="four words make one", role="operator"
    )

    assert await console_clients.admin.read_notice(answer) == "ok: hedy can now log in as operator."
    assert (await console_clients.log_in("hedy", "four words make one")).status_code == 303
    assert (await console_clients.users.get("hedy")).created_by == "rita"


async def test_without_a_password_a_random_one_is_shown_once(console_clients: ConsoleClients) -> None:
    answer = await console_clients.admin.submit_form("/users", username="hedy", password="", role="viewer")
    again = await console_clients.admin.submit_form("/users", username="hedy", password="", role="viewer")

    password = read_secret(answer.text)
    assert answer.status_code == 201
    assert password not in f"{answer.headers} {await console_clients.admin.read_page('/users')} {again.text}"
    assert again.status_code == 422
    assert (await console_clients.log_in("hedy", password)).status_code == 303


async def test_who_has_not_seen_the_password_is_shown_what_to_do(console_clients: ConsoleClients) -> None:
    made = (await console_clients.admin.submit_form("/users", username="hedy", password="", role="viewer")).text
    again = [
        (await console_clients.admin.submit_form("/users", username="Hedy", password="", role="viewer")).text,
        (await console_clients.admin.submit_form("/users", username="hedy", password=PASSWORD, role="viewer")).text,
        (await console_clients.admin.submit_form("/users", username="vera", password="", role="viewer")).text,
    ]
    await console_clients.log_in("hedy", read_secret(made))
    again.append((await console_clients.admin.submit_form("/users", username="hedy", password="", role="viewer")).text)

    hedy = await console_clients.users.get("hedy")
    assert ["A password is shown only once" in page for page in again] == [True, False, False, False]
    assert f'<a href="/users/{hedy.id}">reset it</a>' in again[0]
    assert read_secret(made) not in "".join(again)


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [("", PASSWORD, "username"), (" x", PASSWORD, "username"), ("OLGA", PASSWORD, "username"), ("x", "a", "password")],
)
async def test_a_user_that_cannot_be_is_asked_for_again(
    console_clients: ConsoleClients, username: str, password: str, field: str
) -> None:
    answer = await console_clients.admin.submit_form("/users", username=username, password=password, role="operator")

    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert f'name="username" type="text" value="{username}"' in answer.text
    assert '<option value="operator" selected>' in answer.text
    assert len(await console_clients.users.list_users()) == 5


async def test_a_role_that_is_none_is_refused(console_clients: ConsoleClients) -> None:
    answers = [
        await console_clients.admin.submit_form("/users", username="x", password=PASSWORD, role="root"),
        await submit_user_form(console_clients.admin, console_clients.viewer.user, "role", role=""),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]


async def test_a_role_holds_at_once(console_clients: ConsoleClients) -> None:
    answer = await submit_user_form(console_clients.admin, console_clients.viewer.user, "role", role="admin")

    assert await console_clients.admin.read_notice(answer) == "ok: vera is now admin."
    assert (await console_clients.viewer.browser.get("/users")).status_code == 200


async def test_who_is_disabled_is_out_until_enabled_again(console_clients: ConsoleClients) -> None:
    await submit_user_form(console_clients.admin, console_clients.viewer.user, "disable")
    out = await console_clients.viewer.browser.get("/workflows")
    disabled = await console_clients.users.get("vera")
    notice = await console_clients.admin.read_notice(await submit_user_form(console_clients.admin, disabled, "enable"))

    assert out.headers["location"].startswith("/login")
    assert notice == "ok: vera can log in again."
    assert (await console_clients.log_in("vera")).status_code == 303


async def test_sessions_are_ended_and_ones_own_stays(console_clients: ConsoleClients) -> None:
    await submit_user_form(console_clients.admin, console_clients.viewer.user, "logout")
    await submit_user_form(console_clients.admin, console_clients.admin.user, "logout")

    assert (await console_clients.viewer.browser.get("/workflows")).status_code == 303
    assert (await console_clients.admin.browser.get("/users")).status_code == 200


async def test_a_password_is_reset_and_shown_once(console_clients: ConsoleClients) -> None:
    answer = await submit_user_form(console_clients.admin, console_clients.viewer.user, "password", password="")
    repeated = await submit_user_form(console_clients.admin, console_clients.viewer.user, "password", password="")

    password = read_secret(answer.text)
    assert (await console_clients.viewer.browser.get("/workflows")).status_code == 303
    assert "the user 'vera' was changed by" in await console_clients.admin.read_notice(repeated)
    assert password not in await console_clients.admin.read_page(f"/users/{console_clients.viewer.user.id}")
    assert (await console_clients.log_in("vera", password)).status_code == 303
    assert (await console_clients.log_in("vera")).status_code == 401


async def test_of_one_form_sent_thrice_at_once_one_shows_a_password(any_console_clients: ConsoleClients) -> None:
    path, seen = f"/users/{any_console_clients.viewer.user.id}/password", str(any_console_clients.viewer.user.version)
    fields = {
        "token": read_csrf_token(await any_console_clients.admin.browser.get("/account")),
        "version": seen,
        "password": "",
    }

    answers = await asyncio.gather(*(any_console_clients.admin.browser.post(path, data=fields) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200, 303, 303]
    (done, refused, _) = sorted(answers, key=lambda answer: answer.status_code)
    assert (await any_console_clients.log_in("vera", read_secret(done.text))).status_code == 303
    assert (await any_console_clients.admin.read_notice(refused)).startswith(
        "err: the user 'vera' was changed by 'rita' in the meantime"
    )


async def test_a_password_is_reset_to_a_typed_one_that_can_be(console_clients: ConsoleClients) -> None:
    short = await submit_user_form(console_clients.admin, console_clients.viewer.user, "password", password="short")
    notice = await console_clients.admin.read_notice(
        await submit_user_form(
            console_clients.admin, console_clients.viewer.user, "password", password="another very good one"
        )
    )

    assert (short.status_code, 'id="password-error"' in short.text) == (422, True)
    assert notice.startswith("ok: ")
    assert (await console_clients.log_in("vera", "another very good one")).status_code == 303


async def test_ones_own_password_is_not_reset_without_the_present_one(console_clients: ConsoleClients) -> None:
    answer = await submit_user_form(console_clients.admin, console_clients.admin.user, "password", password="")

    assert answer.headers["location"] == "/account"
    assert (await console_clients.log_in("rita")).status_code == 303


async def test_a_deleted_user_is_gone(console_clients: ConsoleClients) -> None:
    notice = await console_clients.admin.read_notice(
        await submit_user_form(console_clients.admin, console_clients.viewer.user, "delete")
    )

    assert notice == "ok: vera deleted."
    assert (await console_clients.admin.browser.get(f"/users/{console_clients.viewer.user.id}")).status_code == 404
    assert (await console_clients.viewer.browser.get("/workflows")).status_code == 303


@pytest.mark.parametrize(("operation", "fields"), [("role", {"role": "viewer"}), ("disable", {}), ("delete", {})])
async def test_the_last_admin_stays(console_clients: ConsoleClients, operation: str, fields: dict[str, str]) -> None:
    await console_clients.users.disable("ada", actor="test")

    notice = await console_clients.admin.read_notice(
        await submit_user_form(console_clients.admin, console_clients.admin.user, operation, **fields)
    )

    assert notice.startswith("err: 'rita' is the last enabled admin")
    assert await console_clients.users.get("rita") == await console_clients.users.get_by_id(
        console_clients.admin.user.id
    )
    assert (await console_clients.users.get("rita")).is_acting_admin


@pytest.mark.parametrize("operation", ["disable", "delete"])
async def test_who_ends_their_own_account_is_logged_out(console_clients: ConsoleClients, operation: str) -> None:
    answer = await submit_user_form(console_clients.admin, console_clients.admin.user, operation)

    assert answer.headers["location"] == "/login"
    assert "flowlet_session=;" in answer.headers["set-cookie"]
    assert "Your session has ended" not in (await console_clients.admin.browser.get("/login")).text
    assert (await console_clients.admin.browser.get("/users")).headers["location"].startswith("/login")


async def test_who_gives_up_being_an_admin_is_informed_on_a_page_they_may_see(console_clients: ConsoleClients) -> None:
    answer = await submit_user_form(console_clients.admin, console_clients.admin.user, "role", role="viewer")

    assert answer.headers["location"] == "/workflows"
    assert await console_clients.admin.read_notice(answer) == "ok: rita is now viewer."
    assert (await console_clients.admin.browser.get("/users")).status_code == 403


@pytest.mark.parametrize("operation", USER_OPERATIONS)
async def test_nothing_is_done_to_a_user_who_has_changed_meanwhile(
    console_clients: ConsoleClients, operation: str
) -> None:
    seen = console_clients.viewer.user
    changed = await console_clients.users.set_role("vera", Role.OPERATOR, actor="ada")

    notice = await console_clients.admin.read_notice(
        await submit_user_form(console_clients.admin, seen, operation, role="admin", password="")
    )

    assert notice.startswith("err: the user 'vera' was changed by 'ada' in the meantime: it has version 2 now")
    assert await console_clients.users.get("vera") == changed


async def test_others_than_admins_see_no_users_and_change_none(console_clients: ConsoleClients) -> None:
    before = await console_clients.users.list_users()
    for client in (console_clients.viewer, console_clients.operator):
        pages = [await client.browser.get(path) for path in ("/users", f"/users/{client.user.id}", "/settings")]
        answers = [
            await submit_user_form(client, client.user, operation, role="admin", password=PASSWORD)
            for operation in USER_OPERATIONS
        ]
        added = await client.submit_form("/users", username="eve", password=PASSWORD, role="admin")

        assert {answer.status_code for answer in (*pages, *answers, added)} == {403}
        assert 'href="/users"' not in await client.read_page("/account")
    assert await console_clients.users.list_users() == before


async def test_a_form_of_another_login_or_without_a_version_does_nothing(console_clients: ConsoleClients) -> None:
    before = await console_clients.users.list_users()
    path = f"/users/{console_clients.viewer.user.id}"
    foreign = [
        await console_clients.admin.submit_form(f"{path}/{operation}", token="x", role="admin", version="1")
        for operation in USER_OPERATIONS
    ]
    added = await console_clients.admin.submit_form("/users", token="x", username="eve", role="admin")
    bare = [
        await console_clients.admin.submit_form(f"{path}/{operation}", role="admin", version="x")
        for operation in USER_OPERATIONS
    ]

    assert {answer.status_code for answer in (*foreign, added)} == {303}
    assert {answer.status_code for answer in bare} == {400}
    assert await console_clients.users.list_users() == before


async def test_names_with_markup_are_text(console_clients: ConsoleClients) -> None:
    hostile = await console_clients.users.create(ATTACK_TEXT, PASSWORD, Role.VIEWER, actor=ATTACK_TEXT)
    made = await console_clients.users.keys.create(
        ATTACK_TEXT, username=ATTACK_TEXT, role=Role.VIEWER, actor=ATTACK_TEXT
    )
    await console_clients.console.app_harness.services.users.log_in(ATTACK_TEXT, PASSWORD, user_agent=ATTACK_TEXT)

    pages = [await console_clients.admin.read_page(path) for path in ("/users", f"/users/{hostile.id}", "/keys")]
    again = (await console_clients.admin.submit_form("/users", username=f"{ATTACK_TEXT} ", role="viewer")).text

    for page in (*pages, again):
        assert "alert(1)" in page
        assert "<script>alert" not in page
    assert made.text not in "".join(pages)
