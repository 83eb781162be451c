"""Following events: everything comes at least once and from where it was left, whatever order commits appear in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.engine import feed as feeds
from flowlet.engine.feed import Delivery, Feed, Gaps, News
from flowlet.errors import RefusedError, StoreUnavailableError
from flowlet.instances import ActionKind, NewInstance, Status
from flowlet.operations import Operations
from flowlet.registry import Registry
from flowlet.store.feed import Event
from flowlet.store.opening import Store, open_store
from tests.engine.making import one_state, workflow_module
from tests.engine.running import running, seen
from tests.servers import Server


def any_event(_: Event) -> bool:
    return True


class Reader:
    """One who follows, and remembers what came."""

    def __init__(self, feed: Feed, wanted: Callable[[Event], bool], **where: Any) -> None:
        self.deliveries: list[Delivery] = []
        self.position = 0
        self._news = feed.follow(wanted, **where)

    @property
    def ids(self) -> list[int]:
        return [one.event.id for one in self.deliveries]

    @property
    def workflows(self) -> set[int]:
        return {one.event.workflow_id for one in self.deliveries}

    async def read(self) -> News:
        """Take the next news."""
        news: News = await seen(anext(self._news))
        self.deliveries += news.deliveries
        self.position = news.position
        return news

    async def until(self, holds: Callable[[], bool]) -> None:
        """Take news until something is so."""
        while not holds():
            await self.read()

    async def close(self) -> None:
        await self._news.aclose()


class Archive:
    """A database with a feed, in which instances can be created."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.feed = Feed(store)
        self._number = 0

    def new(self) -> NewInstance:
        """Return an instance that can be created."""
        self._number += 1
        name = f"order-{self._number}"
        return NewInstance("Orders", 1, name, name, "default", 0, "check", Status.NEW, "{}", None)

    async def create(self, count: int = 1) -> list[int]:
        """Create instances, each in a transaction of its own: one line of history each."""
        now = self.store.clock.now()
        return [(await self.store.instances.create([self.new()], now=now))[0].id for _ in range(count)]

    @asynccontextmanager
    async def reader(self, wanted: Callable[[Event], bool] = any_event, **where: Any) -> AsyncIterator[Reader]:
        """Follow for the length of the block; the position is known at its beginning."""
        reader = Reader(self.feed, wanted, **where)
        try:
            await reader.read()
            yield reader
        finally:
            await reader.close()


@asynccontextmanager
async def archive_on(url: str) -> AsyncIterator[Archive]:
    async with open_store(url) as store:
        archive = Archive(store)
        yield archive
        archive.feed.close()


@pytest.fixture
async def archive(database_url: str) -> AsyncIterator[Archive]:
    async with archive_on(database_url) as opened:
        yield opened


@pytest.fixture(params=["postgres_url", "mariadb_url"])
async def archive_of_many(request: pytest.FixtureRequest) -> AsyncIterator[Archive]:
    """One on a database with several writers at once: on SQLite no commit appears below another."""
    async with archive_on(request.getfixturevalue(request.param)) as opened:
        yield opened


async def test_what_happens_from_now_on_comes_and_nothing_before(archive: Archive) -> None:
    await archive.create(2)

    async with archive.reader() as reader:
        (third,) = await archive.create()
        await reader.until(lambda: bool(reader.deliveries))

    (delivery,) = reader.deliveries
    assert delivery.event.workflow_id == third
    assert delivery.event.kind is ActionKind.CREATED
    assert (delivery.event.type, delivery.event.external_id, delivery.event.status) == ("Orders", "order-3", "NEW")


async def test_transitions_of_another_process_come_in_the_order_of_their_instance(database_url: str) -> None:
    module = workflow_module(**one_state(lambda: "done"))
    async with archive_on(database_url) as archive, archive.reader() as reader, running(database_url, module) as run:
        id = await run.start(external_id="a")

        await reader.until(lambda: len(reader.deliveries) >= 2)

        kinds = [one.event.kind for one in reader.deliveries]
        assert kinds == [line.kind for line in await run.store.reads.history(id)]
        assert reader.deliveries[-1].event.state == "done"


