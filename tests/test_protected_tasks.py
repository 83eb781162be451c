"""Tasks that a handler cannot cancel, and those that it can."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.protected_tasks import (
    HandlerScope,
    build_own_context,
    create_protected_task,
    enter_handler_scope,
    leave_own_code,
    protect_loop,
    take_refused_cancellations,
)
from flowlet.shutdown import BackgroundTask, cancel_and_wait


async def wait_forever() -> None:
    await asyncio.Event().wait()


async def run_as_handler(handler: Callable[[], Coroutine[Any, Any, None]]) -> RuntimeError | None:
    """Run code as a handler of its own lease, and return the error of cancellations that were refused."""
    scope = HandlerScope()

    async def run_lease() -> RuntimeError | None:
        enter_handler_scope(scope)
        with contextlib.suppress(asyncio.CancelledError):
            await handler()
        return take_refused_cancellations()

    return await create_protected_task(run_lease(), scope=scope)


@asynccontextmanager
async def start_protected_tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Start a background task, and one that runs the handler of another lease; cancel them at the end."""
    background = BackgroundTask("upkeep", wait_forever)
    before = asyncio.all_tasks()
    background.start()
    other = create_protected_task(wait_forever(), scope=HandlerScope())
    try:
        yield [*(asyncio.all_tasks() - before)]
    finally:
        await background.close()
        await cancel_and_wait(other)


async def test_a_handler_that_cancels_every_task_cancels_only_its_own() -> None:
    async with start_protected_tasks() as tasks:
        # The test's own task is a usual one.
        error = await asyncio.create_task(run_as_handler(lambda: cancel_tasks(tasks)))

        assert str(error).startswith("the handler has cancelled 2 tasks that are not its own")
        assert not any(task.done() or task.cancelling() for task in tasks)


async def cancel_tasks(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def test_a_handler_cancels_its_own_task_and_those_that_it_has_started() -> None:
    started: list[asyncio.Task[None]] = []

    async def start_and_cancel() -> None:
        started.append(asyncio.create_task(wait_forever()))
        started[0].cancel()
        task = asyncio.current_task()
        assert task
        task.cancel()
        await wait_forever()

    assert await run_as_handler(start_and_cancel) is None
    assert started[0].cancelled()


async def test_a_handlers_timeout_reaches_it() -> None:
    async def wait_too_long() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await wait_forever()

    assert await run_as_handler(wait_too_long) is None


async def test_other_code_may_cancel_protected_tasks() -> None:
    async with start_protected_tasks() as tasks:
        await cancel_and_wait(*tasks)

        assert all(task.cancelled() for task in tasks)


async def test_in_a_protected_loop_the_tasks_of_flowlet_are_protected_and_those_of_resources_are_not() -> None:
    loop = asyncio.get_running_loop()
    protect_loop(loop)
    try:

        async def start_tasks() -> list[asyncio.Task[None]]:
            own = asyncio.create_task(wait_forever())
            with leave_own_code():
                return [own, asyncio.create_task(wait_forever())]

        own, of_resource = await loop.create_task(start_tasks(), context=build_own_context())

        error = await run_as_handler(lambda: cancel_tasks([own, of_resource]))

        assert str(error).startswith("the handler has cancelled 1 tasks")
        assert of_resource.cancelling()
        assert not own.cancelling()
        await cancel_and_wait(own, of_resource)
    finally:
        loop.set_task_factory(None)
