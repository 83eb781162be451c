"""The description of the API: whole, valid, and the same as the reference page."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate
from quart import Blueprint, Response

from flowlet.roles import Role
from flowlet.web.app import create_app
from flowlet.web.guards import needs
from flowlet.web.openapi import described
from flowlet.web.schemas import Body
from tests.docs.pages import rows
from tests.web.api.shop import shop
from tests.web.api.test_doors import REST, endpoints
from tests.web.probe import Probe

COMMON = {"400", "401", "403", "413", "415", "503", "default"}
"""Errors that the reference page tells of all endpoints at once."""


async def told(probe: Probe) -> Any:
    """Return the document of the application without the tests' own endpoints."""
    app: Any = create_app(probe.services)
    answer = await app.test_client().get("/openapi.json", headers={"X-API-Key": probe.keys["viewer"]})
    assert answer.status_code == 200
    return await answer.get_json()


def operations(document: Any) -> dict[str, Any]:
    """Return the operations as "GET /api/users"."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_the_document_is_valid(probe: Probe) -> None:
    probe.services.registry.add(shop())

    validate((await probe.client("viewer").get("/openapi.json")).json())


async def test_every_route_is_in_the_document(probe: Probe) -> None:
    assert sorted(operations(await told(probe))) == endpoints(probe)


async def test_every_operation_tells_in_words_what_it_does(probe: Probe) -> None:
    untold = [name for name, each in operations(await told(probe)).items() if " " not in each["summary"]]

    assert untold == []


async def test_every_error_is_a_problem(probe: Probe) -> None:
    document = await told(probe)

    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if status == "default" or (int(status) >= 400 and name != "GET /readyz"):
                component = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
                assert component["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }


async def test_an_operation_tells_its_role_its_parameters_and_its_models(probe: Probe) -> None:
    found = operations(await told(probe))

    role = found["POST /api/users/{id}/role"]
    assert role["parameters"] == [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}]
    assert role["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/RoleChange")
    assert role["description"].endswith("Needs the role admin.")
    assert sorted(role["responses"]) == ["200", "400", "401", "403", "404", "409", "413", "415", "503", "default"]
    assert found["GET /api/executors"]["parameters"][0]["schema"]["maximum"] == 1000
    assert found["GET /healthz"]["security"] == []
    assert found["GET /metrics"]["responses"]["200"]["content"] == {"text/plain": {}}


async def test_the_variables_of_each_workflow_are_components_of_their_own(probe: Probe) -> None:
    probe.services.registry.add(shop())

    schemas = (await told(probe))["components"]["schemas"]

    variables = schemas["variables.Order_20_3c1_3e"]
    assert variables["title"] == "Order <1>"
    assert variables["properties"]["items"]["items"] == {"$ref": "#/components/schemas/variables.Order_20_3c1_3e.Item"}
    assert set(schemas["variables.Order_20_3c1_3e.Item"]["properties"]) == {"sku"}


@pytest.mark.parametrize("is_described", [True, False])
async def test_models_of_the_same_name_stay_apart_and_a_view_need_not_be_described(
    probe: Probe, is_described: bool
) -> None:
    new_user = type("NewUser", (Body,), {"__annotations__": {"nickname": str}, "__module__": "elsewhere"})
    blueprint = Blueprint("more", __name__)

    async def view() -> Response:
        raise NotImplementedError

    described(body=new_user)(view) if is_described else None
    for method in ("POST", "PUT"):
        blueprint.add_url_rule("/api/more/<int:id>", f"view_{method}", needs(Role.OPERATOR)(view), methods=[method])
    probe.app.register_blueprint(blueprint)

    document = (await probe.client("viewer").get("/openapi.json")).json()

    validate(document)
    operation = document["paths"]["/api/more/{id}"]["put"]
    assert operation["parameters"][0]["schema"] == {"type": "integer"}
    assert ("requestBody" in operation) is is_described
    of_users = document["paths"]["/api/users"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "nickname" not in document["components"]["schemas"][of_users.rpartition("/")[2]]["properties"]


async def test_the_reference_page_has_every_endpoint_with_its_role_and_its_statuses(probe: Probe) -> None:
    found = {}
    for name, each in operations(await told(probe)).items():
        role = each["description"].rpartition("Needs the role ")[2].rstrip(".") if each["security"] else "everybody"
        good = [status for status in each["responses"] if status.startswith("2")]
        bad = sorted(set(each["responses"]) - set(good) - COMMON)
        found[name] = (role, ", ".join(sorted(good)), ", ".join(bad))

    documented = {names[0]: (cells[1], cells[3], cells[4]) for names, cells in rows(REST, "Endpoints")}

    assert documented == found
