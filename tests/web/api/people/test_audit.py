"""The audit over HTTP, and API keys that act on behalf of a person."""

from __future__ import annotations

import httpx

from flowlet.accounts.roles import Role
from tests.web.api.api_harness import ApiHarness


async def open_representing_client(harness: ApiHarness, person: str, role: Role = Role.OPERATOR) -> httpx.AsyncClient:
    users = harness.app_harness.services.users
    key = await users.keys.create("portal", username="ada", role=role, actor="ada", may_act_on_behalf=True)
    client = harness.app_harness.open_client(**{"X-API-Key": key.text})
    client.headers = httpx.Headers({**client.headers, "On-Behalf-Of": person}, encoding="utf-8")
    return client


async def test_admins_read_the_audit_page_by_page(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create("review")
    await sqlite_api_harness.post(f"/api/workflows/{id}/cancel")
    other = await sqlite_api_harness.create("review")
    await sqlite_api_harness.post(f"/api/workflows/{other}/pause", {"reason": "the card 4111"})
    async with sqlite_api_harness.app_harness.open_client("admin") as admin:
        newest = (await admin.get("/api/audit", params={"limit": 1})).json()
        older = (await admin.get("/api/audit", params={"before": newest[0]["id"], "person": "ada"})).json()
        unknown = await admin.get("/api/audit", params={"action": "workflow.paussed"})
        bad = await admin.get("/api/audit", params={"before": "0"})
    forbidden = await sqlite_api_harness.client.get("/api/audit")

    (paused,) = newest
    assert (paused["actor"], paused["onBehalfOf"], paused["action"]) == ("ada", None, "workflow.paused")
    assert (paused["subject"], paused["detail"]) == (str(other), "Orders: check")
    assert paused["via"].startswith("key ")
    # What a program creates for itself is in the history alone.
    assert [one["action"] for one in older] == ["workflow.cancelled"]
    assert (unknown.status_code, bad.status_code, forbidden.status_code) == (400, 400, 403)


async def test_a_key_acts_on_behalf_of_a_person_only_if_an_admin_said_so(sqlite_api_harness: ApiHarness) -> None:
    harness = sqlite_api_harness.app_harness
    users = harness.services.users
    await users.create("Zoë", "four words make one", Role.VIEWER, actor="ada")
    await users.create("gone", "four words make one", Role.ADMIN, actor="ada", is_disabled=True)
    id = await sqlite_api_harness.create("later")

    async def pause(person: str, role: Role = Role.OPERATOR) -> httpx.Response:
        async with await open_representing_client(sqlite_api_harness, person, role) as client:
            return await client.post(f"/api/workflows/{id}/pause", json={})

    async with harness.open_client("operator", **{"On-Behalf-Of": "kim"}) as plain:
        unflagged = await plain.get("/api/workflows/1")
    async with harness.open_admin_browser(**{"On-Behalf-Of": "kim"}) as browser:
        by_session = await browser.get("/api/workflows/1")
    operator = sqlite_api_harness.client
    by_operator = await operator.post("/api/keys", json={"name": "x", "mayActOnBehalf": True})
    refused = [(await pause(name)).status_code for name in ("zo%C3%AB", "gone", "", "x" * 121, "%FF", "a%00b")]
    # Neither may become another person, whom no rule excludes: a misread name, and two names that a proxy has joined.
    misread = [(await pause(name)).json() for name in ("Zoë", "mallory, gone", "gone,")]
    paused = await pause("kim%20%E2%82%AC", Role.ADMIN)
    lines = await sqlite_api_harness.get(f"/api/actions/byWorkflowId/{id}")

    assert (unflagged.status_code, by_session.status_code, by_operator.status_code) == (403, 403, 403)
    assert refused == [403, 403, 400, 400, 400, 400]  # a viewer pauses nothing, whoever's key it is
    assert [problem["status"] for problem in misread] == [400, 400, 400]
    assert "percent-encoded" in misread[0]["detail"]
    assert "%2C" in misread[1]["detail"]
    assert paused.status_code == 200
    assert (lines[0]["type"], lines[0]["username"], lines[0]["onBehalfOf"]) == ("PAUSED", "ada", "kim €")


async def test_a_key_reads_for_whom_it_acts_and_may_act(sqlite_api_harness: ApiHarness) -> None:
    await sqlite_api_harness.app_harness.services.users.create("Zoe", "four words make one", Role.VIEWER, actor="ada")

    async with await open_representing_client(sqlite_api_harness, "zoe") as client:
        represented = (await client.get("/api/me")).json()
        del client.headers["On-Behalf-Of"]
        alone = (await client.get("/api/me")).json()

    assert (represented["username"], represented["onBehalfOf"], represented["role"]) == ("ada", "Zoe", "viewer")
    assert (alone["username"], alone["onBehalfOf"], alone["role"]) == ("ada", None, "operator")
    assert represented["mayActOnBehalf"] is alone["mayActOnBehalf"] is True


async def test_a_key_on_behalf_of_a_person_sees_and_revokes_the_keys_of_that_person_alone(
    sqlite_api_harness: ApiHarness,
) -> None:
    users = sqlite_api_harness.app_harness.services.users
    await users.create("bea", "four words make one", Role.OPERATOR, actor="ada")
    own = (await users.keys.create("ci", username="bea", role=Role.VIEWER, actor="ada")).key.id
    of_owner = sqlite_api_harness.app_harness.keys["viewer"][4:12]

    async with await open_representing_client(sqlite_api_harness, "kim") as stranger:
        nothing = await stranger.get("/api/keys")
    async with await open_representing_client(sqlite_api_harness, "bea") as client:
        listed = [one["id"] for one in (await client.get("/api/keys")).json()]
        statuses = [(await client.delete(f"/api/keys/{id}")).status_code for id in (of_owner, own)]

    assert (nothing.status_code, nothing.json(), listed) == (200, [], [own])
    assert statuses == [404, 204]


async def test_the_console_names_the_person_who_decided_and_not_the_owner_of_the_key(
    sqlite_executing_api_harness: ApiHarness,
) -> None:
    api = sqlite_executing_api_harness
    id = (await api.create_and_wait("review", "review"))["id"]
    async with await open_representing_client(api, "kim") as client:
        answered = await client.post(f"/api/workflows/{id}/state", json={"state": "rejected"})

    async with api.app_harness.open_admin_browser() as browser:
        page = (await browser.get(f"/workflows/{id}")).text

    assert answered.status_code == 200
    assert "by <b><bdi>kim</bdi></b>" in page


async def test_what_a_person_creates_over_the_api_with_a_session_is_recorded(sqlite_api_harness: ApiHarness) -> None:
    async with sqlite_api_harness.app_harness.open_admin_browser(**{"Sec-Fetch-Site": "same-origin"}) as browser:
        created = (await browser.post("/api/workflows", json={"workflowType": "Orders"})).json()
        (newest, *_) = (await browser.get("/api/audit")).json()

    assert (newest["action"], newest["via"], newest["subject"]) == ("workflow.created", "api", str(created["id"]))
