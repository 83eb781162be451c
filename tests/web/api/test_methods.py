"""Rules for every path: unsupported methods, HEAD and OPTIONS, extra slashes, and unknown paths."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import pytest
from werkzeug.routing import Rule

from flowlet.web.app import create_app
from flowlet.web.openapi.document import format_path_template
from flowlet.web.paths import IdConverter
from tests.web.api.test_permissions import list_endpoints
from tests.web.app_harness import BASE_URL, AppHarness
from tests.web.contract.contract_server import ENDLESS_PATHS

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY")


@pytest.fixture
def methods_by_path(app_harness: AppHarness) -> dict[str, set[str]]:
    """The methods of each path, with values for its parameters."""
    found = defaultdict(set)
    for endpoint in list_endpoints(app_harness):
        method, path = endpoint.split(" ")
        found[re.sub(r"\{\w+\}", "0", path)].add(method)
    return dict(found)


async def test_another_method_is_405_and_says_which_there_are(
    app_harness: AppHarness, methods_by_path: dict[str, set[str]]
) -> None:
    for path, methods in methods_by_path.items():
        for method in set(METHODS) - methods:
            answer = await app_harness.open_client("admin").request(method, path)

            assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed"), path
            allowed = set(answer.headers["allow"].split(", "))
            assert allowed - {"HEAD", "OPTIONS"} == methods
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_method_that_nobody_knows_is_405_too(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client("admin").request("BREW", "/api/users")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


async def test_head_answers_as_get_without_a_body(
    app_harness: AppHarness, methods_by_path: dict[str, set[str]]
) -> None:
    client = app_harness.open_client("admin")
    for path in (path for path, methods in methods_by_path.items() if "GET" in methods and path not in ENDLESS_PATHS):
        got, head = await client.get(path), await client.head(path)

        assert (head.status_code, head.headers["content-type"]) == (got.status_code, got.headers["content-type"]), path
        assert head.content == b""


async def test_options_says_which_methods_there_are_to_whom_may_know(
    app_harness: AppHarness, methods_by_path: dict[str, set[str]]
) -> None:
    for path, methods in methods_by_path.items():
        answer = await app_harness.open_client("admin").options(path)

        assert answer.status_code == 200
        assert set(answer.headers["allow"].replace(" ", "").split(",")) - {"HEAD", "OPTIONS"} == methods, path
        assert "access-control-allow-origin" not in answer.headers


async def test_a_slash_at_the_end_or_twice_is_another_path(
    app_harness: AppHarness, methods_by_path: dict[str, set[str]]
) -> None:
    for path in methods_by_path:
        if "ByExternalId/" in path or "/definitions/" in path:
            continue  # a name may end with a slash
        for other in {f"{path}/", path.replace("/api/", "/api//"), f"{BASE_URL}/{path}"} - {path}:
            answer = await app_harness.open_client("admin").get(other)

            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found"), other


UNKNOWN_PATHS: list[str] = ["/api", "/api/", "/api/x", "/API/users", "/api/users/1/x", "/api/v2/users", "/x", "/%"]


async def test_a_path_that_does_not_exist_is_404_by_every_method(
    app_harness: AppHarness, subtests: pytest.Subtests
) -> None:
    for path in UNKNOWN_PATHS:
        for method in METHODS:
            with subtests.test(f"{method} {path}"):
                answer = await app_harness.open_client("admin").request(method, path)

                assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_no_two_routes_stand_at_one_path_with_one_method(app_harness: AppHarness) -> None:
    rules = list(create_app(app_harness.services).url_map.iter_rules())
    named = [
        (method, format_path_template(rule.rule)) for rule in rules for method in (rule.methods or set()) - {"OPTIONS"}
    ]

    assert len(named) == len(set(named))


def test_each_route_builds_the_address_that_the_framework_would(app_harness: AppHarness) -> None:
    for rule in create_app(app_harness.services).url_map.iter_rules():
        values: dict[str, Any] = {
            name: 7 if isinstance(converter, IdConverter) else "a b/ü" for name, converter in rule._converters.items()
        }
        for others in ({}, {"page": "2"}):
            framework = Rule._compile_builder(rule, bool(others))

            assert rule.build({**values, **others}, bool(others)) == framework(rule, **values, **others), rule.rule
