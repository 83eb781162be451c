"""Fixtures of the client's tests: a served application, and both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowlet.client import AsyncClient
from tests.client.served_api import CLIENT_KINDS, ServedApi, open_served_api


@pytest.fixture(params=CLIENT_KINDS)
def client_kind(request: pytest.FixtureRequest) -> str:
    """The kind of client; a test that requests it runs with both."""
    name: str = request.param
    return name


@pytest.fixture
async def served_api(sqlite_url: str) -> AsyncIterator[ServedApi]:
    """A served application whose executor runs, on SQLite, for what cannot differ by database."""
    async with open_served_api(sqlite_url, executes=True) as shop:
        yield shop


@pytest.fixture
async def any_served_api(database_url: str) -> AsyncIterator[ServedApi]:
    """A served application whose executor runs, on each of the three databases."""
    async with open_served_api(database_url, executes=True) as shop:
        yield shop


@pytest.fixture
async def client(served_api: ServedApi, client_kind: str) -> AsyncIterator[AsyncClient]:
    """Each of the two clients, as an operator of the shop."""
    async with served_api.build_client(client_kind) as client:
        yield client
