"""Searching workflows over HTTP: pages, filters, and what is refused."""

from __future__ import annotations

import pytest

from tests.web.api.api_harness import ApiHarness


async def test_a_search_goes_through_all_pages_and_takes_every_filter(idle_api_harness: ApiHarness) -> None:
    ids = [await idle_api_harness.create(["later", "fail"][n % 2], businessKey=f"key-{n}") for n in range(5)]
    filters = {"workflowType": "Orders", "state": "check", "status": ["NEW"], "stateVars": {"way": "later"}}

    first = await idle_api_harness.post("/api/workflows/search", {**filters, "limit": 2, "descending": False})
    second = await idle_api_harness.post(
        "/api/workflows/search", {**filters, "limit": 2, "descending": False, "cursor": first["nextCursor"]}
    )

    assert [one["id"] for one in (*first["workflows"], *second["workflows"])] == ids[::2]
    assert (first["results"], first["total"], first["totalIsAtLeast"], first["offset"]) == (2, 3, False, 0)
    assert (second["results"], second["nextCursor"]) == (1, None)


async def test_a_search_joins_names_by_or_and_the_rest_by_and(idle_api_harness: ApiHarness) -> None:
    one, two, three = [await idle_api_harness.create(businessKey=f"key-{n}", executorGroup=f"g{n}") for n in range(3)]

    by_names = await idle_api_harness.post(
        "/api/workflows/search", {"id": one, "businessKey": "key-1", "externalId": ""}
    )
    by_group = await idle_api_harness.post(
        "/api/workflows/search", {"id": one, "BusinessKey": "key-1", "executorGroup": "g1"}
    )
    nothing = await idle_api_harness.post(
        "/api/workflows/search", {"state": "nowhere", "limit": 0, "status": "", "id": 0}
    )
    ordered = await idle_api_harness.post("/api/workflows/search", {"orderBy": "nextActivation", "offset": 2})

    assert [found["id"] for found in by_names["workflows"]] == [two, one]
    assert [found["id"] for found in by_group["workflows"]] == [two]
    assert (nothing["workflows"], nothing["total"]) == ([], 0)
    assert [found["id"] for found in ordered["workflows"]] == [one]
    assert three


async def test_a_search_by_the_beginning_of_a_name_takes_letters_for_themselves(idle_api_harness: ApiHarness) -> None:
    one = await idle_api_harness.create(externalId="shop_1", businessKey="else")
    two = await idle_api_harness.create(externalId="other", businessKey="shop_1\U0001f600")
    await idle_api_harness.create(externalId="shopX1", businessKey="Shop_1")

    found = await idle_api_harness.post("/api/workflows/search", {"prefix": "shop_1"})
    exact = await idle_api_harness.post("/api/workflows/search", {"externalId": "shop"})

    assert [each["id"] for each in found["workflows"]] == [two, one]
    assert exact["workflows"] == []


SEARCH_FAULTS = [
    ({"limit": 1001}, "limit"),
    ({"prefix": "x" * 256}, "prefix"),
    ({"limit": -1}, "limit"),
    ({"offset": -1}, "offset"),
    ({"offset": 10_001}, "offset"),
    ({"status": "OPEN"}, "status"),
    ({"orderBy": "colour"}, "orderBy"),
    ({"cursor": "x"}, "cursor"),
    ({"parentId": -1}, "parentId"),
    ({"externalId": "x" * 300}, "externalId"),
    ({"createdFrom": 5}, "createdFrom"),
    ({"reasonContains": "x" * 2001}, "reasonContains"),
    ({"stateVars": {'a"b': 1}}, 'stateVars.a"b'),
    ({"stateVars": {"a": [1]}}, "stateVars.a"),
    ({"stateVars": {"a~": 1}}, "stateVars.a~"),
    ({"stateVars": {str(n): n for n in range(6)}}, "stateVars"),
    ({"colour": 1}, "colour"),
]


async def test_a_search_that_cannot_be_says_which_field_is_wrong(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    for body, field in SEARCH_FAULTS:
        with subtests.test(str(body)):
            problem = await sqlite_api_harness.post("/api/workflows/search", body, status=400)

            assert [fault["field"] for fault in problem["errors"]] == [field]
