"""The event stream while the database is away: it goes on afterwards, and a new one is refused."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from flowlet.errors import StoreUnavailableError
from tests.database_servers import DatabaseServer
from tests.engine.events.event_stream_harness import EventStreamHarness, accept_event, open_event_stream_harness


async def create_until_available(archive: EventStreamHarness) -> list[int]:
    """Create an instance: a pooled connection may find out only by its next statement that the server has ended."""
    for _ in range(5):
        try:
            return await archive.create_instances()
        except StoreUnavailableError:
            continue
    return await archive.create_instances()


async def test_a_stream_goes_on_when_the_database_comes_back(
    durable_postgres_server: DatabaseServer, durable_postgres_url: str
) -> None:
    async with open_event_stream_harness(durable_postgres_url) as archive, archive.open_reader() as reader:
        await archive.create_instances()
        await reader.read_until(lambda: bool(reader.deliveries))
        durable_postgres_server.kill_server()
        with pytest.raises(StoreUnavailableError):
            await archive.store.history.read_last_id()
        durable_postgres_server.start_server()

        made = await create_until_available(archive)
        await reader.read_until(lambda: len(reader.deliveries) == 2)

    assert reader.deliveries[-1].event.workflow_id == made[0]


async def test_a_database_that_is_away_at_the_beginning_is_told(
    durable_postgres_server: DatabaseServer, durable_postgres_url: str
) -> None:
    async with open_event_stream_harness(durable_postgres_url) as archive:
        durable_postgres_server.kill_server()
        async with aclosing(archive.feed.subscribe(accept_event)) as news:
            with pytest.raises(StoreUnavailableError):
                await anext(news)
        durable_postgres_server.start_server()

    assert archive.feed.subscriber_count == 0
