"""Databases on which transactions run beside each other."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["schema_postgres_url", "mariadb_url"])
def concurrent_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database that locks rows, and not the whole of it."""
    url: str = request.getfixturevalue(request.param)
    return url
