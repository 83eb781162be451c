"""What the tests of the pages share: an application with somebody who can log in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowlet.roles import Role
from tests.web.pages.door import Door, opened_door
from tests.web.pages.hall import Hall, opened_hall
from tests.web.pages.office import Office, opened_office
from tests.web.pages.visits import Visit, opened_visit


@pytest.fixture
async def door(sqlite_url: str) -> AsyncIterator[Door]:
    """An application on SQLite, for what cannot differ by database."""
    async with opened_door(sqlite_url) as door:
        yield door


@pytest.fixture
async def any_door(database_url: str) -> AsyncIterator[Door]:
    """An application; a test that takes it runs on each of the three databases."""
    async with opened_door(database_url) as door:
        yield door


@pytest.fixture
async def hall(database_url: str) -> AsyncIterator[Hall]:
    """An application where nothing runs, on each of the three databases."""
    async with opened_hall(database_url) as hall:
        yield hall


@pytest.fixture
async def sqlite_hall(sqlite_url: str) -> AsyncIterator[Hall]:
    """An application where nothing runs, on SQLite."""
    async with opened_hall(sqlite_url) as hall:
        yield hall


@pytest.fixture
async def office(sqlite_url: str) -> AsyncIterator[Office]:
    """People of each role who are logged in, on SQLite."""
    async with opened_office(sqlite_url) as office:
        yield office


@pytest.fixture
async def any_office(database_url: str) -> AsyncIterator[Office]:
    """People of each role who are logged in, on each of the three databases."""
    async with opened_office(database_url) as office:
        yield office


@pytest.fixture
async def any_operator(database_url: str) -> AsyncIterator[Visit]:
    """An operator, on each of the three databases."""
    async with opened_visit(database_url, Role.OPERATOR) as visit:
        yield visit


@pytest.fixture
async def operator(sqlite_url: str) -> AsyncIterator[Visit]:
    """An operator, on SQLite, for what cannot differ by database."""
    async with opened_visit(sqlite_url, Role.OPERATOR) as visit:
        yield visit


@pytest.fixture
async def any_admin(database_url: str) -> AsyncIterator[Visit]:
    """An admin, on each of the three databases."""
    async with opened_visit(database_url, Role.ADMIN) as visit:
        yield visit


@pytest.fixture
async def admin(sqlite_url: str) -> AsyncIterator[Visit]:
    """An admin, on SQLite, for what cannot differ by database."""
    async with opened_visit(sqlite_url, Role.ADMIN) as visit:
        yield visit


@pytest.fixture
async def viewer(sqlite_url: str) -> AsyncIterator[Visit]:
    """A viewer."""
    async with opened_visit(sqlite_url, Role.VIEWER) as visit:
        yield visit