async def test_whoever_resumes_where_the_stream_was_cut_misses_nothing(archive: Archive) -> None:
    async with archive.reader() as first:
        before = await archive.create(2)
        await first.until(lambda: len(first.deliveries) == 2)
    after = await archive.create(3)

    async with archive.reader(after=first.deliveries[-1].position) as second:
        await second.until(lambda: len(second.deliveries) == 3)
        more = await archive.create()
        await second.until(lambda: len(second.deliveries) == 4)

    assert first.workflows == set(before)
    assert [one.event.workflow_id for one in second.deliveries] == [*after, *more]


async def test_a_long_past_comes_page_by_page_and_goes_over_into_the_present(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 2)
    past = await archive.create(5)

    async with archive.reader(after=0) as reader:
        await reader.until(lambda: len(reader.deliveries) == 5)
        present = await archive.create(3)
        await reader.until(lambda: len(reader.deliveries) == 8)

    assert [one.event.workflow_id for one in reader.deliveries] == [*past, *present]
    assert reader.position == max(reader.ids)


async def test_only_what_is_wanted_comes(archive: Archive) -> None:
    old, other = await archive.create(2)

    async with archive.reader(lambda event: event.workflow_id == old, after=0, workflow_id=old) as reader:
        await archive.create()
        await reader.until(lambda: bool(reader.deliveries))
        operations = Operations(archive.store, registry())
        await operations.pause(other, username="ada")
        await operations.pause(old, username="ada")
        await reader.until(lambda: len(reader.deliveries) == 2)

    assert [one.event.kind for one in reader.deliveries] == [ActionKind.CREATED, ActionKind.PAUSED]
    assert reader.deliveries[1].event.username == "ada"


async def test_who_wants_nothing_that_comes_is_told_how_far_the_feed_is(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0.05)

    async with archive.reader(lambda event: False) as reader:
        before = reader.position
        await archive.create()
        await reader.until(lambda: reader.position > before)

    assert not reader.deliveries


async def test_a_commit_that_appears_below_others_comes_later_and_is_not_passed_over(archive_of_many: Archive) -> None:
    archive, dialect = archive_of_many, archive_of_many.store.connections.dialect
    async with archive.reader() as reader:
        async with archive.store.connections.transaction() as slow:
            ((late, _),) = await dialect.create(
                slow.raw, [archive.new()], archive.store.clock.now(), in_transaction=True
            )
            others = await archive.create(2)
            await reader.until(lambda: len(reader.deliveries) == 2)
            cut = reader.deliveries[-1].position
        await reader.until(lambda: len(reader.deliveries) == 3)

    async with archive.reader(after=cut) as resumed:
        await resumed.until(lambda: {late, *others} <= resumed.workflows)
    assert [one.event.workflow_id for one in reader.deliveries] == [*others, late]


async def test_a_commit_under_way_when_the_first_one_follows_comes_too(archive_of_many: Archive) -> None:
    archive, dialect = archive_of_many, archive_of_many.store.connections.dialect
    async with archive.store.connections.transaction() as slow:
        ((late, _),) = await dialect.create(slow.raw, [archive.new()], archive.store.clock.now(), in_transaction=True)
        await archive.create()
        reader = Reader(archive.feed, any_event)
        await reader.read()
    await reader.until(lambda: bool(reader.deliveries))
    await reader.close()

    assert reader.workflows == {late}


async def test_what_was_read_from_the_past_does_not_come_again_from_the_present(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "TICK_SECONDS", 0.5)
    made = await archive.create()
    async with archive.reader():
        made += await archive.create(2)

        async with archive.reader(after=0) as reader:  # before the loop looks again
            await reader.until(lambda: len(reader.deliveries) == 3)
            made += await archive.create()
            await reader.until(lambda: made[-1] in reader.workflows)

    assert [one.event.workflow_id for one in reader.deliveries] == made


