"""API keys over HTTP: a user's own, and for admins those of all users."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.accounts.roles import Role
from tests.web.api.api_users import create_api_user
from tests.web.app_harness import AppHarness


async def test_a_key_is_shown_once_and_lets_in(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.OPERATOR)

    answer = await grace.open_browser().post(
        "/api/keys", json={"name": "ci", "role": "operator", "expiresIn": "90 days"}
    )
    listed = await grace.open_browser().get("/api/keys")

    made = answer.json()
    me = await app_harness.open_client(**{"x-api-key": made["key"]}).get("/api/me")
    assert (answer.status_code, made["name"], made["username"], made["role"]) == (201, "ci", "grace", "operator")
    assert made["expires"] > made["created"]
    expected = {"id": grace.id, "username": "grace", "role": "operator", "keyId": made["id"]}
    assert me.json() == {**expected, "mayActOnBehalf": False, "onBehalfOf": None}
    assert [key["name"] for key in listed.json()] == ["ci", "own"]
    assert "key" not in listed.json()[0]


async def test_people_see_their_own_keys_and_admins_all(any_app_harness: AppHarness) -> None:
    grace = await create_api_user(any_app_harness, "grace", Role.OPERATOR)

    own = (await grace.open_key_client().get("/api/keys")).json()
    of_a_viewers_key = (await any_app_harness.open_client("viewer").get("/api/keys")).json()
    everybodys = (await any_app_harness.open_client("admin").get("/api/keys")).json()

    assert {key["username"] for key in own} == {"grace"}
    assert {key["username"] for key in of_a_viewers_key} == {"ada"}
    assert {key["username"] for key in everybodys} == {"ada", "grace"}


async def test_an_admin_makes_keys_of_others(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.VIEWER)

    made = (await app_harness.open_client("admin").post("/api/keys", json={"name": "ci", "username": "grace"})).json()

    assert (made["userId"], made["role"], made["createdBy"], made["expires"]) == (grace.id, "viewer", "ada", None)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"name": "ci", "username": "ada"}, "Only an admin creates keys for other users"),
        ({"name": "ci", "username": "nobody"}, "Only an admin creates keys for other users"),
        ({"name": "ci", "role": "admin"}, "can have the role operator at most, not admin"),
    ],
)
async def test_nobody_makes_a_key_that_may_do_more(app_harness: AppHarness, body: dict[str, str], detail: str) -> None:
    grace = await create_api_user(app_harness, "grace", Role.OPERATOR)

    answer = await grace.open_browser().post("/api/keys", json=body)

    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_a_lesser_key_makes_none_even_if_its_owner_is_an_admin(app_harness: AppHarness, role: str) -> None:
    answer = await app_harness.open_client(role).post("/api/keys", json={"name": "ci"})

    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


FAULTY_KEYS: list[tuple[Any, int, str | None]] = [
    ({}, 400, "name"),
    ({"name": ""}, 400, "name"),
    ({"name": "x" * 121}, 400, "name"),
    ({"name": "ci", "role": "root"}, 400, "role"),
    ({"name": "ci", "expiresIn": "soon"}, 400, "expiresIn"),
    ({"name": "ci", "expiresIn": "0s"}, 400, "expiresIn"),
    ({"name": "ci", "expiresIn": "11000 days"}, 400, "expiresIn"),
    ({"name": "ci", "key": "flk_"}, 400, "key"),
    ({"name": "ci", "expiresIn": {}}, 400, "expiresIn"),
    ({"name": "ci", "username": "nobody"}, 404, None),
    ({"name": "ci", "username": "grace", "role": "admin"}, 409, None),
]


async def test_a_key_that_cannot_be_is_refused(app_harness: AppHarness, subtests: pytest.Subtests) -> None:
    await create_api_user(app_harness, "grace", Role.VIEWER)

    for body, status, field in FAULTY_KEYS:
        with subtests.test(str(body)):
            answer = await app_harness.open_client("admin").post("/api/keys", json=body)

            assert answer.status_code == status
            if field is not None:
                assert answer.json()["errors"][0]["field"] == field
            assert len((await app_harness.open_client("admin").get("/api/keys")).json()) == 4


async def test_a_revoked_key_lets_nobody_in_and_stays_in_the_list(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.VIEWER)
    id = grace.key[4:12]

    answer = await grace.open_key_client().delete(f"/api/keys/{id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await grace.open_key_client().get("/api/me")).status_code == 401
    assert (await grace.open_browser().get("/api/keys")).json()[0]["revoked"] is not None
    assert (await app_harness.open_client("admin").delete(f"/api/keys/{id}")).status_code == 204


async def test_only_admins_revoke_the_keys_of_others(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.OPERATOR)
    of_ada = app_harness.keys["viewer"][4:12]

    refused = await grace.open_key_client().delete(f"/api/keys/{of_ada}")
    unknown = await grace.open_key_client().delete("/api/keys/aaaaaaaa")
    revoked = await app_harness.open_client("admin").delete(f"/api/keys/{grace.key[4:12]}")

    assert [refused.status_code, unknown.status_code, revoked.status_code] == [404, 404, 204]
    assert refused.json() == unknown.json()
    assert (await app_harness.open_client("viewer").get("/api/me")).status_code == 200


async def test_a_lesser_key_does_not_revoke_a_greater_one_of_its_owner(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client("viewer").delete(f"/api/keys/{app_harness.keys['admin'][4:12]}")

    assert answer.status_code == 403
    assert (await app_harness.open_client("admin").get("/api/me")).status_code == 200


async def test_what_is_no_keys_id_is_not_found_and_not_repeated(
    app_harness: AppHarness, subtests: pytest.Subtests
) -> None:
    for id in ("x", "%2E%2E", "flk_aaaaaaaa_" + "b" * 43, "a" * 5000):
        for role in ("viewer", "admin"):
            with subtests.test(f"{role} {id[:20]}"):
                answer = await app_harness.open_client(role).delete(f"/api/keys/{id}")

                assert answer.status_code == 404
                assert "b" * 43 not in answer.text
