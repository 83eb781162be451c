"""Requests of GopherFlow's clients, with what GopherFlow 1.8 responds and what Flowlet does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["EXCHANGES", "Exchange"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to the demo, and its responses.

    Attributes:
        line: The method and path. ``{purchase}`` is the id of the first created workflow, which has ended, and
            ``{trip}`` the external id of one that waits for an answer.
        theirs: GopherFlow's status.
        ours: Flowlet's status.
        row: The first cell of the row in the migration guide that names the difference; None for none.
        body: JSON, or a text as it is.
        key: Whether the request has an API key.
    """

    line: str
    theirs: int
    ours: int
    row: str | None = None
    body: Any = None
    key: bool | str = True


def _create(name: str, type: str = "DemoWorkflow", **more: Any) -> dict[str, Any]:
    names = {"externalId": name, "businessKey": name, "executorGroup": "default", "workflowType": type}
    return {**names, "stateVars": {}, **more}


def _wait(name: str, type: str, states: list[str], **more: Any) -> dict[str, Any]:
    wait = {"waitSeconds": 20, "checkSeconds": 1, "waitForStates": states}
    return {"createWorkflowRequest": _create(name, type), **wait, **more}


def _move(state: str, *from_states: str, wait_for: str) -> dict[str, Any]:
    wait = {"waitSeconds": 20, "checkSeconds": 1, "waitForStates": [wait_for]}
    return {
        "updateWorkflowStateRequest": {"state": state},
        "updateStateVarRequest": {"key": "price", "value": "700"},
        "fromStates": list(from_states),
        **wait,
    }


_CREATE, _STATE = "`POST /api/workflows`", "`POST .../state`"
_BAD_ID, _VARIABLES = "an id that is no number", "Variables"
_USERS = "`POST /api/users`"

_WHOLE_USER = {
    "id": 0,
    "username": "hedy",
    "password": "a long password",
    "enabled": False,
    "sessionId": "",
    "apiKey": {"String": "", "Valid": False},
}