async def test_who_falls_behind_what_is_kept_reads_the_database(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "KEPT", 3)
    archive.feed = Feed(archive.store)

    async with archive.reader() as slow, archive.reader() as quick:
        made = await archive.create(4)
        await quick.until(lambda: quick.workflows == set(made))
        made += await archive.create(4)
        await quick.until(lambda: quick.workflows == set(made))
        await slow.until(lambda: slow.workflows == set(made))

    assert sorted(set(slow.ids)) == sorted(set(quick.ids))


async def test_a_position_beyond_the_last_event_is_now(archive: Archive) -> None:
    await archive.create()

    async with archive.reader(after=10**12) as reader:
        (made,) = await archive.create()
        await reader.until(lambda: bool(reader.deliveries))

    assert reader.workflows == {made}


async def test_nothing_is_read_while_nobody_follows(archive: Archive) -> None:
    async with archive.reader():
        (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == "flowlet-feed"]
    await seen(loop)

    async with archive.reader() as reader:
        (made,) = await archive.create()
        await reader.until(lambda: bool(reader.deliveries))
    assert reader.workflows == {made}


async def test_too_many_are_refused_and_one_who_leaves_makes_room(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MOST_FOLLOWERS", 1)

    async with archive.reader():
        with pytest.raises(RefusedError, match="1 follow the events already"):
            await anext(archive.feed.follow(any_event))

    async with archive.reader():
        assert archive.feed.followers == 1


async def test_closing_ends_every_stream_and_begins_none(archive: Archive) -> None:
    async with archive.reader() as reader:
        archive.feed.close()

        with pytest.raises(StopAsyncIteration):
            await reader.read()

    assert archive.feed.followers == 0


async def test_a_stream_goes_on_when_the_database_comes_back(postgres_server: Server, postgres_url: str) -> None:
    async with archive_on(postgres_url) as archive, archive.reader() as reader:
        await archive.create()
        await reader.until(lambda: bool(reader.deliveries))
        postgres_server.kill()
        with pytest.raises(StoreUnavailableError):
            await archive.store.feed.last()
        postgres_server.start()

        made = await archive.create()
        await reader.until(lambda: len(reader.deliveries) == 2)

    assert reader.deliveries[-1].event.workflow_id == made[0]


async def test_a_database_that_is_away_at_the_beginning_is_told(postgres_server: Server, postgres_url: str) -> None:
    async with archive_on(postgres_url) as archive:
        postgres_server.kill()
        async with aclosing(archive.feed.follow(any_event)) as news:
            with pytest.raises(StoreUnavailableError):
                await anext(news)
        postgres_server.start()

    assert archive.feed.followers == 0


def test_a_gap_bounds_the_position_until_it_is_filled_or_given_up() -> None:
    gaps = Gaps()
    gaps.note([2, 5], after=0, until=10.0)

    assert gaps.ids == [1, 3, 4]
    assert gaps.horizon(5) == 0
    gaps.fill([1])
    assert gaps.horizon(5) == 2
    gaps.give_up(now=10.0)
    assert gaps.horizon(5) == 5


def test_of_a_leap_in_the_ids_only_the_last_ones_are_looked_for() -> None:
    gaps = Gaps()

    gaps.note([10**15], after=0, until=10.0)

    assert len(gaps) == feeds.MOST_GAPS
    assert gaps.horizon(10**15) == 10**15 - feeds.MOST_GAPS - 1


@given(st.permutations(range(1, 13)), st.lists(st.integers(0, 12), min_size=1))
def test_in_whatever_order_ids_appear_nothing_up_to_the_position_is_missing(order: list[int], looks: list[int]) -> None:
    gaps, visible, last = Gaps(), set[int](), 0

    for count in [*sorted(looks), 12]:
        visible |= set(order[:count])
        gaps.fill(visible)
        new = sorted(id for id in visible if id > last)
        gaps.note(new, after=last, until=10.0)
        last = new[-1] if new else last
        assert set(range(1, gaps.horizon(last) + 1)) <= visible

    assert gaps.horizon(last) == 12


def registry() -> Registry:
    found = Registry()
    found.add(workflow_module(**one_state(lambda: "done")))
    return found
