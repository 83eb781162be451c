"""Commits that appear below later ones: the event stream delivers them, and a resumed one misses none."""

from __future__ import annotations

import pytest

from tests.engine.events.event_stream_harness import EventReader, EventStreamHarness, accept_event


async def test_a_commit_that_appears_below_others_comes_later_and_is_not_passed_over(
    concurrent_event_harness: EventStreamHarness,
) -> None:
    archive, dialect = concurrent_event_harness, concurrent_event_harness.store.connections.dialect
    async with archive.open_reader() as reader:
        async with archive.store.connections.transaction() as slow:
            ((late, *_),) = await dialect.writes.create(
                slow.raw, [archive.build_new_instance()], archive.store.clock.now(), in_transaction=True
            )
            others = await archive.create_instances(2)
            await reader.read_until(lambda: len(reader.deliveries) == 2)
            cut = reader.deliveries[-1].position
        await reader.read_until(lambda: len(reader.deliveries) == 3)

    async with archive.open_reader(after=cut) as resumed:
        await resumed.read_until(lambda: {late, *others} <= resumed.workflow_ids)
    assert [one.event.workflow_id for one in reader.deliveries] == [*others, late]


async def test_a_commit_under_way_when_the_first_one_follows_comes_too(
    concurrent_event_harness: EventStreamHarness,
) -> None:
    archive, dialect = concurrent_event_harness, concurrent_event_harness.store.connections.dialect
    async with archive.store.connections.transaction() as slow:
        ((late, *_),) = await dialect.writes.create(
            slow.raw, [archive.build_new_instance()], archive.store.clock.now(), in_transaction=True
        )
        await archive.create_instances()
        reader = EventReader(archive.feed, accept_event)
        await reader.read_batch()
    await reader.read_until(lambda: bool(reader.deliveries))
    await reader.close_stream()

    assert reader.workflow_ids == {late}


@pytest.mark.parametrize("has_loop", [False, True])
async def test_a_page_that_resumes_at_its_position_misses_no_late_commit(
    concurrent_event_harness: EventStreamHarness, has_loop: bool
) -> None:
    archive, writes = concurrent_event_harness, concurrent_event_harness.store.connections.dialect.writes
    before = await archive.create_instances()
    if has_loop:
        await archive.feed.start()
    async with archive.store.connections.transaction() as slow:
        ((late, *_),) = await writes.create(
            slow.raw, [archive.build_new_instance()], archive.store.clock.now(), in_transaction=True
        )
        others = await archive.create_instances(2)
        position = await archive.feed.read_position()

    async with archive.open_reader(after=position) as reader:
        await reader.read_until(lambda: {late, *others} <= reader.workflow_ids)
    assert not set(before) & reader.workflow_ids
