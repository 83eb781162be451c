"""What the tests of the web share: an application with endpoints of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.web.app_harness import AppHarness, open_app_harness


@pytest.fixture
async def app_harness(sqlite_url: str) -> AsyncIterator[AppHarness]:
    """An application on SQLite, for what cannot differ by database."""
    async with open_app_harness(sqlite_url) as probe:
        yield probe


@pytest.fixture
async def any_app_harness(database_url: str) -> AsyncIterator[AppHarness]:
    """An application; a test that takes it runs on each of the three databases."""
    async with open_app_harness(database_url) as probe:
        yield probe
