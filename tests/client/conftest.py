"""What the tests of the client share: a served application, and both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowlet.client import AsyncClient
from tests.client.served import KINDS, Shop, opened_shop


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which client; a test that takes it runs with both."""
    name: str = request.param
    return name


@pytest.fixture
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    """A served application whose executor runs, on SQLite, for what cannot differ by database."""
    async with opened_shop(sqlite_url, executes=True) as shop:
        yield shop


@pytest.fixture
async def any_shop(database_url: str) -> AsyncIterator[Shop]:
    """A served application whose executor runs, on each of the three databases."""
    async with opened_shop(database_url, executes=True) as shop:
        yield shop


@pytest.fixture
async def client(shop: Shop, kind: str) -> AsyncIterator[AsyncClient]:
    """Each of the two clients, as an operator of the shop."""
    async with shop.client(kind) as client:
        yield client
