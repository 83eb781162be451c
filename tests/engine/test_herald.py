"""Word between processes: what one commits is looked at by the others at once, where the database can tell them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.engine.arrivals import Arrivals
from flowlet.engine.herald import Herald
from flowlet.instances import Instance
from flowlet.store.opening import Store, open_store
from tests.engine.clocks import Pauses, StillClock
from tests.engine.hands import opened
from tests.engine.making import one_state, workflow_module
from tests.engine.running import seen


async def to_the_end() -> str:
    return "done"


ORDERS = workflow_module(**one_state(to_the_end))


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def telling_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database on which processes hear of each other."""
    url: str = request.getfixturevalue(request.param)
    return url


@asynccontextmanager
async def heralded(store: Store, clock: VirtualClock) -> AsyncIterator[Arrivals]:
    """Let others wait as the application does."""
    arrivals = Arrivals(store, clock, herald=Herald(store, clock))
    try:
        yield arrivals
    finally:
        await arrivals.close()


async def test_a_wait_ends_at_the_commit_of_another_process_without_a_tick(telling_url: str) -> None:
    clock = StillClock()
    async with (
        opened(telling_url, ORDERS) as hands,
        open_store(telling_url, clock=clock) as other,
        heralded(hands.store, VirtualClock()) as here,
        heralded(other, clock) as there,
    ):
        hand = await hands.hand()
        id = await hands.create()
        wait = asyncio.create_task(there.wait(id, "done", timeout=60))
        await seen(clock.sleeps.wait())

        here.committed(await hand.move(id))
        instance: Instance = await seen(wait)

    assert instance.state == "done"


async def test_a_process_does_not_hear_itself(postgres_url: str) -> None:
    clock = VirtualClock()
    async with open_store(postgres_url) as store, open_store(postgres_url) as other:
        herald, stranger = Herald(store, clock), Herald(other, clock)
        heard, was_heard = [], asyncio.Event()
        await herald.hear(lambda: heard.append("herald"))
        await stranger.hear(was_heard.set)
        await seen(was_heard.wait())  # each hears once when it has begun to listen
        before = len(heard)

        for _ in range(20):
            was_heard.clear()
            herald.tell()
            await seen(was_heard.wait())

        assert len(heard) - before <= 1
        await herald.close()
        await stranger.close()


async def test_who_has_much_to_tell_tells_it_less_often(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Pauses()
    async with open_store(postgres_url, clock=clock) as store:
        herald, told = Herald(store, clock), asyncio.Event()
        announce, number = store.connections.dialect.announce, 0

        async def busy(raw: Any, name: str) -> None:
            nonlocal number
            await announce(raw, name)
            number += 1
            if number < 8:
                herald.tell()
            else:
                told.set()

        monkeypatch.setattr(store.connections.dialect, "announce", busy)
        herald.tell()
        await seen(told.wait())
        await herald.close()

    assert clock.asked[:7] == [0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05]


async def test_where_nobody_can_be_heard_an_answer_is_late_by_a_tenth_of_its_time(mariadb_url: str) -> None:
    clock = Pauses()
    async with opened(mariadb_url, ORDERS) as hands, heralded(hands.store, clock) as arrivals:
        id = await hands.create()

        with pytest.raises(TimeoutError):
            await arrivals.wait(id, "done", timeout=2)

    assert clock.asked[:3] == [0.01] * 3
    assert max(clock.asked) == 0.1
    assert 40 < len(clock.asked) < 50


async def test_who_cannot_hear_looks_now_and_then(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(*_: object) -> Callable[[], Any]:
        raise OSError("too many open files")

    clock = VirtualClock()
    async with opened(sqlite_url, ORDERS) as hands, heralded(hands.store, clock) as arrivals:
        monkeypatch.setattr(type(hands.store.connections.dialect), "hear", deaf)
        hand = await hands.hand()
        id = await hands.create()
        wait = asyncio.create_task(arrivals.wait(id, "done", timeout=3_600))

        await hand.move(id)

        assert (await seen(wait)).state == "done"
