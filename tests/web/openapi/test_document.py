"""The OpenAPI document: complete, valid, and equal to the reference page."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.web.app import create_app
from flowlet.web.auth import require_role
from flowlet.web.openapi.document import build_document, describe_route
from flowlet.web.problems import PROBLEM_TYPES
from flowlet.web.schemas import RequestModel
from tests.docs.pages import read_table_rows
from tests.web.api.api_users import build_shop_module
from tests.web.api.test_permissions import REST_PAGE, list_endpoints
from tests.web.app_harness import AppHarness

SERVE_PAGE = "docs/how-to/serve-the-api.md"
COMMON_STATUSES = {"400", "401", "403", "408", "413", "415", "500", "503"}
"""Errors that the reference page lists for all endpoints at once."""


async def fetch_openapi(app_harness: AppHarness) -> Any:
    """Return the document of the application without the tests' own endpoints."""
    app: Any = create_app(app_harness.services)
    answer = await app.test_client().get("/openapi.json", headers={"X-API-Key": app_harness.keys["viewer"]})
    assert answer.status_code == 200
    return await answer.get_json()


def list_operations(document: Any) -> dict[str, Any]:
    """Return the operations as "GET /api/users"."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_the_document_is_valid(app_harness: AppHarness) -> None:
    app_harness.services.registry.add(build_shop_module())

    validate((await app_harness.open_client("viewer").get("/openapi.json")).json())


async def test_every_route_is_in_the_document(app_harness: AppHarness) -> None:
    assert sorted(list_operations(await fetch_openapi(app_harness))) == list_endpoints(app_harness)


async def test_every_operation_tells_in_words_what_it_does(app_harness: AppHarness) -> None:
    untold = [
        name for name, each in list_operations(await fetch_openapi(app_harness)).items() if " " not in each["summary"]
    ]

    assert untold == []


def read_problem_schema(document: Any, component: Any) -> Any:
    """Return the schema of an error response."""
    reference = component["content"]["application/problem+json"]["schema"]["$ref"]
    return document["components"]["schemas"][reference.rpartition("/")[2]]


async def test_every_error_is_a_problem(app_harness: AppHarness) -> None:
    document = await fetch_openapi(app_harness)

    for name, operation in list_operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and name != "GET /readyz":
                component = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
                schema = read_problem_schema(document, component)
                assert schema["properties"]["status"]["const"] == int(status)
                assert set(schema["properties"]) == set(document["components"]["schemas"]["Problem"]["properties"])


async def test_each_error_tells_its_types_and_its_headers(app_harness: AppHarness) -> None:
    document = await fetch_openapi(app_harness)

    told_types, told_headers = set(), {}
    for status, component in document["components"]["responses"].items():
        told_types |= set(read_problem_schema(document, component)["properties"]["type"]["enum"])
        told_headers[status] = list(component.get("headers", ()))
    assert told_types == {f"/problems/{name}" for name in PROBLEM_TYPES}
    assert told_types | {"about:blank"} == set(
        document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    )
    assert {status: names for status, names in told_headers.items() if names} == {
        "401": ["WWW-Authenticate"],
        "405": ["Allow"],
        "415": ["Accept-Post"],
        "429": ["Retry-After"],
        "503": ["Retry-After"],
    }


def test_every_kind_of_error_is_on_the_page_that_explains_them_with_its_status() -> None:
    documented = {names[0]: cells[1] for names, cells in read_table_rows(SERVE_PAGE, "Errors") if "/" in names[0]}

    assert documented == {f"/problems/{name}": str(kind.status) for name, kind in PROBLEM_TYPES.items()}


async def test_an_operation_tells_its_role_its_parameters_and_its_models(app_harness: AppHarness) -> None:
    found = list_operations(await fetch_openapi(app_harness))

    role = found["POST /api/users/{id}/role"]
    (parameter,) = role["parameters"]
    assert (parameter["name"], parameter["in"], parameter["schema"]["type"]) == ("id", "path", "integer")
    assert role["security"] == [{"apiKey": ["admin"]}, {"bearer": ["admin"]}, {"session": ["admin"]}]
    assert role["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/SetRoleRequest")
    assert role["description"].endswith("Requires the role admin.")
    assert sorted(role["responses"]) == sorted({"200", "404", "409"} | COMMON_STATUSES)
    assert found["GET /api/executors"]["parameters"][0]["schema"]["maximum"] == 1000
    assert found["GET /healthz"]["security"] == []
    assert found["GET /metrics"]["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}


async def test_what_is_created_is_located_and_leads_to_what_may_be_done_with_it(app_harness: AppHarness) -> None:
    found = list_operations(await fetch_openapi(app_harness))

    for name, below in (("POST /api/workflows", "/api/workflows/{id}"), ("POST /api/users", "/api/users/{id}")):
        answer = found[name]["responses"]["201"]
        wanted = {
            each["operationId"] for path, each in found.items() if f"{path} ".partition(below)[2][:1] in (" ", "/")
        }
        assert {link["operationId"] for link in answer["links"].values()} == wanted
        assert answer["headers"]["Location"]["required"]


async def test_the_document_says_what_it_is_and_groups_its_operations(app_harness: AppHarness) -> None:
    document = await fetch_openapi(app_harness)

    used = {tag for each in list_operations(document).values() for tag in each["tags"]}
    assert {tag["name"] for tag in document["tags"]} == used
    assert all(" " in tag["description"] for tag in document["tags"])
    assert "X-API-Key" in document["info"]["description"]
    assert document["servers"][0]["url"] == "/"
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer", "session"}


async def test_the_variables_of_each_workflow_are_components_of_their_own(app_harness: AppHarness) -> None:
    app_harness.services.registry.add(build_shop_module())

    schemas = (await fetch_openapi(app_harness))["components"]["schemas"]

    variables = schemas["variables.Order_20_3c1_3e"]
    assert variables["title"] == "Order <1>"
    assert variables["properties"]["items"]["items"] == {"$ref": "#/components/schemas/variables.Order_20_3c1_3e.Item"}
    assert set(schemas["variables.Order_20_3c1_3e.Item"]["properties"]) == {"sku"}


@pytest.mark.parametrize("is_described", [True, False])
async def test_models_of_the_same_name_stay_apart_and_a_view_need_not_be_described(
    app_harness: AppHarness, is_described: bool
) -> None:
    members = {"__annotations__": {"nickname": str}, "__module__": "elsewhere"}
    new_user = type("CreateUserRequest", (RequestModel,), members)
    blueprint = Blueprint("more", __name__)

    async def show_nothing() -> Response:
        raise NotImplementedError

    describe_route(body=new_user)(show_nothing) if is_described else None
    for method in ("POST", "PUT"):
        blueprint.add_url_rule(
            "/api/more/<int:id>", f"view_{method}", require_role(Role.OPERATOR)(show_nothing), methods=[method]
        )
    changed = app_harness.build_own_app()
    changed.app.register_blueprint(blueprint)

    document = (await changed.open_client("viewer").get("/openapi.json")).json()

    validate(document)
    operation = document["paths"]["/api/more/{id}"]["put"]
    assert operation["parameters"][0]["schema"]["type"] == "integer"
    assert ("requestBody" in operation) is is_described
    of_users = document["paths"]["/api/users"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "nickname" not in document["components"]["schemas"][of_users.rpartition("/")[2]]["properties"]


async def test_the_reference_page_has_every_endpoint_with_its_role_and_its_statuses(app_harness: AppHarness) -> None:
    found = {}
    for name, each in list_operations(await fetch_openapi(app_harness)).items():
        role = each["description"].rpartition("Requires the role ")[2].rstrip(".") if each["security"] else "everybody"
        good = [status for status in each["responses"] if status.startswith("2")]
        bad = sorted(set(each["responses"]) - set(good) - COMMON_STATUSES)
        found[name] = (role, ", ".join(sorted(good)), ", ".join(bad))

    documented = {names[0]: (cells[1], cells[3], cells[4]) for names, cells in read_table_rows(REST_PAGE, "Endpoints")}

    assert documented == found


async def test_the_document_is_built_once_for_its_definitions(
    app_harness: AppHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, ...]] = []

    def build(views: Any, definitions: Any) -> dict[str, Any]:
        built.append(tuple(definition.name for definition in definitions))
        return build_document(views, definitions)

    monkeypatch.setattr(f"{build_document.__module__}.build_document", build)
    viewer = app_harness.build_own_app().open_client("viewer")
    first = await viewer.get("/openapi.json")
    await viewer.get("/docs")
    second = await viewer.get("/openapi.json")
    app_harness.services.registry.add(build_shop_module())
    third = await viewer.get("/openapi.json")

    assert built == [(), ("Order <1>",)]
    assert first.json() == second.json() != third.json()
