"""The schemas of bodies and responses: descriptions of all fields, valid examples, and enforced bounds."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tests.operations.operations_harness import build_families_module, build_orders_module
from tests.web.api.api_users import build_shop_module
from tests.web.app_harness import AppHarness
from tests.web.openapi.test_document import fetch_openapi, list_operations


@pytest.fixture
def stocked_app_harness(app_harness: AppHarness) -> AppHarness:
    """An application with a definition with a model, one without, and one whose name no component may have."""
    for module in (build_orders_module(), build_families_module(), build_shop_module()):
        app_harness.services.registry.add(module)
    return app_harness


def validate_schema(document: Any, schema: Any, value: Any) -> list[str]:
    """Return the faults of a value by a schema of the document."""
    whole = {"$ref": "#/here", "here": schema, "components": document["components"]}
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(value)]


async def test_every_field_is_told_in_words(stocked_app_harness: AppHarness) -> None:
    document = await fetch_openapi(stocked_app_harness)
    schemas = document["components"]["schemas"]

    untold = [
        f"{model}.{name}"
        for model, schema in schemas.items()
        if not model.startswith("variables.") and not model.startswith("Problem")
        for name, field in schema.get("properties", {}).items()
        if " " not in field.get("description", "")
    ]
    assert untold == []
    assert not [model for model, schema in schemas.items() if "Attributes:" in schema.get("description", "")]


async def test_every_parameter_is_told_in_words(stocked_app_harness: AppHarness) -> None:
    for name, operation in list_operations(await fetch_openapi(stocked_app_harness)).items():
        for parameter in operation.get("parameters", ()):
            assert " " in parameter["description"], f"{name} {parameter['name']}"


async def test_every_body_has_examples_and_all_examples_fit(stocked_app_harness: AppHarness) -> None:
    document = await fetch_openapi(stocked_app_harness)

    for name, operation in list_operations(document).items():
        body = operation.get("requestBody")
        parts = [each for each in (body, *operation["responses"].values()) if each and "content" in each]
        media = [content for each in parts for content in each["content"].values()]
        if body and not body["content"]["application/json"]["schema"]["$ref"].endswith("EmptyRequest"):
            assert body["content"]["application/json"]["examples"], name
        for content in media:
            for example in content.get("examples", {}).values():
                assert validate_schema(document, content["schema"], example["value"]) == [], name


async def test_there_is_an_example_of_creating_each_workflow_with_its_variables(
    stocked_app_harness: AppHarness,
) -> None:
    found = list_operations(await fetch_openapi(stocked_app_harness))["POST /api/workflows"]["requestBody"]["content"][
        "application/json"
    ]

    examples = {name: each["value"]["stateVars"] for name, each in found["examples"].items()}
    assert examples == {
        "Orders": {"way": "charge", "amount": 1},
        "Families": {},
        "Order <1>": {"items": [], "paid": False},
    }


async def test_a_create_is_described_workflow_by_workflow(stocked_app_harness: AppHarness) -> None:
    document = await fetch_openapi(stocked_app_harness)
    schema = {"$ref": "#/components/schemas/CreateWorkflowRequest"}

    assert validate_schema(document, schema, {"workflowType": "Orders", "stateVars": {"amount": 2}}) == []
    assert validate_schema(document, schema, {"workflowType": "Orders", "stateVars": {"amount": "many"}})
    assert validate_schema(document, schema, {"workflowType": "Families", "stateVars": {"amount": "many"}}) == []
    assert validate_schema(document, schema, {"workflowType": "Ordres"})


BODY_CASES = [
    ("StateVarsRequest", {"key": "way"}, True),
    ("StateVarsRequest", {"key": " ", "value": 1}, False),
    ("StateVarsRequest", {"values": {"way": "fail"}, "unset": ["amount"], "key": ""}, True),
    ("StateVarsRequest", {"values": {"way": "fail"}, "key": "amount"}, False),
    ("StateVarsRequest", {"values": {}, "unset": []}, False),
    ("StateRequest", {"state": "charge"}, True),
    ("StateRequest", {"state": ""}, False),
    ("StateRequest", {"state": "charge", "force": True, "reason": "why not"}, True),
    ("StateRequest", {"state": "charge", "force": True, "reason": " \t"}, False),
    ("StateRequest", {"state": "charge", "force": True, "reason": "why not", "form": {}}, False),
    ("StateRequest", {"state": "charge", "force": 1}, False),
    ("BulkRequest", {"filter": {}, "operation": "move", "state": "charge"}, True),
    ("BulkRequest", {"filter": {}, "operation": "move"}, False),
    ("BulkRequest", {"filter": {}, "operation": "wake", "reason": ""}, True),
    ("BulkRequest", {"filter": {}, "operation": "wake", "reason": "now"}, False),
    ("BulkRequest", {"filter": {}, "operation": "pause", "withChildren": True}, False),
    ("BulkRequest", {"filter": {}, "operation": "pause", "limit": 10.0, "preview": True}, True),
    ("BulkRequest", {"filter": {}, "operation": "pause", "limit": "10"}, False),
    ("SearchRequest", {"status": ["NEW", "NEW"], "id": 0, "state": "", "limit": None}, True),
    ("SearchRequest", {"status": "", "stateVars": {"a": None, "b": 1.5, "c": "x"}}, True),
    ("SearchRequest", {"status": "OVER"}, False),
    ("SearchRequest", {"status": [""]}, False),
    ("SearchRequest", {"status": ["NEW"] * 101}, False),
    ("SearchRequest", {"id": -1}, False),
    ("SearchRequest", {"id": True}, False),
    ("SearchRequest", {"limit": 1001}, False),
    ("SearchRequest", {"offset": 10_001}, False),
    ("SearchRequest", {"offset": False}, False),
    ("SearchRequest", {"cursor": "x", "offset": 1}, False),
    ("SearchRequest", {"stateVars": dict.fromkeys("abcdef")}, False),
    ("SearchRequest", {"stateVars": {'a"': 1}}, False),
    ("SearchRequest", {"stateVars": {"a": [1]}}, False),
    ("SearchRequest", {"stateVars": {"a<": "", "b >=": 3, "c~": "x", "d=": None}}, True),
    ("SearchRequest", {"stateVars": {"a<": None}}, False),
    ("SearchRequest", {"stateVars": {"a >=": False}}, False),
    ("SearchRequest", {"stateVars": {"a~": ""}}, False),
    ("SearchRequest", {"stateVars": {" <": 1}}, False),
    ("SearchRequest", {"stateVars": {"-a": 1}}, False),
    ("SearchRequest", {"stateVars": {"a": "x" * 2001}}, False),
    ("SearchRequest", {"businessKey": "x" * 256}, False),
    ("SearchRequest", {"prefix": "x" * 256}, False),
    ("SearchRequest", {"reasonContains": "x" * 2001}, False),
    ("CreateWorkflowRequest", {"workflowType": "Orders", "externalId": ""}, True),
    ("CreateWorkflowRequest", {"workflowType": "Orders", "externalId": "a b", "executorGroup": "\ufeffx"}, True),
    ("CreateWorkflowRequest", {"workflowType": "Orders", "priority": 10}, False),
    ("CreateWorkflowRequest", {"workflowType": "Orders", "priority": "5"}, False),
    ("CreateWorkflowRequest", {"workflowType": "Orders", "nextActivationOffset": "1h", "nextActivation": None}, True),
    (
        "CreateWorkflowRequest",
        {"workflowType": "Orders", "nextActivationOffset": "1h", "nextActivation": "2030-01-01T00:00:00Z"},
        False,
    ),
    ("CancelRequest", {"withChildren": "yes"}, False),
    ("CreateUserRequest", {"username": "grace", "password": "long enough", "role": "operator"}, True),
    ("CreateUserRequest", {"username": "grace", "password": "with\ta tab"}, False),
    ("CreateUserRequest", {"username": "", "password": "long enough"}, False),
    ("CreateApiKeyRequest", {"name": "ci", "expiresIn": None, "username": None}, True),
    ("CreateApiKeyRequest", {"name": "ci", "expiresIn": {}}, False),
    ("CreateApiKeyRequest", {"name": "c\x94i"}, False),
]
ENDPOINT_BY_SCHEMA = {
    "StateVarsRequest": "/api/workflows/{id}/statevars",
    "StateRequest": "/api/workflows/{id}/state",
    "BulkRequest": "/api/workflows/bulk",
    "SearchRequest": "/api/workflows/search",
    "CreateWorkflowRequest": "/api/workflows",
    "CancelRequest": "/api/workflows/{id}/cancel",
    "CreateUserRequest": "/api/users",
    "CreateApiKeyRequest": "/api/keys",
}


async def test_what_the_description_allows_and_forbids_is_what_is_taken(
    stocked_app_harness: AppHarness, subtests: pytest.Subtests
) -> None:
    document = await fetch_openapi(stocked_app_harness)
    client = stocked_app_harness.open_client("admin")
    created = await client.post("/api/workflows", json={"workflowType": "Orders", "externalId": "mine"})

    for model, body, fits in BODY_CASES:
        with subtests.test(f"{model}: {body}"):
            answer = await client.post(ENDPOINT_BY_SCHEMA[model].replace("{id}", str(created.json()["id"])), json=body)

            said = validate_schema(document, {"$ref": f"#/components/schemas/{model}"}, body)
            assert (said == []) is fits
            assert (answer.status_code != 400) is fits, answer.text
