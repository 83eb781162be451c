"""The variables of a workflow over HTTP: set, edited and removed by name, and refused where they do not fit."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from tests.web.api.api_harness import ApiHarness


async def test_state_vars_may_spell_values_as_texts_and_vars_may_not(sqlite_api_harness: ApiHarness) -> None:
    spelled = await sqlite_api_harness.create(stateVars={"way": "7", "amount": "7"})
    path = f"/api/workflows/{spelled}/statevars"
    strict = {"workflowType": "Orders", "vars": {"amount": "7"}}

    refused = await sqlite_api_harness.post("/api/workflows", strict, status=400)
    edits = [
        await sqlite_api_harness.post(path, body)
        for body in ({"key": "amount", "value": "8"}, {"values": {"way": "9"}})
    ]
    refused_edit = await sqlite_api_harness.post(path, {"vars": {"amount": "9"}}, status=400)
    padded = await sqlite_api_harness.post(path, {"key": "amount", "value": " 9 "}, status=400)

    assert [edit["workflow"]["stateVars"] for edit in edits] == [{"way": "7", "amount": 8}, {"way": "9", "amount": 8}]
    assert [one["errors"][0]["field"] for one in (refused, refused_edit, padded)] == [
        "vars.amount",
        "vars.amount",
        "stateVars.amount",
    ]


async def test_a_variable_that_the_model_does_not_declare_is_refused_with_the_nearest(
    sqlite_api_harness: ApiHarness,
) -> None:
    for name in ("vars", "stateVars"):
        body = {"workflowType": "Orders", name: {"amuont": 1}}

        (fault,) = (await sqlite_api_harness.post("/api/workflows", body, status=400))["errors"]

        assert (fault["field"], "Did you mean 'amount'?" in fault["message"]) == (f"{name}.amuont", True)


async def test_variables_are_set_and_removed_by_name(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create(stateVars={"way": "fail", "amount": 3})
    path = f"/api/workflows/{id}/statevars"

    one = await idle_api_harness.post(path, {"key": " amount ", "value": 4})
    several = await idle_api_harness.post(path, {"values": {"way": "later"}, "unset": ["amount"]})
    stale = await idle_api_harness.post(path, {"key": "amount", "value": 9, "expectedVersion": 0}, status=409)

    assert one["workflow"]["stateVars"] == {"way": "fail", "amount": 4}
    assert several["workflow"]["stateVars"] == {"way": "later", "amount": 1}
    assert "was changed in the meantime" in stale["detail"]
    history = await idle_api_harness.get(f"/api/actions/byWorkflowId/{id}")
    assert [line["changes"] for line in history] == [
        [
            {"op": "set", "path": "/way", "value": "later", "old": "fail"},
            {"op": "set", "path": "/amount", "value": 1, "old": 4},
        ],
        [{"op": "set", "path": "/amount", "value": 4, "old": 3}],
        [{"op": "set", "path": "/way", "value": "fail"}, {"op": "set", "path": "/amount", "value": 3}],
    ]


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


async def test_a_value_that_the_database_does_not_accept_is_too_large(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create("later")
    connections = sqlite_api_harness.app_harness.services.store.connections
    await connections.run_on_engine(
        lambda session: session.raw._execute(session.raw._conn.setlimit, sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    )
    long = {"way": "x" * 20_000}

    created = await sqlite_api_harness.post("/api/workflows", {"workflowType": "Orders", "stateVars": long}, status=413)
    edited = await sqlite_api_harness.post(f"/api/workflows/{id}/statevars", {"values": long}, status=413)

    for problem in (created, edited):
        assert problem["type"] == "/problems/too-large"
        assert "the database accepts at most 10,000" in problem["detail"]
        assert problem["detail"].endswith("Nothing was changed.")
