"""Bodies whose size alone does not bound the work that they make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.api.api_harness import ApiHarness, open_api_harness

CREATE = {"workflowType": "Orders", "stateVars": {"way": "charge"}}


@pytest.fixture
async def sqlite_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor; its bodies have 100,000 bytes at most."""
    async with open_api_harness(sqlite_url, has_executor=False) as harness:
        yield harness


LARGE_BODIES: list[tuple[str, Any, int, str]] = [
    ("/api/workflows/search", {f"k{number}": 0 for number in range(9_000)}, 413, "larger than 65,536 bytes"),
    ("/api/workflows/search", {f"k{number}": 0 for number in range(5_000)}, 400, "has 5,000 members"),
    ("/api/workflows/search", {"k" * 60_000: 0}, 400, "is unknown. Known: "),
    ("/api/workflows/bulk", {"filter": {f"k{number}": 0 for number in range(4_000)}}, 400, "has 4,000 members"),
    ("/api/keys", {"name": "a" * 70_000}, 413, "larger than 65,536 bytes"),
    ("/api/workflows", {**CREATE, "nextActivationOffset": "9" * 90_000}, 400, "longer than 100 characters"),
    ("/api/workflows", {**CREATE, "nextActivationOffset": "1s" * 45_000}, 400, "longer than 100 characters"),
    ("/api/workflows", {**CREATE, **{f"k{number}": 0 for number in range(5_000)}}, 400, "has 5,002 members"),
]


async def test_a_body_that_makes_much_work_is_refused_in_few_words(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    for path, body, status, detail in LARGE_BODIES:
        with subtests.test(detail):
            answer = await sqlite_api_harness.client.post(path, json=body)

            assert answer.status_code == status
            assert detail in answer.text
            assert len(answer.text) < 2_000


async def test_variables_may_have_more_members_and_bytes_than_other_bodies(sqlite_api_harness: ApiHarness) -> None:
    items = [{"sku": f"A-{number}"} for number in range(4_000)]

    variables = {"way": "charge", "items": items}
    answer = await sqlite_api_harness.client.post(
        "/api/workflows", json={"workflowType": "Orders", "stateVars": variables}
    )

    assert "larger than" not in answer.text
    assert "members" not in answer.text
