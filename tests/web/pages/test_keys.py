"""The page of API keys: who makes and revokes which, and that a key is shown once."""

from __future__ import annotations

import asyncio
import logging
import re

import httpx
import pytest

from flowlet.roles import Role
from tests.web.pages.door import token_of
from tests.web.pages.office import Clerk, Office
from tests.web.pages.test_users import ATTACK, secret


async def make(clerk: Clerk, **fields: str) -> httpx.Response:
    """Send the form for a key, as the page has it now."""
    found = re.search(r'name="newest" value="(\w*)"', await clerk.page("/keys"))
    assert found
    values = {"newest": found[1], "name": "ci", "role": "viewer", "term": "90", **fields}
    return await clerk.send("/keys", **values)


async def test_a_key_is_shown_once_and_lets_in(office: Office) -> None:
    answer = await make(office.operator, role="operator", name="nightly build")

    key = secret(answer.text)
    me = await office.door.probe.client(**{"x-api-key": key}).get("/api/me")
    (made,) = await office.users.keys.list("olga")
    assert answer.status_code == 201
    assert (me.json()["username"], me.json()["role"]) == ("olga", "operator")
    assert (made.name, made.created_by) == ("nightly build", "olga")
    assert made.expires is not None
    assert made.expires - made.created == 90 * 86_400_000_000
    assert "nightly build" in await office.operator.page("/keys")


