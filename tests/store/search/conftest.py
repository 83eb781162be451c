"""Fixtures of the tests of a search: a database without instances."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowlet.clock import VirtualClock
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.store.store_harness import StoreHarness


@pytest.fixture
async def store_harness(database_url: str) -> AsyncIterator[StoreHarness]:
    """A database without instances, on each of the three systems."""
    async with open_store(database_url, schema=find_schema(database_url), clock=VirtualClock()) as store:
        yield StoreHarness(store)
