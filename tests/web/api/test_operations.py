"""Operations on a workflow over HTTP: answer, move, pause, resume, wake, retry and cancel."""

from __future__ import annotations

from flowlet.instance.instance import Status
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.executors import ExecutorRecord
from flowlet.web.schemas import format_rfc3339
from tests.web.api.api_harness import ApiHarness


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
    given = {"choice": "rejected", "form": {"comment": "too dear", "score": 2}}
    assert done["workflow"]["answer"] == {**given, "username": "ada"}
    history = await api_harness.get(f"/api/actions/byWorkflowId/{waiting['id']}")
    assert [line["answer"] for line in history if line["type"] == "ANSWERED"] == [given]
    assert [line["answer"] for line in history if line["type"] == "CREATED"] == [None]


async def test_a_move_goes_along_transitions_only(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create()
    later = format_rfc3339(sqlite_api_harness.app_harness.services.store.clock.now() + 60_000_000)

    refused = await sqlite_api_harness.post(f"/api/workflows/{id}/state", {"state": "delivered"}, status=409)
    unknown = await sqlite_api_harness.post(f"/api/workflows/{id}/state", {"state": "delivred"}, status=400)
    moved = await sqlite_api_harness.post(f"/api/workflows/{id}/state", {"State": "charge", "NextActivation": later})

    assert refused["permitted"] == ["review", "charge"]
    assert "Did you mean 'delivered'?" in unknown["errors"][0]["message"]
    assert (moved["workflow"]["state"], moved["workflow"]["nextActivation"]) == ("charge", later)


async def test_force_needs_an_admin_and_a_reason(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create()
    path, body = f"/api/workflows/{id}/state", {"state": "delivered", "force": True, "reason": "it was paid in cash"}

    as_operator = await sqlite_api_harness.post(path, body, status=403)
    async with sqlite_api_harness.app_harness.open_client("admin") as admin:
        without_reason = await admin.post(path, json={"state": "delivered", "force": True, "reason": " "})
        with_form = await admin.post(path, json={**body, "form": {}})
        forced = await admin.post(path, json=body)

    assert as_operator["type"] == "/problems/forbidden"
    assert [fault["field"] for fault in without_reason.json()["errors"]] == ["reason"]
    assert [fault["field"] for fault in with_form.json()["errors"]] == ["form"]
    assert forced.json()["workflow"]["status"] == "FINISHED"


async def test_what_is_executing_is_neither_moved_nor_edited(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create()
    await claim_all_due(sqlite_api_harness)

    moved = await sqlite_api_harness.post(f"/api/workflows/{id}/state", {"state": "charge"}, status=409)
    edited = await sqlite_api_harness.post(f"/api/workflows/{id}/statevars", {"key": "amount", "value": 2}, status=409)

    assert moved["permitted"] == edited["permitted"] == ["abort", "pause", "cancel"]


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
    claimed, _ = await store.instances.claim(ClaimRequest("idler", ("default",), ("Orders",), 10, now))
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


async def test_a_failed_workflow_is_retried(sqlite_executing_api_harness: ApiHarness) -> None:
    failed = await sqlite_executing_api_harness.create_and_wait("unpaid", "fail")

    await sqlite_executing_api_harness.post(
        f"/api/workflows/{failed['id']}/statevars", {"key": "way", "value": "charge"}, status=409
    )
    retried = await sqlite_executing_api_harness.post(f"/api/workflows/{failed['id']}/retry")

    assert (failed["status"], failed["state"]) == ("FAILED", "charge")
    assert "the card was refused" in failed["reason"]
    assert retried["workflow"]["status"] == "IN_PROGRESS"


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
