"""Users over the API: made, changed and deleted by admins."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.roles import Role
from tests.web.api.shop import PASSWORD, joined
from tests.web.probe import Probe

NEW = {"username": "grace", "password": "another good password"}


async def test_a_user_is_made_as_viewer_and_may_log_in(any_probe: Probe) -> None:
    answer = await any_probe.client("admin").post("/api/users", json=NEW)

    told = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/users/{told['id']}")
    assert (told["username"], told["role"], told["isDisabled"]) == ("grace", "viewer", False)
    assert (told["createdBy"], told["lastLogin"]) == ("ada", None)
    assert await any_probe.services.users.authenticate("grace", NEW["password"])


async def test_users_are_listed_by_name_and_shown_by_id(any_probe: Probe) -> None:
    admin = any_probe.client("admin")
    made = (await admin.post("/api/users", json={**NEW, "role": "operator"})).json()

    listed = (await admin.get("/api/users")).json()

    assert [(user["username"], user["role"]) for user in listed] == [("ada", "admin"), ("grace", "operator")]
    assert (await admin.get(f"/api/users/{made['id']}")).json() == made


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({"username": "grace"}, "password"),
        ({**NEW, "role": "root"}, "role"),
        ({**NEW, "id": 1}, "id"),
        ({**NEW, "password": 12345678}, "password"),
        ({**NEW, "password": "with\ttabs inside"}, "password"),
        ({**NEW, "password": "short"}, "password"),
        ({**NEW, "username": " grace"}, "username"),
        ({**NEW, "username": "g" * 121}, "username"),
        ({**NEW, "username": "a\x00b"}, "username"),
        ([], ""),
    ],
)
async def test_a_user_that_cannot_be_is_refused_by_field(probe: Probe, body: Any, field: str) -> None:
    answer = await probe.client("admin").post("/api/users", json=body)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/faulty")
    assert answer.json()["errors"][0]["field"] == field
    assert len((await probe.client("admin").get("/api/users")).json()) == 1


async def test_a_name_that_is_taken_is_refused_whatever_its_case(any_probe: Probe) -> None:
    answer = await any_probe.client("admin").post("/api/users", json={**NEW, "username": "ADA"})

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/refused")


async def test_a_changed_password_ends_the_sessions_and_leaves_the_keys(any_probe: Probe) -> None:
    grace = await joined(any_probe, "grace", Role.OPERATOR)

    path = f"/api/users/{grace.id}/password"
    answer = await any_probe.client("admin").post(path, json={"password": NEW["password"]})

    assert (answer.status_code, answer.json()["modifiedBy"]) == (200, "ada")
    assert (await grace.browser().get("/api/me")).status_code == 401
    assert (await grace.program().get("/api/me")).status_code == 200
    assert await any_probe.services.users.authenticate("grace", PASSWORD) is None
    assert await any_probe.services.users.authenticate("grace", NEW["password"])


async def test_an_admin_who_changes_the_own_password_stays_logged_in(any_probe: Probe) -> None:
    grace = await joined(any_probe, "grace", Role.ADMIN)
    other = await any_probe.services.users.log_in("grace", PASSWORD)
    assert other

    await grace.browser().post(f"/api/users/{grace.id}/password", json={"password": NEW["password"]})

    assert (await grace.browser().get("/api/me")).status_code == 200
    assert await any_probe.services.users.session(other[0]) is None


async def test_a_changed_role_holds_at_once(any_probe: Probe) -> None:
    grace = await joined(any_probe, "grace", Role.ADMIN)
    assert (await grace.program().get("/api/users")).status_code == 200

    answer = await any_probe.client("admin").post(f"/api/users/{grace.id}/role", json={"role": "viewer"})

    assert answer.json()["role"] == "viewer"
    assert (await grace.program().get("/api/users")).status_code == 403
    assert (await grace.browser().get("/api/users")).status_code == 403


async def test_who_is_disabled_gets_in_again_when_enabled(any_probe: Probe) -> None:
    grace = await joined(any_probe, "grace", Role.VIEWER)
    admin = any_probe.client("admin")

    disabled = await admin.post(f"/api/users/{grace.id}/disable")
    while_disabled = await grace.program().get("/api/me")
    enabled = await admin.post(f"/api/users/{grace.id}/enable")

    assert (disabled.json()["isDisabled"], enabled.json()["isDisabled"]) == (True, False)
    assert while_disabled.status_code == 401
    assert (await grace.program().get("/api/me")).json()["username"] == "grace"


async def test_a_deleted_user_is_gone_with_sessions_and_keys(any_probe: Probe) -> None:
    grace = await joined(any_probe, "grace", Role.VIEWER)
    admin = any_probe.client("admin")

    answer = await admin.delete(f"/api/users/{grace.id}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await grace.program().get("/api/me")).status_code == 401
    assert (await grace.browser().get("/api/me")).status_code == 401
    assert (await admin.delete(f"/api/users/{grace.id}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "end", "body"),
    [("DELETE", "", None), ("POST", "/role", {"role": "operator"}), ("POST", "/disable", None)],
)
async def test_the_last_admin_stays(any_probe: Probe, method: str, end: str, body: Any) -> None:
    ada = (await any_probe.services.users.get("ada")).id

    answer = await any_probe.client("admin").request(method, f"/api/users/{ada}{end}", json=body)

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/refused")
    assert "last admin" in answer.json()["detail"]


IDS = ["0", "-1", "2", "1.0", "ada", "%2B1", "9" * 19, "9" * 20, "1%20"]


@pytest.mark.parametrize("id", IDS, ids=lambda id: id[:25])
async def test_an_id_that_is_nobodys_is_not_found(probe: Probe, id: str) -> None:
    admin = probe.client("admin")

    answers = [
        await admin.get(f"/api/users/{id}"),
        await admin.delete(f"/api/users/{id}"),
        await admin.post(f"/api/users/{id}/role", json={"role": "viewer"}),
        await admin.post(f"/api/users/{id}/enable"),
    ]

    assert [(each.status_code, each.json()["type"]) for each in answers] == [(404, "/problems/not-found")] * 4


async def test_an_id_of_more_digits_than_python_reads_is_no_fault_of_the_server(probe: Probe) -> None:
    answer = await probe.client("admin").get(f"/api/users/{'9' * 5000}")

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_me_is_who_asks_with_the_role_of_the_key(probe: Probe) -> None:
    by_key = (await probe.client("operator").get("/api/me")).json()
    by_session = (await probe.browser().get("/api/me")).json()

    assert by_key == {"id": 1, "username": "ada", "role": "operator", "keyId": probe.keys["operator"][4:12]}
    assert by_session == {"id": 1, "username": "ada", "role": "admin", "keyId": None}
