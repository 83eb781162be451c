"""What schemathesis has to know beyond the description: loaded by its process, not by pytest.

What no JSON schema can say: texts with a ``format`` of Flowlet's own, a cursor, how large an integer inside of free
values may be. And what would end the run: waits of an hour, and the end of the key that it asks with. Nothing else.
"""

from __future__ import annotations

import os
from itertools import cycle
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st

URL, KEY = os.environ["FLOWLET_URL"], os.environ["FLOWLET_KEY"]
OWN = {"/api/users/{id}": os.environ["FLOWLET_USER"], "/api/keys/{id}": KEY.split("_")[1]}
NOBODY = {"/api/users/{id}": "9000000000", "/api/keys/{id}": "zzzzzzzz"}
"""Who takes their place: nobody, so the answer is 404."""

LONGEST_WAIT = 0.02
LARGEST = 2**63 - 1

WORKFLOWS = ("/api/workflows/{", "/api/actions/", "/api/workflowByExternalId/")
WAYS = cycle([None, {"way": "sign"}, None, {"way": "wait"}, None, {"way": "fail"}])
"""Every other request about an instance is about a new one, which comes to wait, to rest, or to be tried again."""

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)
LENGTHS = st.builds("{}{}".format, st.integers(1, 99), st.sampled_from([" minutes", "h", "d", " weeks"]))

schemathesis.openapi.format("name", NAMES)
schemathesis.openapi.format("trimmed", NAMES)
schemathesis.openapi.format("length-of-time", LENGTHS)
schemathesis.openapi.format("cursor", st.just(""))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Change what is about to be sent. Whether it still fits the schema is judged after that."""
    for path, own in OWN.items():
        if case.path.startswith(path) and is_own(case.path_parameters.get("id"), own):
            case.path_parameters["id"] = NOBODY[path]
    if isinstance(case.body, dict | list):
        case.body = bounded(case.body)
    if case.path.startswith(WORKFLOWS) and (variables := next(WAYS)):
        ((name, _),) = case.path_parameters.items()
        has_model = not case.path.endswith("/statevars")
        case.path_parameters[name] = created("Purchases", variables) if has_model else created("Notes", {})
    if case.path == "/api/workflows/bulk" and isinstance(case.body, dict) and isinstance(case.body.get("filter"), dict):
        case.body["filter"]["workflowType"] = "Parcels"


def created(workflow: str, variables: dict[str, str]) -> str:
    """Return the id of a new instance: else nearly all requests would be about none, or about one that has ended."""
    body: Any = {"workflowType": workflow, "stateVars": variables}
    answer = requests.post(f"{URL}/api/workflows", json=body, headers={"X-API-Key": KEY}, timeout=10)
    return str(answer.json()["id"])


def is_own(id: Any, own: str) -> bool:
    """Return whether a path's parameter may be read as an id."""
    return str(id).lstrip("0").removesuffix(".0") == own or own in str(id)


def bounded(value: Any, name: str = "") -> Any:
    """Return a value with integers of 64 bits, short waits, and no cursor of its own invention."""
    if isinstance(value, dict):
        return {key: bounded(inner, key) for key, inner in value.items() if key != "cursor" or inner is None}
    if isinstance(value, list):
        return [bounded(inner) for inner in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "waitSeconds" and is_number and 0 <= value <= 3600:
        return min(value, LONGEST_WAIT)
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST:
        return int(value)
    if isinstance(value, int) and abs(value) > LARGEST:
        return value % LARGEST
    return value
