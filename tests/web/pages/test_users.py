"""The pages of users: what an admin does there, what nobody may, and a password that is shown once."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from flowlet.accounts import User
from flowlet.roles import Role
from tests.web.pages.door import PASSWORD, token_of
from tests.web.pages.office import Clerk, Office

ATTACK = "<script>alert(1)</script>\"'&"
OPERATIONS = ("role", "disable", "enable", "logout", "password", "delete")


async def change(clerk: Clerk, user: User, operation: str, **fields: str) -> httpx.Response:
    """Send a form of a user's page, as of the user that is given."""
    return await clerk.send(f"/users/{user.id}/{operation}", version=str(user.modified), **fields)


def secret(text: str) -> str:
    """Return what a page shows this once."""
    found = re.search(r'<code id="secret" tabindex="0">([^<]+)</code>', text)
    assert found, text
    return found[1]


async def test_the_list_tells_who_may_log_in_and_as_what(any_office: Office) -> None:
    await any_office.users.disable("grace", by="test")

    page = await any_office.admin.page("/users")

    row = page.partition(f'<tr id="user-{any_office.operator.user.id}">')[2].partition("</tr>")[0]
    assert '<span class="tag role">operator</span>' in row
    assert re.findall(r'<td class="num"><a href="[^"]+">(\d)</a>', row) == ["1", "0"]
    assert "Disabled" in page.partition("<bdi>grace</bdi>")[2].partition("</tr>")[0]


async def test_a_user_is_added_with_a_password_and_logs_in(office: Office) -> None:
    answer = await office.admin.send("/users", username="hedy", password="four words make one", role="operator")

    assert await office.admin.told(answer) == "ok: hedy can log in now, as operator."
    assert (await office.log_in("hedy", "four words make one")).status_code == 303
    assert (await office.users.get("hedy")).created_by == "rita"


async def test_without_a_password_a_random_one_is_shown_once(office: Office) -> None:
    answer = await office.admin.send("/users", username="hedy", password="", role="viewer")
    again = await office.admin.send("/users", username="hedy", password="", role="viewer")

    password = secret(answer.text)
    assert answer.status_code == 201
    assert password not in f"{answer.headers} {await office.admin.page('/users')} {again.text}"
    assert again.status_code == 422
    assert (await office.log_in("hedy", password)).status_code == 303


async def test_who_has_not_seen_the_password_is_told_what_to_do(office: Office) -> None:
    made = (await office.admin.send("/users", username="hedy", password="", role="viewer")).text
    again = [
        (await office.admin.send("/users", username="Hedy", password="", role="viewer")).text,
        (await office.admin.send("/users", username="hedy", password=PASSWORD, role="viewer")).text,
        (await office.admin.send("/users", username="vera", password="", role="viewer")).text,
    ]
    await office.log_in("hedy", secret(made))
    again.append((await office.admin.send("/users", username="hedy", password="", role="viewer")).text)

    hedy = await office.users.get("hedy")
    assert ["A password is shown only once" in page for page in again] == [True, False, False, False]
    assert f'<a href="/users/{hedy.id}">reset it</a>' in again[0]
    assert secret(made) not in "".join(again)


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [("", PASSWORD, "username"), (" x", PASSWORD, "username"), ("OLGA", PASSWORD, "username"), ("x", "a", "password")],
)
async def test_a_user_that_cannot_be_is_asked_for_again(
    office: Office, username: str, password: str, field: str
) -> None:
    answer = await office.admin.send("/users", username=username, password=password, role="operator")

    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert f'name="username" type="text" value="{username}"' in answer.text
    assert '<option value="operator" selected>' in answer.text
    assert len(await office.users.list()) == 5


async def test_a_role_that_is_none_is_refused(office: Office) -> None:
    answers = [
        await office.admin.send("/users", username="x", password=PASSWORD, role="root"),
        await change(office.admin, office.viewer.user, "role", role=""),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]


async def test_a_role_holds_at_once(office: Office) -> None:
    answer = await change(office.admin, office.viewer.user, "role", role="admin")

    assert await office.admin.told(answer) == "ok: vera is admin now."
    assert (await office.viewer.browser.get("/users")).status_code == 200


async def test_who_is_disabled_is_out_until_enabled_again(office: Office) -> None:
    await change(office.admin, office.viewer.user, "disable")
    out = await office.viewer.browser.get("/workflows")
    disabled = await office.users.get("vera")
    told = await office.admin.told(await change(office.admin, disabled, "enable"))

    assert out.headers["location"].startswith("/login")
    assert told == "ok: vera can log in again."
    assert (await office.log_in("vera")).status_code == 303


async def test_sessions_are_ended_and_ones_own_stays(office: Office) -> None:
    await change(office.admin, office.viewer.user, "logout")
    await change(office.admin, office.admin.user, "logout")

    assert (await office.viewer.browser.get("/workflows")).status_code == 303
    assert (await office.admin.browser.get("/users")).status_code == 200


async def test_a_password_is_reset_and_shown_once(office: Office) -> None:
    answer = await change(office.admin, office.viewer.user, "password", password="")
    repeated = await change(office.admin, office.viewer.user, "password", password="")

    password = secret(answer.text)
    assert (await office.viewer.browser.get("/workflows")).status_code == 303
    assert "has changed vera since you looked" in await office.admin.told(repeated)
    assert password not in await office.admin.page(f"/users/{office.viewer.user.id}")
    assert (await office.log_in("vera", password)).status_code == 303
    assert (await office.log_in("vera")).status_code == 401


