"""The Postman collection is complete, and fits the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from flowlet.web.app import create_app
from flowlet.web.openapi.document import format_path_template
from tests.docs.pages import read_table_rows
from tests.postman.collection import COLLECTION_PATH, ENVIRONMENT_PATH, CollectionRequest, fill_variables, read_requests
from tests.web.app_harness import open_app_harness

POSTMAN_PAGE = "docs/how-to/integrate-by-postman.md"
REQUESTS = read_requests()
REQUESTS_WITH_BODY = [request for request in REQUESTS if request.is_successful and request.body is not None]
POSTMAN_VARIABLES = {"$guid", "$randomPassword"}


def parametrize_requests(requests_to_run: list[CollectionRequest]) -> pytest.MarkDecorator:
    """Run a test with each of these requests."""
    return pytest.mark.parametrize("shown_request", requests_to_run, ids=lambda request: request.id)


@dataclass(frozen=True, slots=True)
class DescribedApi:
    """The OpenAPI document, and the routes of the API."""

    document: Any
    routes: Map

    @property
    def operations(self) -> set[tuple[str, str]]:
        """Every operation, such as ("get", "/api/users/{id}")."""
        return {(method, path) for path, methods in self.document["paths"].items() for method in methods}

    def find_operation(self, request: CollectionRequest) -> tuple[str, str] | None:
        """Return the operation of a request; None if there is none."""
        try:
            rule, _ = self.routes.bind("").match(request.path, method=request.method, return_rule=True)
        except HTTPException:
            return None
        return request.method.lower(), format_path_template(rule.rule)

    def describe_operation(self, request: CollectionRequest) -> Any:
        """Return the description of the operation of a request."""
        found = self.find_operation(request)
        assert found is not None, f"{request.method} {request.path} is no operation"
        method, path = found
        return self.document["paths"][path][method]

    def find_schema_faults(self, value: Any, content: dict[str, Any]) -> list[str]:
        """Return the faults of a JSON value by the schema of a body or a response, including unknown names."""
        schema = {**content.get("schema", {}), "components": self.document["components"]}
        return [
            f"{error.json_path}: {error.message}" for error in OAS31Validator(close_schema(schema)).iter_errors(value)
        ]


@pytest.fixture
async def described_api(sqlite_url: str) -> AsyncIterator[DescribedApi]:
    async with open_app_harness(sqlite_url) as probe:
        app: Any = create_app(probe.services)
        answer = await app.test_client().get("/openapi.json", headers={"X-API-Key": probe.keys["viewer"]})
        yield DescribedApi(await answer.get_json(), app.url_map)


async def test_every_operation_has_a_request_that_shows_its_success(described_api: DescribedApi) -> None:
    shown = {described_api.find_operation(request) for request in REQUESTS if request.is_successful}

    assert described_api.operations - shown == set()


async def test_every_request_is_an_operation_or_shows_that_there_is_none(described_api: DescribedApi) -> None:
    strangers = [
        request for request in REQUESTS if described_api.find_operation(request) not in described_api.operations
    ]

    assert [request.id for request in strangers if request.is_successful] == []
    assert {answer.status for request in strangers for answer in request.saved_answers} == {404, 405}


async def test_every_body_is_what_its_operation_takes(described_api: DescribedApi) -> None:
    bodies = {
        request.id: described_api.describe_operation(request)["requestBody"]["content"]
        for request in REQUESTS_WITH_BODY
    }

    faults = {
        request.id: described_api.find_schema_faults(
            json.loads(fill_variables(request.body or "")), bodies[request.id]["application/json"]
        )
        for request in REQUESTS_WITH_BODY
    }

    assert {id: found for id, found in faults.items() if found} == {}


async def test_every_saved_answer_is_what_its_operation_gives(described_api: DescribedApi) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

    for request in REQUESTS:
        (saved,) = request.saved_answers
        contents = (
            problem
            if saved.status >= 400
            else described_api.describe_operation(request)["responses"][str(saved.status)].get("content")
        )
        if contents is None:
            assert saved.text == "", request.id
            continue
        assert saved.content_type in contents, request.id
        if saved.content_type.endswith("json"):
            assert described_api.find_schema_faults(json.loads(saved.text), contents[saved.content_type]) == [], (
                request.id
            )


@parametrize_requests(REQUESTS)
def test_a_script_asks_for_the_status_of_the_saved_answer(shown_request: CollectionRequest) -> None:
    asked = {int(status) for status in re.findall(r"to\.have\.status\((\d+)\)", shown_request.script)}

    assert asked == {answer.status for answer in shown_request.saved_answers}
    assert "pm.test(" in shown_request.script


@parametrize_requests(REQUESTS)
def test_a_request_tells_what_it_does_and_where_it_goes(shown_request: CollectionRequest) -> None:
    url = shown_request.source["url"]
    query = "&".join(f"{name}={value}" for name, value in shown_request.query.items())

    assert " " in shown_request.description
    assert url["host"] == ["{{host}}"]
    assert url["raw"] == "/".join(["{{host}}", *url["path"]]) + (f"?{query}" if query else "")


def test_every_folder_is_documented() -> None:
    folders = list(dict.fromkeys(request.folder for request in REQUESTS))

    assert [names[0] for names, _ in read_table_rows(POSTMAN_PAGE, "What is in it")] == folders


def test_ids_and_names_are_given_once() -> None:
    collection = json.loads(COLLECTION_PATH.read_text(encoding="utf-8"))
    ids = re.findall(r'^ *"(?:id|_postman_id)": "([^"]+)"', json.dumps(collection, indent=1), re.MULTILINE)

    assert len(ids) == len(set(ids)) > len(REQUESTS)
    assert len({request.name for request in REQUESTS}) == len(REQUESTS)


def test_a_variable_is_set_before_it_is_used() -> None:
    environment = json.loads(ENVIRONMENT_PATH.read_text(encoding="utf-8"))
    known = POSTMAN_VARIABLES | {value["key"] for value in environment["values"]}

    for request in REQUESTS:
        used = set(re.findall(r"\{\{([$\w]+)\}\}", json.dumps(request.source)))
        assert used - known == set(), request.id
        known |= set(re.findall(r'collectionVariables\.set\("(\w+)"', request.script))


def test_no_file_holds_an_address_a_key_or_a_password() -> None:
    text = COLLECTION_PATH.read_text(encoding="utf-8")
    environment = {value["key"]: value for value in json.loads(ENVIRONMENT_PATH.read_text(encoding="utf-8"))["values"]}

    addresses = set(re.findall(r"https?://[^\s\"\\]+", text))
    passwords = set(re.findall(r'\\"password\\": \\"([^\\]*)', text))

    assert {value["key"]: value["type"] for value in environment.values()} == {"host": "default", "key": "secret"}
    assert (environment["host"]["value"], environment["key"]["value"]) == ("http://127.0.0.1:8080", "")
    assert {address.split("/")[2] for address in addresses} <= {"schema.getpostman.com", "www.w3.org"}
    assert "flk_" not in text
    assert passwords == {"{{$randomPassword}}"}


def close_schema(schema: Any) -> Any:
    """Return a schema that forbids unknown properties, so that a removed field of a response is found."""
    if isinstance(schema, list):
        return [close_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: close_schema(value) for key, value in schema.items()}
    is_open = isinstance(schema.get("properties"), dict) and schema.get("title") is not None
    return {"additionalProperties": False, **inner} if is_open else inner
