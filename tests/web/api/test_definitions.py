"""The definitions over HTTP: as JSON, Mermaid text and SVG."""

from __future__ import annotations

import base64
import hashlib
import re
from xml.etree import ElementTree as ET

import pytest

from flowlet.diagram.mermaid import render_mermaid
from flowlet.diagram.svg import render_svg
from flowlet.web.schemas import format_rfc3339
from tests.web.api.api_users import build_shop_module
from tests.web.app_harness import AppHarness

DEFINITION_PATH = "/api/definitions/Order%20%3C1%3E"
EDGES = [
    ("check", "decide", ""),
    ("check", "broken", ""),
    ("decide", "done", "Approve"),
    ("decide", "broken", "Refuse"),
]


async def test_a_definition_has_the_fields_of_gopherflow_and_its_shape(any_app_harness: AppHarness) -> None:
    services = any_app_harness.services
    definition = services.registry.add(build_shop_module())
    await services.store.definitions.save_definitions([definition], now=1_700_000_000_000_000)

    answer = await any_app_harness.open_client("viewer").get(DEFINITION_PATH)

    body = answer.json()
    moment = format_rfc3339(1_700_000_000_000_000)
    fields = {name: body[name] for name in ("name", "description", "created", "updated", "flowChart")}
    assert fields == {
        "name": "Order <1>",
        "description": "What a customer buys.",
        "created": moment,
        "updated": moment,
        "flowChart": render_mermaid(definition),
    }
    assert (body["version"], body["start"], body["executorGroup"]) == (3, "check", "shop")
    assert [state["name"] for state in body["states"]] == ["check", "decide", "done", "broken"]
    assert [(edge["from"], edge["to"], edge["label"]) for edge in body["transitions"]] == EDGES
    assert set(body["variables"]["properties"]) == {"items", "paid"}
    assert body["states"][1]["deadlineSeconds"] == 172_800
    assert set(body["states"][1]["form"]["properties"]) == {"approved"}


async def test_a_definition_whose_shape_changes_keeps_the_moment_of_its_first(any_app_harness: AppHarness) -> None:
    services = any_app_harness.services
    older = build_shop_module()
    vars(older)["broken"].description = "another one"
    first = type(services.registry)().add(older)
    await services.store.definitions.save_definitions([first], now=1_700_000_000_000_000)
    await services.store.definitions.save_definitions(
        [services.registry.add(build_shop_module())], now=1_800_000_000_000_000
    )

    body = (await any_app_harness.open_client("viewer").get(DEFINITION_PATH)).json()

    assert (body["created"], body["updated"]) == (
        format_rfc3339(1_700_000_000_000_000),
        format_rfc3339(1_800_000_000_000_000),
    )


async def test_the_list_has_every_definition_by_name_whether_it_was_served_or_not(app_harness: AppHarness) -> None:
    app_harness.services.registry.add(build_shop_module("Zebra"))
    app_harness.services.registry.add(build_shop_module("Ant"))

    body = (await app_harness.open_client("viewer").get("/api/definitions")).json()

    assert [(each["name"], each["created"]) for each in body] == [("Ant", None), ("Zebra", None)]


async def test_a_name_may_have_a_slash(app_harness: AppHarness) -> None:
    app_harness.services.registry.add(build_shop_module("shop/orders"))

    assert (await app_harness.open_client("viewer").get("/api/definitions/shop/orders")).json()["name"] == "shop/orders"
    assert (await app_harness.open_client("viewer").get("/api/definitions/shop%2Forders.mmd")).status_code == 200


@pytest.mark.parametrize("ending", ["", ".mmd", ".svg"])
async def test_an_unknown_name_is_answered_with_the_nearest(app_harness: AppHarness, ending: str) -> None:
    app_harness.services.registry.add(build_shop_module("Orders"))

    answer = await app_harness.open_client("viewer").get(f"/api/definitions/Oders{ending}")

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert "no workflow is called 'Oders'. Did you mean 'Orders'?" in answer.json()["detail"]


async def test_the_mermaid_text_is_text(app_harness: AppHarness) -> None:
    definition = app_harness.services.registry.add(build_shop_module())

    answer = await app_harness.open_client("viewer").get(f"{DEFINITION_PATH}.mmd")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == render_mermaid(definition)


async def test_the_picture_is_a_file_of_its_own(app_harness: AppHarness) -> None:
    definition = app_harness.services.registry.add(build_shop_module())

    answer = await app_harness.open_client("viewer").get(f"{DEFINITION_PATH}.svg")

    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.text == render_svg(definition, standalone=True)


async def test_the_picture_may_have_the_style_that_it_carries_and_nothing_else(app_harness: AppHarness) -> None:
    app_harness.services.registry.add(build_shop_module())

    answer = await app_harness.open_client("viewer").get(f"{DEFINITION_PATH}.svg")

    (style,) = [each.text or "" for each in ET.fromstring(answer.text).iter("{http://www.w3.org/2000/svg}style")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(re.findall(r"([a-z-]+) ?([^;]*)(?:; |$)", answer.headers["content-security-policy"]))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "frame-ancestors": "'none'",
        "sandbox": "",
    }