async def test_a_key_is_nowhere_but_in_the_answer_to_its_making(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    answer = await make(office.admin)

    key = secret(answer.text)
    pages = [await office.admin.page(path) for path in ("/keys", "/keys?all=true", "/account", "/users")]
    kept = await office.door.probe.services.store.connections.read(lambda each: each.rows("SELECT * FROM api_key"))
    elsewhere = f"{answer.headers} {answer.url} {pages} {caplog.text} {kept} {office.admin.browser.cookies!r}"
    assert answer.text.count(key[13:]) == 1
    assert key[13:] not in elsewhere
    assert "no-store" in answer.headers["cache-control"]


async def test_the_same_form_a_second_time_makes_no_second_key(office: Office) -> None:
    fields = {"newest": "", "name": "ci", "role": "viewer", "term": "90"}
    first = await office.viewer.send("/keys", **fields)

    again = await office.viewer.send("/keys", **fields)

    assert (first.status_code, again.status_code) == (201, 409)
    assert "A key is shown only once" in again.text
    assert 'value="ci"' in again.text
    assert len(await office.users.keys.list("vera")) == 1
    assert (await make(office.viewer)).status_code == 201


async def test_of_one_form_sent_thrice_at_once_one_makes_a_key(any_office: Office) -> None:
    clerk = any_office.operator
    token = token_of(await clerk.browser.get("/keys"))
    fields = {"token": token, "newest": "", "name": "ci", "role": "viewer", "term": "90"}

    answers = await asyncio.gather(*(clerk.browser.post("/keys", data=fields) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert len(await any_office.users.keys.list("olga")) == 1


@pytest.mark.parametrize("fields", [{"role": "admin"}, {"owner": "rita"}, {"owner": "nobody"}])
async def test_nobody_makes_a_key_that_may_do_more(office: Office, fields: dict[str, str]) -> None:
    answer = await make(office.operator, **fields)

    assert answer.status_code == 403
    assert await office.users.keys.list("olga") == []


async def test_a_lesser_api_key_makes_none(office: Office) -> None:
    program = office.door.probe.client("operator")
    fields = {"newest": "", "name": "ci", "role": "viewer", "term": ""}

    answer = await program.post("/keys", data=fields)

    assert answer.status_code == 403
    assert "An API key makes further ones only with the role admin" in answer.json()["detail"]


async def test_an_admin_makes_keys_of_others_within_their_role(office: Office) -> None:
    made = await make(office.admin, owner="vera", term="")
    beyond = await make(office.admin, owner="vera", role="admin")
    nobody = await make(office.admin, owner="nobody")

    (key,) = await office.users.keys.list("vera")
    assert made.status_code == 201
    assert (key.created_by, key.expires) == ("rita", None)
    assert (beyond.status_code, 'id="role-error"' in beyond.text) == (422, True)
    assert (nobody.status_code, 'id="owner-error"' in nobody.text) == (422, True)


@pytest.mark.parametrize(
    ("fields", "status"), [({"name": ""}, 422), ({"name": " x"}, 422), ({"role": "root"}, 400), ({"term": "1e9"}, 400)]
)
async def test_a_key_that_cannot_be_is_refused(office: Office, fields: dict[str, str], status: int) -> None:
    answer = await make(office.viewer, **fields)

    assert answer.status_code == status
    assert await office.users.keys.list("vera") == []


async def test_people_see_and_revoke_their_own_and_admins_all(any_office: Office) -> None:
    await make(any_office.viewer, name="first one")
    await make(any_office.operator, name="second one")
    (olgas,) = await any_office.users.keys.list("olga")
    (veras,) = await any_office.users.keys.list("vera")

    refused = await any_office.viewer.send(f"/keys/{olgas.id}/revoke")
    told = await any_office.viewer.told(await any_office.viewer.send(f"/keys/{veras.id}/revoke"))

    assert "second one" not in await any_office.viewer.page("/keys?all=true")
    assert "second one" in await any_office.admin.page("/keys")
    assert refused.status_code == 404
    assert told == f"ok: The key {veras.id} (first one) is revoked."
    assert "first one" not in await any_office.viewer.page("/keys")
    assert "Revoked" in await any_office.viewer.page("/keys?all=true")
    await any_office.admin.send(f"/keys/{olgas.id}/revoke")
    assert (await any_office.users.keys.list("olga"))[0].revoked is not None


async def test_a_key_whose_owner_is_disabled_is_not_called_active(any_office: Office) -> None:
    made = await any_office.users.keys.add("ci", username="vera", role=Role.VIEWER, by="vera")
    vera = any_office.viewer.user.id
    paths = ("/keys", f"/users/{vera}")

    async def shown() -> list[str]:
        pages = [await any_office.admin.page(path) for path in paths]
        badges = [
            re.findall(r'<span class="badge[^>]+>([^<]+)', page.partition(f"key-{made.key.id}")[2]) for page in pages
        ]
        (count,) = re.findall(rf'<a href="/users/{vera}#keys">(\d+)', await any_office.admin.page("/users"))
        return [count, *(found[0] for found in badges)]

    before = await shown()
    await any_office.users.disable("vera", by="rita")
    meanwhile = await shown()
    await any_office.users.enable("vera", by="rita")

    assert meanwhile == ["0", "Owner disabled", "Owner disabled"]
    assert before == await shown() == ["1", "Active", "Active"]


async def test_an_own_key_that_may_do_more_than_now_is_not_revoked(office: Office) -> None:
    made = await office.users.keys.add("old", username="olga", role=Role.OPERATOR, by="olga")
    await office.users.set_role("olga", Role.VIEWER, by="rita")

    assert (await office.operator.send(f"/keys/{made.key.id}/revoke")).status_code == 403


async def test_a_form_of_another_login_does_nothing(office: Office) -> None:
    made = await office.users.keys.add("own", username="vera", role=Role.VIEWER, by="vera")

    answers = [
        await office.viewer.send(f"/keys/{made.key.id}/revoke", token="x"),
        await office.viewer.send("/keys", token="x", newest=made.key.id, name="ci", role="viewer", term="90"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert await office.users.keys.list("vera") == [made.key]


async def test_names_with_markup_are_text(office: Office) -> None:
    answer = await make(office.viewer, name=ATTACK)
    broken = await make(office.viewer, name=f"{ATTACK} ")

    for page in (answer.text, broken.text):
        assert "alert(1)" in page
        assert "<script>alert" not in page
