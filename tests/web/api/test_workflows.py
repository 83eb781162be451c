"""Workflows over HTTP: create, read, search, and the operations on one workflow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.clock import to_datetime
from flowlet.instance.instance import Status
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.executors import ExecutorRecord
from flowlet.web.schemas import format_rfc3339
from tests.web.api.api_harness import ApiHarness, open_api_harness


@pytest.fixture
async def api_harness(database_url: str) -> AsyncIterator[ApiHarness]:
    """An application with a running executor, on each of the three databases."""
    async with open_api_harness(database_url, has_executor=True) as office:
        yield office


@pytest.fixture
async def idle_api_harness(database_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on each of the three databases."""
    async with open_api_harness(database_url, has_executor=False) as office:
        yield office


@pytest.fixture
async def sqlite_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on SQLite: for what cannot differ by database."""
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        yield office


async def test_what_is_created_is_found_by_id_and_by_external_id(idle_api_harness: ApiHarness) -> None:
    body = {
        "WorkflowType": "Orders",
        "externalId": "order/Ω 7",
        "BusinessKey": "customer-1",
        "executorGroup": "night",
        "priority": 3,
        "stateVars": {"way": "later", "amount": 5},
    }

    answer = await idle_api_harness.client.post("/api/workflows", json=body)

    id = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (201, {"id": id, "externalId": "order/Ω 7"})
    assert answer.headers["location"] == f"/api/workflows/{id}"
    found = await idle_api_harness.get(answer.headers["location"])
    assert found == await idle_api_harness.get("/api/workflowByExternalId/order%2F%CE%A9%207")
    assert found["stateVars"] == {"way": "later", "amount": 5}
    shown = {name: found[name] for name in ("workflowType", "businessKey", "executorGroup", "priority", "createdBy")}
    assert list(shown.values()) == ["Orders", "customer-1", "night", 3, "ada"]
    assert (found["status"], found["state"], found["started"], found["executionCount"]) == ("NEW", "check", None, 1)


async def test_a_known_external_id_gives_the_known_workflow_unchanged(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create("later", externalId="order-1")

    again = await idle_api_harness.client.post(
        "/api/workflows", json={"workflowType": "Orders", "externalId": "order-1", "stateVars": {"way": "fail"}}
    )

    assert (again.status_code, again.json()) == (200, {"id": id, "externalId": "order-1"})
    assert (await idle_api_harness.get(f"/api/workflows/{id}"))["stateVars"]["way"] == "later"


async def test_what_a_create_leaves_out_is_filled_in(sqlite_api_harness: ApiHarness) -> None:
    body = {"workflowType": "Orders", "externalId": "", "businessKey": "", "executorGroup": "", "stateVars": None}

    created = await sqlite_api_harness.post("/api/workflows", body, status=201)

    found = await sqlite_api_harness.get(f"/api/workflows/{created['externalId']}")
    assert found["businessKey"] == found["externalId"] == created["externalId"]
    assert (found["executorGroup"], found["stateVars"]) == ("default", {"way": "charge", "amount": 1})


async def test_a_first_activation_may_be_later(api_harness: ApiHarness) -> None:
    later = format_rfc3339(api_harness.app_harness.services.store.clock.now() + 3_600_000_000)
    at = await api_harness.create(nextActivation=later)
    after = await api_harness.create(nextActivationOffset="1h")
    past = await api_harness.create_and_wait("delivered", "charge", nextActivation="0001-01-01T00:00:00Z")

    found = [await api_harness.get(f"/api/workflows/{id}") for id in (at, after)]

    assert [one["status"] for one in (*found, past)] == ["NEW", "NEW", "FINISHED"]
    assert found[0]["nextActivation"] == later
    assert found[1]["nextActivation"] > found[0]["created"]


CREATE_FAULTS = [
    ({}, "workflowType"),
    ({"workflowType": "Ordres"}, "workflowType"),
    ({"workflowType": "Orders", "stateVars": {"amount": "many"}}, "stateVars.amount"),
    ({"workflowType": "Orders", "stateVars": [1]}, "stateVars"),
    ({"workflowType": "Orders", "externalId": "x" * 256}, "externalId"),
    ({"workflowType": "Orders", "externalId": "x "}, "externalId"),
    ({"workflowType": "Orders", "businessKey": " x"}, "businessKey"),
    ({"workflowType": "Orders", "executorGroup": "a\x00"}, "executorGroup"),
    ({"workflowType": "Orders", "priority": 10}, "priority"),
    ({"workflowType": "Orders", "nextActivation": "tomorrow"}, "nextActivation"),
    ({"workflowType": "Orders", "nextActivationOffset": "zzz"}, "nextActivationOffset"),
    ({"workflowType": "Orders", "nextActivationOffset": "1h", "nextActivation": "2030-01-01T00:00:00Z"}, "nextAct"),
    ({"workflowType": "Orders", "colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("body", "field"), CREATE_FAULTS, ids=str)
async def test_a_create_that_cannot_be_says_which_field_is_wrong(
    sqlite_api_harness: ApiHarness, body: dict[str, Any], field: str
) -> None:
    problem = await sqlite_api_harness.post("/api/workflows", body, status=400)

    assert problem["type"] == "/problems/faulty"
    assert [fault["field"].startswith(field) for fault in problem["errors"]] == [True]


HOSTILE_IDS = ["abc", "-1", "0", "1.5", "9" * 30, "9" * 5000, "9223372036854775808", "%27%20OR%201=1", "%F0%9F%92%A9"]
HOSTILE_IDS += ["%ff", "%ed%a0%80", "x" * 2000, "..%2f..", "1%20", "null", "²"]


@pytest.mark.parametrize("id", HOSTILE_IDS, ids=lambda id: id[:20])
async def test_an_id_that_nobody_has_is_not_found_anywhere(idle_api_harness: ApiHarness, id: str) -> None:
    paths = [f"/api/workflows/{id}", f"/api/workflowByExternalId/{id}", f"/api/actions/byWorkflowId/{id}"]
    paths += [f"/api/workflows/{id}/children", f"/api/workflows/{id}/permitted"]
    names = ("pause", "resume", "cancel", "retry", "wake")
    operations: list[tuple[str, Any]] = [(f"/api/workflows/{id}/{name}", None) for name in names]
    operations += [(f"/api/workflows/{id}/state", {"state": "charge"})]
    operations += [(f"/api/workflows/{id}/statevars", {"key": "amount", "value": 1})]

    gets = [(await idle_api_harness.client.get(path)).status_code for path in paths]
    posts = [(await idle_api_harness.client.post(path, json=body)).status_code for path, body in operations]

    assert {*gets, *posts} == {404}


async def test_a_search_goes_through_all_pages_and_takes_every_filter(idle_api_harness: ApiHarness) -> None:
    ids = [await idle_api_harness.create(["later", "fail"][n % 2], businessKey=f"key-{n}") for n in range(5)]
    filters = {"workflowType": "Orders", "state": "check", "status": ["NEW"], "stateVars": {"way": "later"}}

    first = await idle_api_harness.post("/api/workflows/search", {**filters, "limit": 2, "descending": False})
    second = await idle_api_harness.post(
        "/api/workflows/search", {**filters, "limit": 2, "descending": False, "cursor": first["nextCursor"]}
    )

    assert [one["id"] for one in (*first["workflows"], *second["workflows"])] == ids[::2]
    assert (first["results"], first["total"], first["totalIsAtLeast"], first["offset"]) == (2, 3, False, 0)
    assert (second["results"], second["nextCursor"]) == (1, None)


async def test_a_search_joins_names_by_or_and_the_rest_by_and(idle_api_harness: ApiHarness) -> None:
    one, two, three = [await idle_api_harness.create(businessKey=f"key-{n}", executorGroup=f"g{n}") for n in range(3)]

    by_names = await idle_api_harness.post(
        "/api/workflows/search", {"id": one, "businessKey": "key-1", "externalId": ""}
    )
    by_group = await idle_api_harness.post(
        "/api/workflows/search", {"id": one, "BusinessKey": "key-1", "executorGroup": "g1"}
    )
    nothing = await idle_api_harness.post(
        "/api/workflows/search", {"state": "nowhere", "limit": 0, "status": "", "id": 0}
    )
    ordered = await idle_api_harness.post("/api/workflows/search", {"orderBy": "nextActivation", "offset": 2})

    assert [found["id"] for found in by_names["workflows"]] == [two, one]
    assert [found["id"] for found in by_group["workflows"]] == [two]
    assert (nothing["workflows"], nothing["total"]) == ([], 0)
    assert [found["id"] for found in ordered["workflows"]] == [one]
    assert three


async def test_a_search_by_the_beginning_of_a_name_takes_letters_for_themselves(idle_api_harness: ApiHarness) -> None:
    one = await idle_api_harness.create(externalId="shop_1", businessKey="else")
    two = await idle_api_harness.create(externalId="other", businessKey="shop_1\U0001f600")
    await idle_api_harness.create(externalId="shopX1", businessKey="Shop_1")

    found = await idle_api_harness.post("/api/workflows/search", {"prefix": "shop_1"})
    exact = await idle_api_harness.post("/api/workflows/search", {"externalId": "shop"})

    assert [each["id"] for each in found["workflows"]] == [two, one]
    assert exact["workflows"] == []


SEARCH_FAULTS = [
    ({"limit": 1001}, "limit"),
    ({"prefix": "x" * 256}, "prefix"),
    ({"limit": -1}, "limit"),
    ({"offset": -1}, "offset"),
    ({"offset": 10_001}, "offset"),
    ({"status": "OPEN"}, "status"),
    ({"orderBy": "colour"}, "orderBy"),
    ({"cursor": "x"}, "cursor"),
    ({"parentId": -1}, "parentId"),
    ({"externalId": "x" * 300}, "externalId"),
    ({"createdFrom": 5}, "createdFrom"),
    ({"reasonContains": "x" * 2001}, "reasonContains"),
    ({"stateVars": {'a"b': 1}}, 'stateVars.a"b'),
    ({"stateVars": {"a": [1]}}, "stateVars.a"),
    ({"stateVars": {str(n): n for n in range(6)}}, "stateVars"),
    ({"colour": 1}, "colour"),
]


@pytest.mark.parametrize(("body", "field"), SEARCH_FAULTS, ids=str)
async def test_a_search_that_cannot_be_says_which_field_is_wrong(
    sqlite_api_harness: ApiHarness, body: dict[str, Any], field: str
) -> None:
    problem = await sqlite_api_harness.post("/api/workflows/search", body, status=400)

    assert [fault["field"] for fault in problem["errors"]] == [field]


async def test_a_manual_state_is_answered_with_its_form(api_harness: ApiHarness) -> None:
    waiting = await api_harness.create_and_wait("review", "review")
    path = f"/api/workflows/{waiting['id']}"
    permitted = await api_harness.get(f"{path}/permitted")

    faulty = await api_harness.post(f"{path}/state", {"state": "charge", "form": {"score": "high"}}, status=400)
    other = await api_harness.post(f"{path}/state", {"state": "delivered", "form": {}}, status=409)
    mixed = await api_harness.post(f"{path}/state", {"state": "charge", "reason": "because"}, status=400)
    done = await api_harness.post(f"{path}/state", {"state": "rejected", "form": {"comment": "too dear", "score": 2}})

    assert permitted["states"] == ["charge", "rejected"]
    assert permitted["operations"][0] == "answer"
    assert [fault["field"] for fault in faulty["errors"]] == ["form.score"]
    assert (other["type"], other["permitted"]) == ("/problems/refused", ["charge", "rejected"])
    assert [fault["field"] for fault in mixed["errors"]] == ["reason"]
    assert done["ok"]
    assert done["workflow"]["answer"] == {
        "choice": "rejected",
        "form": {"comment": "too dear", "score": 2},
        "username": "ada",
    }


async def test_a_move_goes_along_transitions_only(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create()
    later = format_rfc3339(idle_api_harness.app_harness.services.store.clock.now() + 60_000_000)

    refused = await idle_api_harness.post(f"/api/workflows/{id}/state", {"state": "delivered"}, status=409)
    unknown = await idle_api_harness.post(f"/api/workflows/{id}/state", {"state": "delivred"}, status=400)
    moved = await idle_api_harness.post(f"/api/workflows/{id}/state", {"State": "charge", "NextActivation": later})

    assert refused["permitted"] == ["review", "charge"]
    assert "Did you mean 'delivered'?" in unknown["errors"][0]["message"]
    assert (moved["workflow"]["state"], moved["workflow"]["nextActivation"]) == ("charge", later)


async def test_force_needs_an_admin_and_a_reason(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create()
    path, body = f"/api/workflows/{id}/state", {"state": "delivered", "force": True, "reason": "it was paid in cash"}

    as_operator = await idle_api_harness.post(path, body, status=403)
    async with idle_api_harness.app_harness.open_client("admin") as admin:
        without_reason = await admin.post(path, json={"state": "delivered", "force": True, "reason": " "})
        with_form = await admin.post(path, json={**body, "form": {}})
        forced = await admin.post(path, json=body)

    assert as_operator["type"] == "/problems/forbidden"
    assert [fault["field"] for fault in without_reason.json()["errors"]] == ["reason"]
    assert [fault["field"] for fault in with_form.json()["errors"]] == ["form"]
    assert forced.json()["workflow"]["status"] == "FINISHED"


async def test_variables_are_set_and_removed_by_name(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create(stateVars={"way": "fail", "amount": 3})
    path = f"/api/workflows/{id}/statevars"

    one = await idle_api_harness.post(path, {"key": " amount ", "value": 4})
    several = await idle_api_harness.post(path, {"values": {"way": "later"}, "unset": ["amount"]})
    stale = await idle_api_harness.post(path, {"key": "amount", "value": 9, "expectedVersion": 0}, status=409)

    assert one["workflow"]["stateVars"] == {"way": "fail", "amount": 4}
    assert several["workflow"]["stateVars"] == {"way": "later", "amount": 1}
    assert "was changed in the meantime" in stale["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "key"),
        ({"key": " "}, "key"),
        ({"key": "amount", "values": {"way": "x"}}, "key"),
        ({"key": "amuont", "value": 1}, "stateVars.amuont"),
        ({"values": {"amount": "many"}}, "stateVars.amount"),
        ({"unset": ["colour"]}, "stateVars.colour"),
    ],
    ids=str,
)
async def test_variables_that_do_not_fit_are_named(
    sqlite_api_harness: ApiHarness, body: dict[str, Any], field: str
) -> None:
    id = await sqlite_api_harness.create()

    problem = await sqlite_api_harness.post(f"/api/workflows/{id}/statevars", body, status=400)

    assert [fault["field"] for fault in problem["errors"]] == [field]


async def test_what_is_executing_is_neither_moved_nor_edited(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create()
    await claim_all_due(idle_api_harness)

    moved = await idle_api_harness.post(f"/api/workflows/{id}/state", {"state": "charge"}, status=409)
    edited = await idle_api_harness.post(f"/api/workflows/{id}/statevars", {"key": "amount", "value": 2}, status=409)

    assert moved["permitted"] == edited["permitted"] == ["pause", "cancel"]


async def claim_all_due(api_harness: ApiHarness) -> None:
    """Claim all due instances for an executor that does not run them."""
    store, now = api_harness.app_harness.services.store, api_harness.app_harness.services.store.clock.now()
    record = ExecutorRecord(
        id="idler",
        name="idler",
        host="here",
        pid=1,
        groups=("default",),
        types=("Orders",),
        slots=10,
        status="RUNNING",
        started=now,
        beat=now,
        lease_until=now + 60_000_000,
    )
    await store.executors.register(record)
    claimed = await store.instances.claim(ClaimRequest("idler", ("default",), ("Orders",), 10, now))
    assert [one.status for one in claimed] == [Status.EXECUTING]


async def test_an_operator_pauses_resumes_wakes_and_cancels(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create(nextActivationOffset="1h")
    path = f"/api/workflows/{id}"

    paused = await idle_api_harness.post(f"{path}/pause", {"reason": "the shop is closed"})
    twice = await idle_api_harness.post(f"{path}/pause", status=409)
    resumed = await idle_api_harness.post(f"{path}/resume")
    woken = await idle_api_harness.post(f"{path}/wake", {})
    retried = await idle_api_harness.post(f"{path}/retry", status=409)
    cancelled = await idle_api_harness.post(f"{path}/cancel", {"reason": "not wanted"})
    again = await idle_api_harness.post(f"{path}/cancel", status=409)

    statuses = [one["workflow"]["status"] for one in (paused, resumed, woken, cancelled)]
    assert statuses == ["PAUSED", "NEW", "NEW", "CANCELLED"]
    assert "resume" in twice["permitted"]
    assert woken["workflow"]["nextActivation"] < resumed["workflow"]["nextActivation"]
    assert "pause" in retried["permitted"]
    assert (cancelled["workflow"]["reason"], again["permitted"]) == ("not wanted", [])


async def test_a_failed_workflow_is_retried(api_harness: ApiHarness) -> None:
    failed = await api_harness.create_and_wait("unpaid", "fail")

    await api_harness.post(f"/api/workflows/{failed['id']}/statevars", {"key": "way", "value": "charge"}, status=409)
    retried = await api_harness.post(f"/api/workflows/{failed['id']}/retry")

    assert (failed["status"], failed["state"]) == ("FAILED", "charge")
    assert "the card was refused" in failed["reason"]
    assert retried["workflow"]["status"] == "IN_PROGRESS"


async def test_a_history_is_told_with_its_newest_line_first(api_harness: ApiHarness) -> None:
    waiting = await api_harness.create_and_wait("review", "review")
    await api_harness.post(f"/api/workflows/{waiting['id']}/pause", {"reason": "lunch"})

    history = await api_harness.get(f"/api/actions/byWorkflowId/{waiting['id']}")

    assert [(line["type"], line["name"], line["executionCount"]) for line in history] == [
        ("PAUSED", "review", 2),
        ("TRANSITION", "review", 2),
        ("CREATED", "check", 1),
    ]
    assert (history[0]["text"], history[0]["username"], history[0]["workflowId"]) == ("lunch", "ada", waiting["id"])
    assert history[0]["dateTime"].endswith("Z")
    assert to_datetime(api_harness.app_harness.services.store.clock.now()).year == int(history[0]["dateTime"][:4])


async def test_children_are_listed_and_cancelled_with_their_parent(api_harness: ApiHarness) -> None:
    # A child without variables stumbles over what it lacks, and waits for its next attempt.
    parent = await api_harness.create_and_wait(
        "gather", "", workflowType="Families", stateVars={"children": ["Families"]}
    )
    path = f"/api/workflows/{parent['id']}"

    children = await api_harness.get(f"{path}/children")
    cancelled = await api_harness.post(f"{path}/cancel", {"withChildren": True})
    after = await api_harness.get(f"{path}/children")

    assert [(child["workflowType"], child["ended"]) for child in children] == [("Families", None)]
    assert cancelled["workflow"]["status"] == "CANCELLED"
    assert [child["status"] for child in after] == ["CANCELLED"]


UNREADABLE_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff",
    b'"state"',
    b'{"state": null, "key": 5, "reason": []}',
    b'{"state": "%s", "key": "%s", "reason": "%s"}' % (b"x" * 9_000, b"x" * 9_000, b"x" * 9_000),
    b'{"state": "\\u0000", "key": "\\ud800"}',
    '{"state": "check", "reason": "😀 Ω"}'.encode(),
    '{"key": "😀\'\\"$.x[0]", "value": [1e308, -0.0, {"": null}]}'.encode(),
    b'{"key": "n", "value": 9223372036854775807}',
    b'{"key": "n", "value": 99999999999999999999}',
    b'{"values": {"": 1}, "unset": [""]}',
    b'{"state": "gather", "nextActivation": "9999-12-31T23:59:59Z"}',
    b'{"state": "gather", "nextActivation": "9999-12-31T23:59:59-12:00"}',
    b'{"id": -1, "status": ["x"], "cursor": "AAAA", "offset": 1e9}',
    b'{"stateVars": {"%_\'--": "x", "children": null}, "reasonContains": "%!_"}',
    b'{"createdFrom": "0001-01-01T00:00:00Z", "createdTo": "9999-12-31T23:59:59Z"}',
    b'{"workflowType": "Families", "stateVars": {"deep": ' + b"[" * 60 + b"]" * 60 + b"}}",
    b'{"workflowType": "Families", "stateVars": {"deep": ' + b"[" * 500 + b"]" * 500 + b"}}",
    b'{"workflowType": "Families", "externalId": "search"}',
    b'{"workflowType": "Families", "nextActivationOffset": "99999999999999h"}',
    b'{"filter": {}, "operation": "move", "state": "gather"}',
    b'{"createWorkflowRequest": {"workflowType": "Families"}, "waitSeconds": 0, "waitForStates": ["gather"]}',
    b'{"updateWorkflowStateRequest": {"state": "gather"}, "waitSeconds": 0, "fromStates": [""]}',
]


async def test_no_body_is_a_fault_of_the_server(idle_api_harness: ApiHarness) -> None:
    body = {"workflowType": "Families", "stateVars": {"children": []}}
    id = (await idle_api_harness.post("/api/workflows", body, status=201))["id"]
    names = ("state", "statevars", "pause", "resume", "retry", "wake", "stateAndWait")
    paths = ["/api/workflows", "/api/workflows/search", "/api/workflows/bulk", "/api/createAndWait"]
    paths += [f"/api/workflows/{id}/{name}" for name in names]

    async with idle_api_harness.app_harness.open_client("admin") as client:
        headers = {"content-type": "application/json"}
        found = {
            (path, body): (await client.post(path, content=body, headers=headers)).status_code
            for path in paths
            for body in UNREADABLE_BODIES
        }

    assert {key: status for key, status in found.items() if status not in (200, 201, 400, 404, 409, 504)} == {}
    shown = await idle_api_harness.post("/api/workflows/search", {"limit": 1000})
    assert shown["total"] == shown["results"]


ENDPOINTS_BY_ROLE = [
    ("viewer", "GET", "/api/workflows/7"),
    ("viewer", "GET", "/api/workflowByExternalId/x"),
    ("viewer", "POST", "/api/workflows/search"),
    ("viewer", "GET", "/api/workflows/7/children"),
    ("viewer", "GET", "/api/workflows/7/permitted"),
    ("viewer", "GET", "/api/actions/byWorkflowId/7"),
    ("operator", "POST", "/api/workflows"),
    ("operator", "POST", "/api/workflows/7/state"),
    ("operator", "POST", "/api/workflows/7/statevars"),
    ("operator", "POST", "/api/workflows/7/pause"),
    ("operator", "POST", "/api/workflows/7/resume"),
    ("operator", "POST", "/api/workflows/7/cancel"),
    ("operator", "POST", "/api/workflows/7/retry"),
    ("operator", "POST", "/api/workflows/7/wake"),
    ("operator", "POST", "/api/workflows/7/stateAndWait"),
    ("operator", "POST", "/api/createAndWait"),
    ("operator", "POST", "/api/workflows/bulk"),
]
ROLE_ORDER = ["anonymous", "viewer", "operator", "admin"]


@pytest.mark.parametrize("role", ROLE_ORDER)
async def test_each_endpoint_lets_in_whose_role_suffices(sqlite_api_harness: ApiHarness, role: str) -> None:
    async with sqlite_api_harness.app_harness.open_client(None if role == "anonymous" else role) as client:
        found = {
            (method, path): (await client.request(method, path)).status_code for _, method, path in ENDPOINTS_BY_ROLE
        }

    shut = 401 if role == "anonymous" else 403
    for needed, method, path in ENDPOINTS_BY_ROLE:
        may = ROLE_ORDER.index(role) >= ROLE_ORDER.index(needed)
        assert (found[method, path] == shut) is not may, (method, path, found[method, path])
