"""Following events: each comes at least once, in order, from where the subscriber left off."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.definition.registry import Registry
from flowlet.engine import event_stream as feeds
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.streams import pace
from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.operations.service import Operations
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.events.event_stream_harness import (
    EventReader,
    EventStreamHarness,
    accept_event,
    find_loop,
    open_event_stream_harness,
)
from tests.engine.executor_harness import run_executor, wait_for


async def test_what_happens_from_now_on_comes_and_nothing_before(event_harness: EventStreamHarness) -> None:
    await event_harness.create_instances(2)

    async with event_harness.open_reader() as reader:
        (third,) = await event_harness.create_instances()
        await reader.read_until(lambda: bool(reader.deliveries))

    (delivery,) = reader.deliveries
    assert delivery.event.workflow_id == third
    assert delivery.event.kind is ActionKind.CREATED
    assert (delivery.event.type, delivery.event.external_id, delivery.event.status) == ("Orders", "order-3", "NEW")


async def test_transitions_of_another_process_come_in_the_order_of_their_instance(database_url: str) -> None:
    module = build_workflow_module(**build_single_state(lambda: "done"))
    async with (
        open_event_stream_harness(database_url) as archive,
        archive.open_reader() as reader,
        run_executor(database_url, module) as run,
    ):
        id = await run.create_and_wake(external_id="a")

        await reader.read_until(lambda: len(reader.deliveries) >= 2)

        kinds = [one.event.kind for one in reader.deliveries]
        assert kinds == [line.kind for line in await run.store.queries.read_history(id)]
        assert reader.deliveries[-1].event.state == "done"


async def test_whoever_resumes_where_the_stream_was_cut_misses_nothing(event_harness: EventStreamHarness) -> None:
    async with event_harness.open_reader() as first:
        before = await event_harness.create_instances(2)
        await first.read_until(lambda: len(first.deliveries) == 2)
    after = await event_harness.create_instances(3)

    async with event_harness.open_reader(after=first.deliveries[-1].position) as second:
        await second.read_until(lambda: len(second.deliveries) == 3)
        more = await event_harness.create_instances()
        await second.read_until(lambda: len(second.deliveries) == 4)

    assert first.workflow_ids == set(before)
    assert [one.event.workflow_id for one in second.deliveries] == [*after, *more]


async def test_a_long_past_comes_page_by_page_and_goes_over_into_the_present(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE_SIZE", 2)
    past = await event_harness.create_instances(5)

    async with event_harness.open_reader(after=0) as reader:
        await reader.read_until(lambda: len(reader.deliveries) == 5)
        present = await event_harness.create_instances(3)
        await reader.read_until(lambda: len(reader.deliveries) == 8)

    assert [one.event.workflow_id for one in reader.deliveries] == [*past, *present]
    assert reader.position == max(reader.event_ids)


async def test_a_subscriber_is_not_current_before_the_last_page_of_its_past(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE_SIZE", 2)
    monkeypatch.setattr(feeds, "KEEPALIVE_SECONDS", 0.01)
    await event_harness.create_instances(5)
    reader = EventReader(event_harness.feed, lambda event: False, after=0)

    batches = [await reader.read_batch() for _ in range(5)]
    await reader.close_stream()

    assert [batch.is_current for batch in batches] == [False, False, False, True, True]


async def test_only_what_is_wanted_comes(event_harness: EventStreamHarness) -> None:
    old, other = await event_harness.create_instances(2)

    async with event_harness.open_reader(lambda event: event.workflow_id == old, after=0, workflow_id=old) as reader:
        await event_harness.create_instances()
        await reader.read_until(lambda: bool(reader.deliveries))
        operations = Operations(event_harness.store, build_registry())
        await operations.pause(other, username="ada")
        await operations.pause(old, username="ada")
        await reader.read_until(lambda: len(reader.deliveries) == 2)

    assert [one.event.kind for one in reader.deliveries] == [ActionKind.CREATED, ActionKind.PAUSED]
    assert reader.deliveries[1].event.username == "ada"


async def test_who_wants_nothing_that_comes_is_told_how_far_the_feed_is(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEEPALIVE_SECONDS", 0.05)

    async with event_harness.open_reader(lambda event: False) as reader:
        before = reader.position
        await event_harness.create_instances()
        await reader.read_until(lambda: reader.position > before)

    assert not reader.deliveries


async def test_what_was_read_from_the_past_does_not_come_again_from_the_present(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "TICK_SECONDS", 0.5)
    made = await event_harness.create_instances()
    async with event_harness.open_reader():
        made += await event_harness.create_instances(2)

        async with event_harness.open_reader(after=0) as reader:  # before the loop looks again
            await reader.read_until(lambda: len(reader.deliveries) == 3)
            made += await event_harness.create_instances()
            await reader.read_until(lambda: made[-1] in reader.workflow_ids)

    assert [one.event.workflow_id for one in reader.deliveries] == made


async def test_who_falls_behind_what_is_kept_reads_the_database(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MAX_BUFFERED_EVENTS", 3)
    event_harness.feed = EventBroadcaster(event_harness.store)

    async with event_harness.open_reader() as slow, event_harness.open_reader() as quick:
        made = await event_harness.create_instances(4)
        await quick.read_until(lambda: quick.workflow_ids == set(made))
        made += await event_harness.create_instances(4)
        await quick.read_until(lambda: quick.workflow_ids == set(made))
        await slow.read_until(lambda: slow.workflow_ids == set(made))

    assert sorted(set(slow.event_ids)) == sorted(set(quick.event_ids))


async def test_a_position_beyond_the_last_event_is_now(event_harness: EventStreamHarness) -> None:
    await event_harness.create_instances()

    async with event_harness.open_reader(after=10**12) as reader:
        (made,) = await event_harness.create_instances()
        await reader.read_until(lambda: bool(reader.deliveries))

    assert reader.workflow_ids == {made}


async def test_nothing_is_read_while_nobody_follows(event_harness: EventStreamHarness) -> None:
    async with event_harness.open_reader():
        loop = find_loop()
    await wait_for(loop)

    async with event_harness.open_reader() as reader:
        (made,) = await event_harness.create_instances()
        await reader.read_until(lambda: bool(reader.deliveries))
    assert reader.workflow_ids == {made}


async def test_the_history_is_read_after_a_commit_and_hardly_ever_without_one(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = event_harness.store.history.read_events_after, 0

    async def count_read(*given: Any, **named: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*given, **named)

    async with event_harness.open_reader() as reader:
        await event_harness.create_instances()
        await reader.read_until(lambda: bool(reader.deliveries))
        while not event_harness.store.commit_signal.is_listening:
            await event_harness.store.clock.sleep(0.01)
        await event_harness.store.commit_signal.close()  # MariaDB is polled on for a while after a commit
        await event_harness.store.clock.sleep(0.3)
        monkeypatch.setattr(event_harness.store.history, "read_events_after", count_read)

        await event_harness.store.clock.sleep(2.5)

    assert reads <= 3


async def test_many_commits_are_read_together(event_harness: EventStreamHarness) -> None:
    async with event_harness.open_reader() as reader:
        made = await event_harness.create_instances(30)
        batches = 0
        while len(reader.deliveries) < len(made):
            await reader.read_batch()
            batches += 1

    assert batches <= 15


async def test_the_position_of_a_running_stream_costs_no_statement(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await event_harness.create_instances(3)
    last = await event_harness.store.history.read_last_id()
    assert await event_harness.feed.read_position() == last

    async with event_harness.open_reader():
        monkeypatch.delattr(type(event_harness.store.history), "read_horizon")

        assert await event_harness.feed.read_position() == last


async def test_a_subscription_may_begin_at_an_end_from_before_the_loop_has_stopped(
    event_harness: EventStreamHarness,
) -> None:
    await event_harness.create_instances()
    end = await event_harness.feed.start()
    await wait_for(find_loop())
    made = await event_harness.create_instances(2)

    async with event_harness.open_reader(after=end) as reader:
        await reader.read_until(lambda: len(reader.deliveries) == 2)

    assert [one.event.workflow_id for one in reader.deliveries] == made


async def test_too_many_are_refused_and_one_who_leaves_makes_room(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MAX_SUBSCRIBERS", 1)

    async with event_harness.open_reader():
        with pytest.raises(RefusedError, match="1 event streams are open already"):
            await anext(event_harness.feed.subscribe(accept_event))

    async with event_harness.open_reader():
        assert event_harness.feed.subscriber_count == 1


async def test_closing_ends_every_stream_and_begins_none(event_harness: EventStreamHarness) -> None:
    async with event_harness.open_reader() as reader:
        event_harness.feed.close()

        with pytest.raises(StopAsyncIteration):
            await reader.read_batch()

    assert event_harness.feed.subscriber_count == 0


def build_registry() -> Registry:
    found = Registry()
    found.add(build_workflow_module(**build_single_state(lambda: "done")))
    return found


async def test_subscribers_that_want_the_same_events_share_their_batches(event_harness: EventStreamHarness) -> None:
    async with (
        event_harness.open_reader(filter_key="all") as one,
        event_harness.open_reader(filter_key="all") as same,
        event_harness.open_reader(filter_key="other") as other,
    ):
        await event_harness.create_instances(3)

        batches = [await reader.read_batch() for reader in (one, same, other)]

        assert batches[0] is batches[1]
        assert batches[0] is not batches[2]
        assert batches[0].deliveries[0] is batches[2].deliveries[0]
