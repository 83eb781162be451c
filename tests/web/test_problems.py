"""Every error is a problem, with a stable type and an actionable detail."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from flowlet import errors
from flowlet.errors import (
    DurationError,
    LastAdminError,
    RefusedError,
    SchemaError,
    SearchError,
    StaleError,
    StoreUnavailableError,
    TimetableError,
    UnknownInstanceError,
    UserError,
    UserExistsError,
    VariablesError,
    WaitTimeoutError,
)
from flowlet.web.problems import build_problem, build_rate_limit_error
from tests.web.app_harness import AppHarness, open_app_harness

PROBLEM_CASES = [
    (VariablesError("the variables of Order", {"sku": "is missing"}), 400, "faulty"),
    (SearchError({"limit": "is above 1000"}), 400, "faulty"),
    (DurationError("'soon' is no length of time"), 400, "faulty"),
    (TimetableError("timezone", "'Mars/Olympus' is unknown"), 400, "faulty"),
    (UserError("a name is at most 120 characters"), 400, "faulty"),
    (UnknownInstanceError("no workflow has the id 7"), 404, "not-found"),
    (RefusedError("it has ended", ["retry"]), 409, "refused"),
    (StaleError("the user 'ada'", version=2, expected_version=1), 409, "refused"),
    (UserExistsError("there is an 'ada'"), 409, "refused"),
    (LastAdminError("'ada' is the last admin"), 409, "refused"),
    (build_rate_limit_error("too many logins", retry_after_seconds=7), 429, "too-many-requests"),
    (StoreUnavailableError("mysql://ada:***@db is away"), 503, "unavailable"),
    (SchemaError("the tables lack 2 steps"), 503, "unavailable"),
    (WaitTimeoutError("it is still in 'ship'"), 504, "wait-timeout"),
]


async def test_an_error_has_its_status_and_type(sqlite_url: str, subtests: pytest.Subtests) -> None:
    raised: list[Exception] = []
    async with open_app_harness(sqlite_url, build_error=lambda: raised[-1]) as probe:
        for error, status, name in PROBLEM_CASES:
            with subtests.test(type(error).__name__):
                raised.append(error)

                answer = await probe.open_client().get("/api/trouble")

                assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}")
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["status"] == status
                assert answer.json()["detail"]


def test_every_error_that_a_request_can_cause_has_an_answer() -> None:
    bugs = {"FlowletError", "StoreError", "DefinitionError", "SettingsError", "OutcomeError", "NotEndedError", "Fail"}
    given: dict[type[Exception], tuple[Any, ...]] = {
        VariablesError: ("order", {}),
        SearchError: ({},),
        TimetableError: ("cron", "why"),
    }
    stale = StaleError("the user 'ada'", version=2, expected_version=1)
    kinds = {name: getattr(errors, name) for name in errors.__all__ if name != "Fault"}

    instances = {StaleError: stale, errors.TooLargeError: errors.TooLargeError(limit_name="max_allowed_packet")}
    raised = [instances.get(kind) or kind(*given.get(kind, ("why",))) for kind in kinds.values()]
    unanswered = {type(error).__name__ for error in raised if build_problem(error) is None}

    assert unanswered == bugs


async def test_a_refusal_lists_what_is_permitted(sqlite_url: str) -> None:
    async with open_app_harness(sqlite_url, build_error=lambda: RefusedError("it has ended", ["retry"])) as probe:
        answer = await probe.open_client().get("/api/trouble")

    assert answer.json()["permitted"] == ["retry"]
    assert answer.json()["detail"] == "it has ended"


async def test_faults_of_variables_are_listed_by_field(sqlite_url: str) -> None:
    error = VariablesError("the variables of Order", {"sku": "is missing", "amount": "is no number"})
    async with open_app_harness(sqlite_url, build_error=lambda: error) as probe:
        answer = await probe.open_client().get("/api/trouble")

    assert answer.json()["errors"] == [
        {"field": "sku", "message": "is missing"},
        {"field": "amount", "message": "is no number"},
    ]


@pytest.mark.parametrize("error", [StoreUnavailableError("mysql://ada:***@db.internal is away"), SchemaError("old")])
async def test_a_store_that_is_away_says_when_to_ask_again_and_nothing_of_itself(
    error: Exception, sqlite_url: str
) -> None:
    async with open_app_harness(sqlite_url, build_error=lambda: error) as probe:
        answer = await probe.open_client().get("/api/trouble")

    assert answer.headers["retry-after"] == "2"
    assert "db.internal" not in answer.text


async def test_a_bug_is_told_by_an_id_that_stands_in_the_log(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_app_harness(sqlite_url, build_error=lambda: ValueError("the secret is swordfish")) as probe:
        answer = await probe.open_client().get("/api/trouble")

    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/unexpected")
    assert "swordfish" not in answer.text
    assert answer.json()["id"] in record.getMessage()
    assert record.exc_info
    assert "swordfish" in str(record.exc_info[1])


async def test_a_path_that_does_not_exist_is_not_found(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client().get("/api/nothing")

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert answer.json()["detail"] == "There is nothing at '/api/nothing'."


async def test_another_method_is_told_which_ones_there_are(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client().put("/api/orders")

    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("path", ["/healthz", "/api/viewer", "/api/nothing", "/api/trouble"])
async def test_every_answer_is_under_a_strict_policy_and_kept_by_nobody(sqlite_url: str, path: str) -> None:
    async with open_app_harness(sqlite_url, build_error=lambda: ValueError("oh")) as probe:
        answer = await probe.open_client().get(path)

    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
