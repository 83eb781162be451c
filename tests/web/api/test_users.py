"""Users over HTTP: admins create, change and delete them."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.accounts.roles import Role
from tests.web.api.api_users import PASSWORD, create_api_user
from tests.web.app_harness import AppHarness

NEW_USER = {"username": "grace", "password": "another good password"}


async def test_a_user_is_made_as_viewer_and_may_log_in(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client("admin").post("/api/users", json=NEW_USER)

    body = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/users/{body['id']}")
    assert (body["username"], body["role"], body["isDisabled"]) == ("grace", "viewer", False)
    assert (body["createdBy"], body["lastLogin"]) == ("ada", None)
    assert await app_harness.services.users.authenticate("grace", NEW_USER["password"])


async def test_users_are_listed_by_name_and_shown_by_id(any_app_harness: AppHarness) -> None:
    admin = any_app_harness.open_client("admin")
    made = (await admin.post("/api/users", json={**NEW_USER, "role": "operator"})).json()

    listed = (await admin.get("/api/users")).json()

    assert [(user["username"], user["role"]) for user in listed] == [("ada", "admin"), ("grace", "operator")]
    assert (await admin.get(f"/api/users/{made['id']}")).json() == made


FAULTY_USERS: list[tuple[Any, str]] = [
    ({}, "username"),
    ({"username": "grace"}, "password"),
    ({**NEW_USER, "role": "root"}, "role"),
    ({**NEW_USER, "rol": "admin"}, "rol"),
    ({**NEW_USER, "password": 12345678}, "password"),
    ({**NEW_USER, "password": "with\ttabs inside"}, "password"),
    ({**NEW_USER, "password": "short"}, "password"),
    ({**NEW_USER, "username": " grace"}, "username"),
    ({**NEW_USER, "username": "g" * 121}, "username"),
    ({**NEW_USER, "username": "a\x00b"}, "username"),
    ([], ""),
]


async def test_a_user_that_cannot_be_is_refused_by_field(app_harness: AppHarness, subtests: pytest.Subtests) -> None:
    for body, field in FAULTY_USERS:
        with subtests.test(str(body)):
            answer = await app_harness.open_client("admin").post("/api/users", json=body)

            assert (answer.status_code, answer.json()["type"]) == (400, "/problems/faulty")
            assert answer.json()["errors"][0]["field"] == field
            assert len((await app_harness.open_client("admin").get("/api/users")).json()) == 1


async def test_a_name_that_is_taken_is_refused_whatever_its_case(any_app_harness: AppHarness) -> None:
    answer = await any_app_harness.open_client("admin").post("/api/users", json={**NEW_USER, "username": "ADA"})

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/refused")


async def test_a_changed_password_ends_the_sessions_and_leaves_the_keys(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.OPERATOR)

    path = f"/api/users/{grace.id}/password"
    answer = await app_harness.open_client("admin").post(path, json={"password": NEW_USER["password"]})

    assert (answer.status_code, answer.json()["modifiedBy"]) == (200, "ada")
    assert (await grace.open_browser().get("/api/me")).status_code == 401
    assert (await grace.open_key_client().get("/api/me")).status_code == 200
    assert await app_harness.services.users.authenticate("grace", PASSWORD) is None
    assert await app_harness.services.users.authenticate("grace", NEW_USER["password"])


async def test_an_admin_who_changes_the_own_password_stays_logged_in(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.ADMIN)
    other = await app_harness.services.users.log_in("grace", PASSWORD)
    assert other

    await grace.open_browser().post(f"/api/users/{grace.id}/password", json={"password": NEW_USER["password"]})

    assert (await grace.open_browser().get("/api/me")).status_code == 200
    assert await app_harness.services.users.sessions.authenticate_session(other[0]) is None


async def test_a_changed_role_holds_at_once(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.ADMIN)
    assert (await grace.open_key_client().get("/api/users")).status_code == 200

    answer = await app_harness.open_client("admin").post(f"/api/users/{grace.id}/role", json={"role": "viewer"})

    assert answer.json()["role"] == "viewer"
    assert (await grace.open_key_client().get("/api/users")).status_code == 403
    assert (await grace.open_browser().get("/api/users")).status_code == 403


async def test_who_is_disabled_gets_in_again_when_enabled(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.VIEWER)
    admin = app_harness.open_client("admin")

    disabled = await admin.post(f"/api/users/{grace.id}/disable")
    while_disabled = await grace.open_key_client().get("/api/me")
    enabled = await admin.post(f"/api/users/{grace.id}/enable")

    assert (disabled.json()["isDisabled"], enabled.json()["isDisabled"]) == (True, False)
    assert while_disabled.status_code == 401
    assert (await grace.open_key_client().get("/api/me")).json()["username"] == "grace"


async def test_a_deleted_user_is_gone_with_sessions_and_keys(any_app_harness: AppHarness) -> None:
    grace = await create_api_user(any_app_harness, "grace", Role.VIEWER)
    admin = any_app_harness.open_client("admin")

    answer = await admin.delete(f"/api/users/{grace.id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await grace.open_key_client().get("/api/me")).status_code == 401
    assert (await grace.open_browser().get("/api/me")).status_code == 401
    assert (await admin.delete(f"/api/users/{grace.id}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "end", "body"),
    [("DELETE", "", None), ("POST", "/role", {"role": "operator"}), ("POST", "/disable", None)],
)
async def test_the_last_admin_stays(app_harness: AppHarness, method: str, end: str, body: Any) -> None:
    ada = (await app_harness.services.users.get("ada")).id

    answer = await app_harness.open_client("admin").request(method, f"/api/users/{ada}{end}", json=body)

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/refused")
    assert "last enabled admin" in answer.json()["detail"]


HOSTILE_IDS = ["0", "-1", "2", "1.0", "ada", "%2B1", "9" * 19, "9" * 20, "1%20"]


async def test_an_id_that_is_nobodys_is_not_found(app_harness: AppHarness, subtests: pytest.Subtests) -> None:
    admin = app_harness.open_client("admin")

    for id in HOSTILE_IDS:
        with subtests.test(id[:25]):
            answers = [
                await admin.get(f"/api/users/{id}"),
                await admin.delete(f"/api/users/{id}"),
                await admin.post(f"/api/users/{id}/role", json={"role": "viewer"}),
                await admin.post(f"/api/users/{id}/enable"),
            ]

            assert [(each.status_code, each.json()["type"]) for each in answers] == [(404, "/problems/not-found")] * 4


async def test_an_id_of_more_digits_than_python_reads_is_no_fault_of_the_server(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client("admin").get(f"/api/users/{'9' * 5000}")

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_me_is_who_asks_with_the_role_of_the_key(app_harness: AppHarness) -> None:
    by_key = (await app_harness.open_client("operator").get("/api/me")).json()
    by_session = (await app_harness.open_admin_browser().get("/api/me")).json()
    alone = {"mayActOnBehalf": False, "onBehalfOf": None}

    assert by_key == {
        "id": 1,
        "username": "ada",
        "role": "operator",
        "keyId": app_harness.keys["operator"][4:12],
        **alone,
    }
    assert by_session == {"id": 1, "username": "ada", "role": "admin", "keyId": None, **alone}
