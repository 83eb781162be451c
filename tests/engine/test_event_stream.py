"""Following events: everything comes at least once and from where it was left, whatever order commits appear in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.definition.registry import Registry
from flowlet.engine import event_stream as feeds
from flowlet.engine import id_gaps
from flowlet.engine.event_stream import EventBatch, EventBroadcaster, EventDelivery
from flowlet.engine.id_gaps import Gaps
from flowlet.errors import RefusedError, StoreUnavailableError
from flowlet.instance.instance import ActionKind, NewInstance, Status
from flowlet.operations.service import Operations
from flowlet.store.history import HistoryEvent
from flowlet.store.opening import Store, open_store
from tests.database_servers import DatabaseServer
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import run_executor, wait_for


def accept_event(_: HistoryEvent) -> bool:
    return True


class EventReader:
    """One who follows, and remembers what came."""

    def __init__(self, feed: EventBroadcaster, is_wanted: Callable[[HistoryEvent], bool], **where: Any) -> None:
        self.deliveries: list[EventDelivery] = []
        self.position = 0
        self._news = feed.subscribe(is_wanted, **where)

    @property
    def event_ids(self) -> list[int]:
        return [one.event.id for one in self.deliveries]

    @property
    def workflow_ids(self) -> set[int]:
        return {one.event.workflow_id for one in self.deliveries}

    async def read_batch(self) -> EventBatch:
        """Take the next news."""
        news: EventBatch = await wait_for(anext(self._news))
        self.deliveries += news.deliveries
        self.position = news.position
        return news

    async def read_until(self, condition: Callable[[], bool]) -> None:
        """Take news until something is so."""
        while not condition():
            await self.read_batch()

    async def close_stream(self) -> None:
        await self._news.aclose()


class EventStreamHarness:
    """A database with a feed, in which instances can be created."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.feed = EventBroadcaster(store)
        self._number = 0

    def build_new_instance(self) -> NewInstance:
        """Return an instance that can be created."""
        self._number += 1
        name = f"order-{self._number}"
        return NewInstance("Orders", 1, name, name, "default", 0, "check", Status.NEW, "{}", None)

    async def create_instances(self, count: int = 1) -> list[int]:
        """Create instances, each in a transaction of its own: one line of history each."""
        now = self.store.clock.now()
        return [(await self.store.instances.create([self.build_new_instance()], now=now))[0].id for _ in range(count)]

    @asynccontextmanager
    async def open_reader(
        self, is_wanted: Callable[[HistoryEvent], bool] = accept_event, **where: Any
    ) -> AsyncIterator[EventReader]:
        """Follow for the length of the block; the position is known at its beginning."""
        reader = EventReader(self.feed, is_wanted, **where)
        try:
            await reader.read_batch()
            yield reader
        finally:
            await reader.close_stream()


@asynccontextmanager
async def open_event_stream_harness(url: str) -> AsyncIterator[EventStreamHarness]:
    async with open_store(url) as store:
        archive = EventStreamHarness(store)
        yield archive
        archive.feed.close()


@pytest.fixture
async def event_harness(database_url: str) -> AsyncIterator[EventStreamHarness]:
    async with open_event_stream_harness(database_url) as opened:
        yield opened


@pytest.fixture(params=["postgres_url", "mariadb_url"])
async def concurrent_event_harness(request: pytest.FixtureRequest) -> AsyncIterator[EventStreamHarness]:
    """One on a database with several writers at once: on SQLite no commit appears below another."""
    async with open_event_stream_harness(request.getfixturevalue(request.param)) as opened:
        yield opened


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


async def test_a_commit_that_appears_below_others_comes_later_and_is_not_passed_over(
    concurrent_event_harness: EventStreamHarness,
) -> None:
    archive, dialect = concurrent_event_harness, concurrent_event_harness.store.connections.dialect
    async with archive.open_reader() as reader:
        async with archive.store.connections.transaction() as slow:
            ((late, _),) = await dialect.writes.create(
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
        ((late, _),) = await dialect.writes.create(
            slow.raw, [archive.build_new_instance()], archive.store.clock.now(), in_transaction=True
        )
        await archive.create_instances()
        reader = EventReader(archive.feed, accept_event)
        await reader.read_batch()
    await reader.read_until(lambda: bool(reader.deliveries))
    await reader.close_stream()

    assert reader.workflow_ids == {late}


async def test_what_was_read_from_the_past_does_not_come_again_from_the_present(
    event_harness: EventStreamHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "TICK_SECONDS", 0.5)
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


@pytest.mark.parametrize("has_loop", [False, True])
async def test_a_page_that_resumes_at_its_position_misses_no_late_commit(
    concurrent_event_harness: EventStreamHarness, has_loop: bool
) -> None:
    archive, writes = concurrent_event_harness, concurrent_event_harness.store.connections.dialect.writes
    before = await archive.create_instances()
    if has_loop:
        await archive.feed.start()
    async with archive.store.connections.transaction() as slow:
        ((late, _),) = await writes.create(
            slow.raw, [archive.build_new_instance()], archive.store.clock.now(), in_transaction=True
        )
        others = await archive.create_instances(2)
        position = await archive.feed.read_position()

    async with archive.open_reader(after=position) as reader:
        await reader.read_until(lambda: {late, *others} <= reader.workflow_ids)
    assert not set(before) & reader.workflow_ids


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


def test_a_gap_bounds_the_position_until_it_is_filled_or_given_up() -> None:
    gaps = Gaps()
    gaps.add_missing([2, 5], after=0, expires=10.0)

    assert gaps.ids == [1, 3, 4]
    assert gaps.compute_horizon(5) == 0
    gaps.remove_ids([1])
    assert gaps.compute_horizon(5) == 2
    gaps.remove_expired(now=10.0)
    assert gaps.compute_horizon(5) == 5


def test_of_a_leap_in_the_ids_only_the_last_ones_are_looked_for() -> None:
    gaps = Gaps()

    gaps.add_missing([10**15], after=0, expires=10.0)

    assert len(gaps) == id_gaps.MAX_GAPS
    assert gaps.compute_horizon(10**15) == 10**15 - id_gaps.MAX_GAPS - 1


@given(st.permutations(range(1, 13)), st.lists(st.integers(0, 12), min_size=1))
def test_in_whatever_order_ids_appear_nothing_up_to_the_position_is_missing(order: list[int], looks: list[int]) -> None:
    gaps, visible, last = Gaps(), set[int](), 0

    for count in [*sorted(looks), 12]:
        visible |= set(order[:count])
        gaps.remove_ids(visible)
        new = sorted(id for id in visible if id > last)
        gaps.add_missing(new, after=last, expires=10.0)
        last = new[-1] if new else last
        assert set(range(1, gaps.compute_horizon(last) + 1)) <= visible

    assert gaps.compute_horizon(last) == 12


def find_loop() -> asyncio.Task[Any]:
    """Return the task that reads the histories."""
    (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == "flowlet-event-stream"]
    return loop


def build_registry() -> Registry:
    found = Registry()
    found.add(build_workflow_module(**build_single_state(lambda: "done")))
    return found
