"""What the store's tests run on: on PostgreSQL as a role without CREATE, with the tables in a schema of their own.

A statement that does not name the schema finds no table there. What needs an owner's rights takes ``postgres_url``.
"""

from __future__ import annotations

import pytest

from tests.conftest import URL_FIXTURES

STORE_URL_FIXTURES = {**URL_FIXTURES, "postgresql": "schema_postgres_url"}


@pytest.fixture(params=STORE_URL_FIXTURES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database without rows; a test that takes it runs on each of the three systems."""
    url: str = request.getfixturevalue(STORE_URL_FIXTURES[request.param])
    return url
