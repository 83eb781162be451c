"""Plain ``def`` handlers that hang in their threads harm no other handler, are counted, and can be asked to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest

from flowlet.engine.threads.handler_threads import HandlerThreads
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import (
    ActivationHarness,
    build_single_state,
    build_workflow_module,
    get_only_action,
)
from tests.engine.executor_harness import ExecutorHarness, run_executor, wait_for


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Yield what ends the handlers that hang; it is set at the end in any case."""
    event = threading.Event()
    yield event
    event.set()


def build_hanging_states(released: threading.Event, **options: object) -> dict[str, object]:
    def hang() -> str:
        released.wait()
        return "done"

    return build_single_state(hang, timeout="10ms", **options)


async def test_the_wait_for_a_thread_is_no_part_of_the_attempt(released: threading.Event) -> None:
    harness = ActivationHarness()
    hanging = harness.add_definition(workflow=Workflow("Hanging"), **build_hanging_states(released))
    quick = harness.add_definition(**build_single_state(lambda: "done", timeout="10ms"))
    late = [await harness.run_first_activation(hanging) for _ in range(harness.activations.threads.max_threads)]

    waiting = asyncio.create_task(harness.run_first_activation(quick))
    await asyncio.wait([waiting], timeout=0.05)
    counts = (harness.activations.threads.free_count, harness.activations.threads.overdue_count)
    was_waiting = not waiting.done()
    harness.clock.advance(3_600_000_000)
    released.set()
    ended = await wait_for(waiting)

    assert was_waiting
    assert counts == (0, 2)
    assert {get_only_action(one, ActionKind.ERROR).text for one in late} == {
        "TimeoutError: the attempt took longer than 10 milliseconds"
    }
    assert ended.status is Status.FINISHED
    assert get_only_action(ended, ActionKind.TRANSITION).duration_ms == 0


async def test_a_handler_whose_attempt_has_ended_is_told_so_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[bool] = []
    has_ended = threading.Event()

    def check(ctx: Context) -> str:
        seen.append(ctx.is_cancelled)
        while not ctx.is_cancelled:
            pass
        has_ended.set()
        return "done"

    harness = ActivationHarness()
    await harness.run_first_activation(harness.add_definition(**build_single_state(check, timeout="10ms")))

    assert has_ended.wait(20)
    assert seen == [False]
    assert "the handler of state 'check' of Orders 41 still runs although its attempt has ended: 1 of 2" in caplog.text
    while harness.activations.threads.overdue_count:
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.001)
    assert harness.activations.threads.free_count == 2


async def test_a_freed_thread_is_reported_where_none_was_free(released: threading.Event) -> None:
    freed = asyncio.Event()
    threads = HandlerThreads(1, on_free=freed.set)
    await threads.take()
    running = asyncio.create_task(threads.run(released.wait, subject="a call", stop_requested=None))
    await asyncio.wait([running], timeout=0.001)

    running.cancel()
    await asyncio.wait([running])
    was_free = threads.free_count
    released.set()
    await wait_for(freed.wait())

    assert (was_free, threads.free_count, threads.overdue_count) == (0, 1, 0)
    threads.close()


async def test_while_no_thread_is_free_only_workflows_that_need_one_everywhere_wait(
    database_url: str, released: threading.Event
) -> None:
    async with run_executor(database_url, *build_modules(released), slots=2) as run:
        hanging = [await create_and_wake(run, "Hanging") for _ in range(2)]
        for id in hanging:
            await wait_until_ended(run, id)

        plain, mixed = await create_and_wake(run, "Plain"), await create_and_wake(run, "Mixed")
        await wait_until_ended(run, mixed)
        waiting = await run.get_instance(plain)
        released.set()
        await wait_until_ended(run, plain)

        assert (waiting.status, waiting.token) == (Status.NEW, 0)
        assert (await run.get_instance(plain)).status is Status.FINISHED


def build_modules(released: threading.Event) -> list[ModuleType]:
    async def check() -> str:
        return "done"

    hanging = Workflow("Hanging", retry=Retry(limit=0))
    return [
        build_workflow_module(workflow=hanging, **build_hanging_states(released)),
        build_workflow_module(workflow=Workflow("Plain"), **build_single_state(lambda: "done")),
        build_workflow_module(workflow=Workflow("Mixed"), **build_single_state(check)),
    ]


async def create_and_wake(run: ExecutorHarness, name: str) -> int:
    now = run.store.clock.now()
    new = run.registry.get_definition(name).build_instance(None, now=now)
    (created,) = await run.store.instances.create([new], now=now)
    run.executor.wake()
    return created.id


async def wait_until_ended(run: ExecutorHarness, id: int) -> None:
    async with asyncio.timeout(20):
        while not (await run.get_instance(id)).has_ended:
            await run.read_executors()
