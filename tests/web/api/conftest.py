"""Fixtures of the API's tests: applications with and without an executor."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.web.api.api_harness import ApiHarness, open_api_harness


@pytest.fixture
async def api_harness(database_url: str) -> AsyncIterator[ApiHarness]:
    """An application with a running executor, on each of the three databases."""
    async with open_api_harness(database_url, has_executor=True) as office:
        yield office


@pytest.fixture
async def idle_api_harness(database_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on each of the three databases."""
    async with open_api_harness(database_url, has_executor=False) as office:
        yield office


@pytest.fixture
async def sqlite_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on SQLite: for what cannot differ by database."""
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        yield office


@pytest.fixture
async def sqlite_executing_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application with a running executor, on SQLite: for what cannot differ by database."""
    async with open_api_harness(sqlite_url, has_executor=True) as office:
        yield office
