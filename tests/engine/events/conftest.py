"""Fixtures of the event stream's tests: a database with a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.engine.events.event_stream_harness import EventStreamHarness, open_event_stream_harness


@pytest.fixture
async def event_harness(database_url: str) -> AsyncIterator[EventStreamHarness]:
    async with open_event_stream_harness(database_url) as opened:
        yield opened


@pytest.fixture(params=["postgres_url", "mariadb_url"])
async def concurrent_event_harness(request: pytest.FixtureRequest) -> AsyncIterator[EventStreamHarness]:
    """One on a database with several writers at once: on SQLite no commit appears below another."""
    async with open_event_stream_harness(request.getfixturevalue(request.param)) as opened:
        yield opened
