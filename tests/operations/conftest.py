"""What the tests of operations share: a desk on each of the three databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.operations.operations_harness import OperationsHarness, open_operations


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[OperationsHarness]:
    """A desk on an empty database; a test that takes it runs on each of the three systems."""
    async with open_operations(database_url) as desk:
        yield desk


@pytest.fixture
async def sqlite_harness(sqlite_url: str) -> AsyncIterator[OperationsHarness]:
    """A desk on an empty SQLite database, for what cannot differ by database."""
    async with open_operations(sqlite_url) as desk:
        yield desk
