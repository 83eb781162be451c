"""What schemathesis has to know beyond the description: loaded by its process, not by pytest.

What no JSON schema can say: texts with a ``format`` of Flowlet's own, a cursor, how large an integer inside of free
values may be. And what would end the run: waits of an hour, and the end of the key that it asks with. Nothing else.
"""

from __future__ import annotations

import os
import uuid
from itertools import cycle
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st

BASE_URL, API_KEY = os.environ["FLOWLET_URL"], os.environ["FLOWLET_KEY"]
SESSION = requests.Session()
SESSION.headers["X-API-Key"] = API_KEY
OWN_IDS = {"/api/users/{id}": os.environ["FLOWLET_USER"], "/api/keys/{id}": API_KEY.split("_")[1]}
UNKNOWN_IDS = {"/api/users/{id}": "9000000000", "/api/keys/{id}": "zzzzzzzz"}
"""Who takes their place: nobody, so the answer is 404."""

MAX_WAIT_SECONDS = 0.02
MAX_INTEGER = 2**63 - 1

INSTANCE_PATHS = ("/api/workflows/{", "/api/actions/", "/api/workflowByExternalId/")
VARIABLE_CYCLE = cycle([None, {"way": "sign"}, None, {"way": "wait"}, None, {"way": "fail"}])
"""Every other request about an instance is about a new one, which comes to wait, to rest, or to be tried again."""

SCHEDULE_CYCLE = cycle([False, True])
"""So is every other request about a schedule."""

NAME_STRATEGY = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
DURATION_STRATEGY = st.builds("{}{}".format, st.integers(1, 99), st.sampled_from([" minutes", "h", "d", " weeks"]))

schemathesis.openapi.format("name", NAME_STRATEGY)
schemathesis.openapi.format("trimmed", NAME_STRATEGY)
schemathesis.openapi.format("length-of-time", DURATION_STRATEGY)
schemathesis.openapi.format("list-address", st.sampled_from(["", "status=FAILED&sort=-modified", "column=vars.a"]))
schemathesis.openapi.format("cursor", st.just(""))
schemathesis.openapi.format("cron", st.sampled_from(["0 3 * * *", "*/15 2 * * MON", "@daily"]))
schemathesis.openapi.format("timezone", st.sampled_from(["UTC", "Europe/Berlin", "Africa/Cairo"]))
schemathesis.openapi.format("schedule-name", NAME_STRATEGY.filter(lambda name: "/" not in name))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Change what is about to be sent. Whether it still fits the schema is judged after that."""
    for path, own in OWN_IDS.items():
        if case.path.startswith(path) and is_own_id(case.path_parameters.get("id"), own):
            case.path_parameters["id"] = UNKNOWN_IDS[path]
    if isinstance(case.body, dict | list):
        case.body = bound_value(case.body)
    if case.path.startswith(INSTANCE_PATHS) and (variables := next(VARIABLE_CYCLE)):
        name = "id" if "id" in case.path_parameters else "externalId"
        has_model = not case.path.endswith("/statevars")
        case.path_parameters[name] = (
            create_instance("Purchases", variables) if has_model else create_instance("Notes", {})
        )
    if case.path.startswith("/api/schedules/{") and next(SCHEDULE_CYCLE):
        case.path_parameters["name"] = create_schedule()
    if case.path == "/api/workflows/bulk" and isinstance(case.body, dict) and isinstance(case.body.get("filter"), dict):
        case.body["filter"]["workflowType"] = "Parcels"


def create_instance(workflow: str, variables: dict[str, str]) -> str:
    """Return the id of a new instance: else nearly all requests would be about none, or about one that has ended."""
    body: Any = {"workflowType": workflow, "stateVars": variables}
    answer = SESSION.post(f"{BASE_URL}/api/workflows", json=body, timeout=10)
    return str(answer.json()["id"])


def create_schedule() -> str:
    """Return the name of a new schedule of a workflow that ends at once."""
    body = {"workflowType": "Notes", "name": f"schedule-{uuid.uuid4()}", "every": "1 day"}
    answer = SESSION.post(f"{BASE_URL}/api/schedules", json=body, timeout=10)
    return str(answer.json()["name"])


def is_own_id(id: Any, own: str) -> bool:
    """Return whether a path's parameter may be read as an id."""
    return str(id).lstrip("0").removesuffix(".0") == own or own in str(id)


def bound_value(value: Any, name: str = "") -> Any:
    """Return a value with integers of 64 bits, short waits, and no cursor of its own invention."""
    if isinstance(value, dict):
        return {key: bound_value(inner, key) for key, inner in value.items() if key != "cursor" or inner is None}
    if isinstance(value, list):
        return [bound_value(inner) for inner in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "waitSeconds" and is_number and 0 <= value <= 3600:
        return min(value, MAX_WAIT_SECONDS)
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_INTEGER:
        return int(value)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return value % MAX_INTEGER
    return value
