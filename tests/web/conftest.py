"""What the tests of the web share: an application with endpoints of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.web.probe import Probe, opened_probe


@pytest.fixture
async def probe(sqlite_url: str) -> AsyncIterator[Probe]:
    """An application on SQLite, for what cannot differ by database."""
    async with opened_probe(sqlite_url) as probe:
        yield probe


@pytest.fixture
async def any_probe(database_url: str) -> AsyncIterator[Probe]:
    """An application; a test that takes it runs on each of the three databases."""
    async with opened_probe(database_url) as probe:
        yield probe
