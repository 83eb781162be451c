"""What the tests of operations share: a desk on each of the three databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.operations.desk import Desk, opened_desk


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk on an empty database; a test that takes it runs on each of the three systems."""
    async with opened_desk(database_url) as desk:
        yield desk


@pytest.fixture
async def sqlite_desk(sqlite_url: str) -> AsyncIterator[Desk]:
    """A desk on an empty SQLite database, for what cannot differ by database."""
    async with opened_desk(sqlite_url) as desk:
        yield desk
