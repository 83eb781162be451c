"""The page of API keys: who makes and revokes which, and that a key is shown once."""

from __future__ import annotations

import asyncio
import logging
import re

import httpx
import pytest

from flowlet.accounts.roles import Role
from tests.web.console.console_clients import ConsoleClient, ConsoleClients
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.pages.test_users import ATTACK_TEXT, read_secret


async def create_key(client: ConsoleClient, **fields: str) -> httpx.Response:
    """Send the form for a key, as the page has it now."""
    found = re.search(r'action="/keys">.*?name="version" value="(\d+)"', await client.read_page("/keys"), re.DOTALL)
    assert found
    values = {"version": found[1], "name": "ci", "role": "viewer", "term": "90", **fields}
    return await client.submit_form("/keys", **values)


async def test_a_key_is_shown_once_and_lets_in(console_clients: ConsoleClients) -> None:
    answer = await create_key(console_clients.operator, role="operator", name="nightly build")

    key = read_secret(answer.text)
    me = await console_clients.console.app_harness.open_client(**{"x-api-key": key}).get("/api/me")
    (made,) = await console_clients.users.keys.list_keys("olga")
    assert answer.status_code == 201
    assert (me.json()["username"], me.json()["role"]) == ("olga", "operator")
    assert (made.name, made.created_by) == ("nightly build", "olga")
    assert made.expires is not None
    assert made.expires - made.created == 90 * 86_400_000_000
    assert "nightly build" in await console_clients.operator.read_page("/keys")


