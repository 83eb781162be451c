"""Loops of a process that another task has cancelled, as a handler can: each is started again by its owner."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from flowlet.clock import StoreClock
from flowlet.engine.event_stream import EventBatch, EventBroadcaster
from flowlet.engine.waiters import Waiters
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.commits import Commit
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import find_tasks, run_executor, wait_for
from tests.engine.manual_executor import open_engine
from tests.engine.test_heartbeat import run_heartbeat

ORDERS = build_workflow_module(**build_single_state(lambda: "done"))


async def test_maintenance_that_was_cancelled_still_repairs_leases(database_url: str) -> None:
    async with run_executor(database_url, ORDERS, lease=timedelta(seconds=0.3)) as run:
        find_tasks("flowlet-maintenance")[0].cancel()
        id = await run.create_instance()
        await run.store.connections.write(
            lambda session: session.execute(
                "UPDATE flowlet_workflow SET status = 'EXECUTING', executor_id = 'gone' WHERE id = :id", {"id": id}
            )
        )

        while (await run.get_instance(id)).status is not Status.FINISHED:
            pass

        assert ActionKind.REPAIRED in await run.read_action_kinds(id)


async def test_an_executor_that_a_foreign_task_cancelled_starts_anew(database_url: str) -> None:
    async with run_executor(database_url, ORDERS) as run:
        (before,) = await run.read_executors()

        for task in asyncio.all_tasks() - {run.task, asyncio.current_task()}:
            task.cancel()
        while before.id in {record.id for record in await run.read_executors() if record.is_live}:
            pass
        id = await run.create_and_wake()

        while (await run.get_instance(id)).status is not Status.FINISHED:
            run.executor.wake()
        assert not run.task.done()


async def test_a_wait_survives_the_cancellation_of_its_loop(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, ORDERS) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        waiters = Waiters(hands.store, StoreClock())
        wait = asyncio.create_task(waiters.wait(id, timeout=60))
        while not waiters.waiter_count:
            await hands.get_instance(id)

        find_tasks("flowlet-waiters")[0].cancel()
        await hand.run_due_instance(id)

        assert (await wait_for(wait)).status is Status.FINISHED
        await waiters.close()


async def test_a_stream_of_events_survives_the_cancellation_of_its_loop(sqlite_url: str) -> None:
    async with open_store(sqlite_url) as store, open_engine(sqlite_url, ORDERS) as hands:
        broadcaster = EventBroadcaster(store)
        stream = broadcaster.subscribe(lambda _: True)
        await wait_for(anext(stream))

        find_tasks("flowlet-event-stream")[0].cancel()
        id = await hands.create_instance()

        batch: EventBatch = await wait_for(anext(stream))
        while not batch.deliveries:
            batch = await wait_for(anext(stream))
        assert [delivery.event.workflow_id for delivery in batch.deliveries] == [id]
        await stream.aclose()
        broadcaster.close()


async def test_commits_of_others_are_heard_after_the_listener_was_cancelled(database_url: str) -> None:
    heard: asyncio.Queue[Commit] = asyncio.Queue()
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        store.commit_signal.subscribe(heard.put_nowait)
        while not store.commit_signal.is_listening:
            await store.read_clock()

        find_tasks("flowlet-commit-listener")[0].cancel()
        while store.commit_signal.is_listening:
            await store.read_clock()
        while not store.commit_signal.is_listening:
            await store.read_clock()
        async with open_engine(database_url, ORDERS) as hands:
            await hands.create_instance()

            await wait_for(heard.get())


async def test_a_heartbeat_whose_loop_was_cancelled_beats_on(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        open_store(database_url, schema=find_schema(database_url)) as store,
        run_heartbeat(store) as heart,
    ):
        await wait_for(heart.wait_for_next_beat())
        loop = heart.heartbeat._thread_loop
        assert loop is not None

        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        while "it starts again" not in caplog.text:
            await store.read_clock()

        await wait_for(heart.wait_for_next_beat())
