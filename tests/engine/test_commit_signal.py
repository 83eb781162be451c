"""Word between processes: what one commits is looked at by the others at once, where the database can tell them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.engine.commit_signal import CommitSignal
from flowlet.engine.waiters import Waiters
from flowlet.instance.instance import Instance
from flowlet.store.opening import Store, open_store
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.clocks import RecordingClock, StillClock
from tests.engine.executor_harness import wait_for
from tests.engine.manual_executor import open_engine


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def notifying_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database on which processes hear of each other."""
    url: str = request.getfixturevalue(request.param)
    return url


@asynccontextmanager
async def open_signalled_waiters(store: Store, clock: VirtualClock) -> AsyncIterator[Waiters]:
    """Let others wait as the application does."""
    arrivals = Waiters(store, clock, commit_signal=CommitSignal(store, clock))
    try:
        yield arrivals
    finally:
        await arrivals.close()


async def test_a_wait_ends_at_the_commit_of_another_process_without_a_tick(notifying_url: str) -> None:
    clock = StillClock()
    async with (
        open_engine(notifying_url, ORDERS_MODULE) as hands,
        open_store(notifying_url, clock=clock) as other,
        open_signalled_waiters(hands.store, VirtualClock()) as here,
        open_signalled_waiters(other, clock) as there,
    ):
        hand = await hands.add_executor()
        id = await hands.create_instance()
        wait = asyncio.create_task(there.wait(id, "done", timeout=60))
        await wait_for(clock.is_sleeping.wait())

        here.notify_committed(await hand.run_due_instance(id))
        instance: Instance = await wait_for(wait)

    assert instance.state == "done"


async def test_a_process_does_not_hear_itself(postgres_url: str) -> None:
    clock = VirtualClock()
    async with open_store(postgres_url) as store, open_store(postgres_url) as other:
        herald, stranger = CommitSignal(store, clock), CommitSignal(other, clock)
        heard, was_heard = [], asyncio.Event()
        await herald.listen(lambda: heard.append("herald"))
        await stranger.listen(was_heard.set)
        await wait_for(was_heard.wait())  # each hears once when it has begun to listen
        before = len(heard)

        for _ in range(20):
            was_heard.clear()
            herald.send()
            await wait_for(was_heard.wait())

        assert len(heard) - before <= 1
        await herald.close()
        await stranger.close()


async def test_who_has_much_to_tell_tells_it_less_often(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = RecordingClock()
    async with open_store(postgres_url, clock=clock) as store:
        herald, told = CommitSignal(store, clock), asyncio.Event()
        announce, number = store.connections.dialect.signals.send_commit_signal, 0

        async def refuse_notification(raw: Any, name: str) -> None:
            nonlocal number
            await announce(raw, name)
            number += 1
            if number < 8:
                herald.send()
            else:
                told.set()

        monkeypatch.setattr(store.connections.dialect.signals, "send_commit_signal", refuse_notification)
        herald.send()
        await wait_for(told.wait())
        await herald.close()

    assert clock.recorded_sleeps[:7] == [0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05]


async def test_where_nobody_can_be_heard_an_answer_is_late_by_a_tenth_of_its_time(mariadb_url: str) -> None:
    clock = RecordingClock()
    async with open_engine(mariadb_url, ORDERS_MODULE) as hands, open_signalled_waiters(hands.store, clock) as arrivals:
        id = await hands.create_instance()

        with pytest.raises(TimeoutError):
            await arrivals.wait(id, "done", timeout=2)

    assert clock.recorded_sleeps[:3] == [0.01] * 3
    assert max(clock.recorded_sleeps) == 0.1
    assert 40 < len(clock.recorded_sleeps) < 50


async def test_who_cannot_hear_looks_now_and_then(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch_nothing(*_: object) -> Callable[[], Any]:
        raise OSError("too many open files")

    clock = VirtualClock()
    async with open_engine(sqlite_url, ORDERS_MODULE) as hands, open_signalled_waiters(hands.store, clock) as arrivals:
        monkeypatch.setattr(type(hands.store.connections.dialect.signals), "listen_for_commits", watch_nothing)
        hand = await hands.add_executor()
        id = await hands.create_instance()
        wait = asyncio.create_task(arrivals.wait(id, "done", timeout=3_600))

        await hand.run_due_instance(id)

        assert (await wait_for(wait)).state == "done"