async def test_a_key_is_nowhere_but_in_the_answer_to_its_making(
    console_clients: ConsoleClients, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    answer = await create_key(console_clients.admin)

    key = read_secret(answer.text)
    pages = [await console_clients.admin.read_page(path) for path in ("/keys", "/keys?all=true", "/account", "/users")]
    kept = await console_clients.console.app_harness.services.store.connections.read(
        lambda each: each.fetch_rows("SELECT * FROM flowlet_api_key")
    )
    elsewhere = f"{answer.headers} {answer.url} {pages} {caplog.text} {kept} {console_clients.admin.browser.cookies!r}"
    assert answer.text.count(key[13:]) == 1
    assert key[13:] not in elsewhere
    assert "no-store" in answer.headers["cache-control"]


async def test_the_same_form_a_second_time_makes_no_second_key(console_clients: ConsoleClients) -> None:
    fields = {"version": "0", "name": "ci", "role": "viewer", "term": "90"}
    first = await console_clients.viewer.submit_form("/keys", **fields)

    again = await console_clients.viewer.submit_form("/keys", **fields)

    assert (first.status_code, again.status_code) == (201, 409)
    assert "A key is shown only once" in again.text
    assert 'value="ci"' in again.text
    assert len(await console_clients.users.keys.list_keys("vera")) == 1
    assert (await create_key(console_clients.viewer)).status_code == 201


async def test_of_one_form_sent_thrice_at_once_one_makes_a_key(any_console_clients: ConsoleClients) -> None:
    client = any_console_clients.operator
    token = read_csrf_token(await client.browser.get("/keys"))
    fields = {"token": token, "version": "0", "name": "ci", "role": "viewer", "term": "90"}

    answers = await asyncio.gather(*(client.browser.post("/keys", data=fields) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert len(await any_console_clients.users.keys.list_keys("olga")) == 1


@pytest.mark.parametrize("fields", [{"role": "admin"}, {"owner": "rita"}, {"owner": "nobody"}])
async def test_nobody_makes_a_key_that_may_do_more(console_clients: ConsoleClients, fields: dict[str, str]) -> None:
    answer = await create_key(console_clients.operator, **fields)

    assert answer.status_code == 403
    assert await console_clients.users.keys.list_keys("olga") == []


async def test_a_lesser_api_key_makes_none(console_clients: ConsoleClients) -> None:
    program = console_clients.console.app_harness.open_client("operator")
    fields = {"version": "0", "name": "ci", "role": "viewer", "term": ""}

    answer = await program.post("/keys", data=fields)

    assert answer.status_code == 403
    assert "An API key creates further keys only with the role admin" in answer.json()["detail"]


async def test_an_admin_makes_keys_of_others_within_their_role(console_clients: ConsoleClients) -> None:
    made = await create_key(console_clients.admin, owner="vera", term="")
    beyond = await create_key(console_clients.admin, owner="vera", role="admin")
    nobody = await create_key(console_clients.admin, owner="nobody")

    (key,) = await console_clients.users.keys.list_keys("vera")
    assert made.status_code == 201
    assert (key.created_by, key.expires) == ("rita", None)
    assert (beyond.status_code, 'id="role-error"' in beyond.text) == (422, True)
    assert (nobody.status_code, 'id="owner-error"' in nobody.text) == (422, True)


@pytest.mark.parametrize(
    ("fields", "status"), [({"name": ""}, 422), ({"name": " x"}, 422), ({"role": "root"}, 400), ({"term": "1e9"}, 400)]
)
async def test_a_key_that_cannot_be_is_refused(
    console_clients: ConsoleClients, fields: dict[str, str], status: int
) -> None:
    answer = await create_key(console_clients.viewer, **fields)

    assert answer.status_code == status
    assert await console_clients.users.keys.list_keys("vera") == []


async def test_people_see_and_revoke_their_own_and_admins_all(any_console_clients: ConsoleClients) -> None:
    await create_key(any_console_clients.viewer, name="first one")
    await create_key(any_console_clients.operator, name="second one")
    (olgas,) = await any_console_clients.users.keys.list_keys("olga")
    (veras,) = await any_console_clients.users.keys.list_keys("vera")

    refused = await any_console_clients.viewer.submit_form(f"/keys/{olgas.id}/revoke", version="1")
    notice = await any_console_clients.viewer.read_notice(
        await any_console_clients.viewer.submit_form(f"/keys/{veras.id}/revoke", version="1")
    )

    assert "second one" not in await any_console_clients.viewer.read_page("/keys?all=true")
    assert "second one" in await any_console_clients.admin.read_page("/keys")
    assert refused.status_code == 404
    assert notice == f"ok: API key {veras.id} (first one) revoked."
    assert "first one" not in await any_console_clients.viewer.read_page("/keys")
    assert "Revoked" in await any_console_clients.viewer.read_page("/keys?all=true")
    await any_console_clients.admin.submit_form(f"/keys/{olgas.id}/revoke", version="1")
    assert (await any_console_clients.users.keys.list_keys("olga"))[0].revoked is not None


async def test_a_key_whose_owner_is_disabled_is_not_called_active(console_clients: ConsoleClients) -> None:
    made = await console_clients.users.keys.create("ci", username="vera", role=Role.VIEWER, actor="vera")
    vera = console_clients.viewer.user.id
    paths = ("/keys", f"/users/{vera}")

    async def list_shown_keys() -> list[str]:
        pages = [await console_clients.admin.read_page(path) for path in paths]
        badges = [
            re.findall(r'<span class="badge[^>]+>([^<]+)', page.partition(f"key-{made.key.id}")[2]) for page in pages
        ]
        (count,) = re.findall(rf'<a href="/users/{vera}#keys">(\d+)', await console_clients.admin.read_page("/users"))
        return [count, *(found[0] for found in badges)]

    before = await list_shown_keys()
    await console_clients.users.disable("vera", actor="rita")
    meanwhile = await list_shown_keys()
    await console_clients.users.enable("vera", actor="rita")

    assert meanwhile == ["0", "Owner disabled", "Owner disabled"]
    assert before == await list_shown_keys() == ["1", "Active", "Active"]


async def test_an_own_key_that_may_do_more_than_now_is_not_revoked(console_clients: ConsoleClients) -> None:
    made = await console_clients.users.keys.create("old", username="olga", role=Role.OPERATOR, actor="olga")
    await console_clients.users.set_role("olga", Role.VIEWER, actor="rita")

    assert (await console_clients.operator.submit_form(f"/keys/{made.key.id}/revoke", version="1")).status_code == 403


async def test_a_form_of_another_login_does_nothing(console_clients: ConsoleClients) -> None:
    made = await console_clients.users.keys.create("own", username="vera", role=Role.VIEWER, actor="vera")

    answers = [
        await console_clients.viewer.submit_form(f"/keys/{made.key.id}/revoke", token="x"),
        await console_clients.viewer.submit_form("/keys", token="x", version="1", name="ci", role="viewer", term="90"),
    ]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert await console_clients.users.keys.list_keys("vera") == [made.key]


async def test_names_with_markup_are_text(console_clients: ConsoleClients) -> None:
    answer = await create_key(console_clients.viewer, name=ATTACK_TEXT)
    broken = await create_key(console_clients.viewer, name=f"{ATTACK_TEXT} ")

    for page in (answer.text, broken.text):
        assert "alert(1)" in page
        assert "<script>alert" not in page