async def test_of_one_form_sent_thrice_at_once_one_shows_a_password(any_office: Office) -> None:
    path, seen = f"/users/{any_office.viewer.user.id}/password", str(any_office.viewer.user.modified)
    fields = {"token": token_of(await any_office.admin.browser.get("/account")), "version": seen, "password": ""}

    answers = await asyncio.gather(*(any_office.admin.browser.post(path, data=fields) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200, 303, 303]
    (done, refused, _) = sorted(answers, key=lambda answer: answer.status_code)
    assert (await any_office.log_in("vera", secret(done.text))).status_code == 303
    assert (await any_office.admin.told(refused)).startswith("err: rita has changed vera since you looked")


async def test_a_password_is_reset_to_a_typed_one_that_can_be(office: Office) -> None:
    short = await change(office.admin, office.viewer.user, "password", password="short")
    told = await office.admin.told(
        await change(office.admin, office.viewer.user, "password", password="another very good one")
    )

    assert (short.status_code, 'id="password-error"' in short.text) == (422, True)
    assert told.startswith("ok: ")
    assert (await office.log_in("vera", "another very good one")).status_code == 303


async def test_ones_own_password_is_not_reset_without_the_present_one(office: Office) -> None:
    answer = await change(office.admin, office.admin.user, "password", password="")

    assert answer.headers["location"] == "/account"
    assert (await office.log_in("rita")).status_code == 303


async def test_a_deleted_user_is_gone(office: Office) -> None:
    told = await office.admin.told(await change(office.admin, office.viewer.user, "delete"))

    assert told == "ok: vera is deleted."
    assert (await office.admin.browser.get(f"/users/{office.viewer.user.id}")).status_code == 404
    assert (await office.viewer.browser.get("/workflows")).status_code == 303


@pytest.mark.parametrize(("operation", "fields"), [("role", {"role": "viewer"}), ("disable", {}), ("delete", {})])
async def test_the_last_admin_stays(office: Office, operation: str, fields: dict[str, str]) -> None:
    await office.users.disable("ada", by="test")

    told = await office.admin.told(await change(office.admin, office.admin.user, operation, **fields))

    assert told.startswith("err: 'rita' is the last admin who is enabled")
    assert await office.users.get("rita") == await office.users.by_id(office.admin.user.id)
    assert (await office.users.get("rita")).is_acting_admin


@pytest.mark.parametrize("operation", ["disable", "delete"])
async def test_who_ends_their_own_account_is_logged_out(office: Office, operation: str) -> None:
    answer = await change(office.admin, office.admin.user, operation)

    assert answer.headers["location"] == "/login"
    assert "flowlet_session=;" in answer.headers["set-cookie"]
    assert "Your session has ended" not in (await office.admin.browser.get("/login")).text
    assert (await office.admin.browser.get("/users")).headers["location"].startswith("/login")


async def test_who_gives_up_being_an_admin_is_told_so_where_they_may_look(office: Office) -> None:
    answer = await change(office.admin, office.admin.user, "role", role="viewer")

    assert answer.headers["location"] == "/workflows"
    assert await office.admin.told(answer) == "ok: rita is viewer now."
    assert (await office.admin.browser.get("/users")).status_code == 403


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_nothing_is_done_to_a_user_who_has_changed_meanwhile(office: Office, operation: str) -> None:
    seen = office.viewer.user
    changed = await office.users.set_role("vera", Role.OPERATOR, by="ada")

    told = await office.admin.told(await change(office.admin, seen, operation, role="admin", password=""))

    assert told == "err: ada has changed vera since you looked, and nothing was done. Look again."
    assert await office.users.get("vera") == changed


async def test_others_than_admins_see_no_users_and_change_none(office: Office) -> None:
    before = await office.users.list()
    for clerk in (office.viewer, office.operator):
        pages = [await clerk.browser.get(path) for path in ("/users", f"/users/{clerk.user.id}", "/settings")]
        answers = [
            await change(clerk, clerk.user, operation, role="admin", password=PASSWORD) for operation in OPERATIONS
        ]
        added = await clerk.send("/users", username="eve", password=PASSWORD, role="admin")

        assert {answer.status_code for answer in (*pages, *answers, added)} == {403}
        assert 'href="/users"' not in await clerk.page("/account")
    assert await office.users.list() == before


async def test_a_form_of_another_login_or_without_a_version_does_nothing(office: Office) -> None:
    before = await office.users.list()
    path = f"/users/{office.viewer.user.id}"
    foreign = [
        await office.admin.send(f"{path}/{operation}", token="x", role="admin", version="1") for operation in OPERATIONS
    ]
    added = await office.admin.send("/users", token="x", username="eve", role="admin")
    bare = [await office.admin.send(f"{path}/{operation}", role="admin", version="x") for operation in OPERATIONS]

    assert {answer.status_code for answer in (*foreign, added)} == {403}
    assert {answer.status_code for answer in bare} == {400}
    assert await office.users.list() == before


async def test_names_with_markup_are_text(office: Office) -> None:
    hostile = await office.users.create(ATTACK, PASSWORD, Role.VIEWER, by=ATTACK)
    made = await office.users.keys.add(ATTACK, username=ATTACK, role=Role.VIEWER, by=ATTACK)
    await office.door.probe.services.users.log_in(ATTACK, PASSWORD, user_agent=ATTACK)

    pages = [await office.admin.page(path) for path in ("/users", f"/users/{hostile.id}", "/keys")]
    again = (await office.admin.send("/users", username=f"{ATTACK} ", role="viewer")).text

    for page in (*pages, again):
        assert "alert(1)" in page
        assert "<script>alert" not in page
    assert made.text not in "".join(pages)