EXCHANGES = [
    # Definitions
    Exchange("GET /api/definitions", 200, 200),
    Exchange("GET /api/definitions/GetIpWorkflow", 200, 200),
    Exchange("GET /api/definitions/Nothing", 404, 404),
    # Creates; the first one runs to its end in the wait for it
    Exchange("POST /api/workflows", 200, 201, _CREATE, _create("purchase")),
    Exchange("POST /api/workflows", 200, 200, None, _create("purchase", stateVars={"price": "7"})),
    Exchange("POST /api/createAndWait", 200, 200, None, _wait("purchase", "DemoWorkflow", ["finish"])),
    Exchange(
        "POST /api/workflows",
        400,
        201,
        "`externalId`, `businessKey`, `executorGroup`",
        {"workflowType": "GetIpWorkflow"},
    ),
    Exchange("POST /api/workflows", 400, 400, None, {}),
    Exchange("POST /api/workflows", 400, 400, None, "null"),
    Exchange("POST /api/workflows", 400, 400, None, "{"),
    Exchange("POST /api/workflows", 400, 400, None, "[]"),
    Exchange("POST /api/workflows", 400, 400, None, _create("a", colour="red")),
    Exchange("POST /api/workflows", 400, 201, _VARIABLES, _create("a", stateVars={"price": 7})),
    Exchange("POST /api/workflows", 200, 400, "an unknown variable", _create("b", stateVars={"pirce": "7"})),
    Exchange("POST /api/workflows", 500, 400, "an unknown `workflowType`", _create("c", "Nothing")),
    Exchange("POST /api/workflows", 200, 400, "`nextActivationOffset`", _create("d", nextActivationOffset="zzz")),
    # Reads
    Exchange("GET /api/workflows/{purchase}", 200, 200),
    Exchange("GET /api/workflows/999999", 404, 404),
    Exchange("GET /api/workflows/abc", 400, 404, _BAD_ID),
    Exchange("GET /api/workflowByExternalId/purchase", 200, 200),
    Exchange("GET /api/workflowByExternalId/nothing", 404, 404),
    Exchange("GET /api/actions/byWorkflowId/{purchase}", 200, 200),
    Exchange("GET /api/actions/byWorkflowId/abc", 400, 404, _BAD_ID),
    Exchange("GET /api/actions/byWorkflowId/999999", 200, 404, "`GET /api/actions/byWorkflowId/{id}` of an unknown id"),
    Exchange("POST /api/workflows/search", 200, 200, None, {"id": 0, "workflowType": "", "limit": 10, "offset": 0}),
    Exchange("POST /api/workflows/search", 200, 200, None, {"status": "ERROR"}),
    Exchange("POST /api/workflows/search", 200, 200, None, {"status": "SCHEDULED"}),
    Exchange("POST /api/workflows/search", 200, 200, None, {"status": "DONE"}),
    Exchange("POST /api/workflows/search", 200, 400, "a search for an unknown status", {"status": "NOTHING"}),
    Exchange("POST /api/workflows/search", 400, 400, None, {"limit": 1001}),
    Exchange("GET /api/workflows/search", 405, 405),
    # Waits
    Exchange("POST /api/createAndWait", 200, 200, None, _wait("trip", "ApprovalWorkflow", ["decide"])),
    Exchange("POST /api/createAndWait", 504, 400, "`createAndWait` of an unknown type", _wait("e", "Nothing", [])),
    Exchange(
        "POST /api/createAndWait",
        504,
        200,
        "`POST /api/createAndWait`",
        _wait("f", "ApprovalWorkflow", ["decide"], checkSeconds=30),
    ),
    Exchange("POST /api/createAndWait", 504, 504, None, _wait("g", "ApprovalWorkflow", ["booked"], waitSeconds=1)),
    # Variables and moves of one that waits, and of one that has ended
    Exchange("POST /api/workflows/{trip}/statevars", 200, 200, None, {"key": "price", "value": "650"}),
    Exchange(
        "POST /api/workflows/{trip}/statevars", 200, 400, "an unknown variable", {"key": "colour", "value": "red"}
    ),
    Exchange("POST /api/workflows/{trip}/statevars", 400, 400, None, {"value": "red"}),
    Exchange("POST /api/workflows/nothing/statevars", 404, 404, None, {"key": "price", "value": "1"}),
    Exchange(
        "POST /api/workflows/{purchase}/statevars",
        200,
        409,
        "`.../state`, `.../statevars` of one that has ended",
        {"key": "price", "value": "650"},
    ),
    Exchange("POST /api/workflows/{trip}/state", 400, 400, None, {}),
    Exchange("POST /api/workflows/nothing/state", 404, 404, None, {"state": "book"}),
    Exchange("POST /api/workflows/{trip}/state", 200, 400, _STATE, {"state": "anything"}),
    Exchange("POST /api/workflows/{trip}/state", 200, 409, _STATE, {"state": "booked"}),
    Exchange(
        "POST /api/workflows/{purchase}/state",
        200,
        409,
        "`.../state`, `.../statevars` of one that has ended",
        {"state": "review"},
    ),
    Exchange(
        "POST /api/workflows/{trip}/stateAndWait",
        400,
        409,
        "`POST .../stateAndWait` from a wrong state",
        _move("book", "ask", wait_for="booked"),
    ),
    Exchange("POST /api/workflows/{trip}/stateAndWait", 200, 200, None, _move("book", "decide", wait_for="booked")),
    # Executors and users
    Exchange("GET /api/executors", 200, 200),
    Exchange("GET /api/users", 200, 200),
    Exchange("POST /api/users", 201, 201, None, {"username": "grace", "password": "a long password"}),
    Exchange("POST /api/users", 500, 409, _USERS, {"username": "grace", "password": "a long password"}),
    Exchange("POST /api/users", 201, 400, _USERS, {"username": "hedy", "password": "short"}),
    Exchange("POST /api/users", 201, 201, None, _WHOLE_USER),
    Exchange("POST /api/users", 201, 400, _USERS, {"username": "ida", "password": "a long password", "colour": "red"}),
    Exchange("POST /api/users", 400, 400, None, {"username": "ida"}),
    Exchange("GET /api/users/1", 200, 200),
    Exchange("GET /api/users/abc", 400, 404, _BAD_ID),
    Exchange("GET /api/users/999", 404, 404),
    Exchange("DELETE /api/users/1", 204, 409, "`DELETE /api/users/{id}`"),
    Exchange("DELETE /api/users/999", 204, 404, "`DELETE /api/users/{id}`"),
    # Authentication, paths and methods
    Exchange("GET /api/executors", 303, 401, "Without a key", key=False),
    Exchange("GET /api/executors", 401, 401, key="unknown"),
    Exchange("GET /api/nothing", 200, 404, "A path that does not exist"),
    Exchange("GET /api/workflows/{trip}/state", 200, 405, "Another method"),
    Exchange("DELETE /api/definitions", 405, 405),
]
