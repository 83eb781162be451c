"""Paths with external ids that have slashes, or that equal the name of an endpoint."""

from __future__ import annotations

import pytest

from tests.web.api.api_harness import open_api_harness


async def test_slashes_in_an_external_id_are_part_of_it(sqlite_url: str) -> None:
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        one, two = await office.create(externalId="a/b"), await office.create(externalId="a//b")

        addresses = [f"/api/workflowByExternalId/{text}" for text in ("a/b", "a//b", "a%2F%2Fb")]
        found = [(await office.get(address))["id"] for address in addresses]

    assert found == [one, two, two]


@pytest.mark.parametrize("name", ["bulk", "search"])
async def test_an_external_id_that_is_an_endpoints_name_is_found_by_external_id(sqlite_url: str, name: str) -> None:
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        id = await office.create(externalId=name)

        refused = await office.client.get(f"/api/workflows/{name}")
        found = await office.get(f"/api/workflowByExternalId/{name}")

    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert found["id"] == id
