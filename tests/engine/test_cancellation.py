"""Handlers that do not come to their end: timeouts, cancellation, and those that would end the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.shutdown import watch_stop_signals
from flowlet.workflow.retry import Retry
from tests.engine.activation.activation_harness import (
    ActivationHarness,
    build_leased_instance,
    build_single_state,
    build_workflow_module,
    get_only_action,
)
from tests.engine.executor_harness import run_executor


@pytest.fixture
def harness() -> ActivationHarness:
    return ActivationHarness()


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_attempt_beyond_its_timeout_has_failed(harness: ActivationHarness, is_async: bool) -> None:
    released = threading.Event()

    async def check_async() -> str:
        await asyncio.Event().wait()
        return "done"

    def check_plain() -> str:
        released.wait()
        return "done"

    definition = harness.add_definition(**build_single_state(check_async if is_async else check_plain, timeout="10ms"))
    transition = await harness.run_first_activation(definition)
    released.set()

    assert (
        get_only_action(transition, ActionKind.ERROR).text
        == "TimeoutError: the attempt took longer than 10 milliseconds"
    )
    assert transition.status is Status.IN_PROGRESS


async def test_a_timeout_tells_where_the_handler_was(harness: ActivationHarness) -> None:
    async def wait_for_the_bank() -> None:
        await asyncio.Event().wait()

    async def check() -> str:
        await wait_for_the_bank()
        return "done"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check, timeout="10ms")))

    detail = get_only_action(transition, ActionKind.ERROR).detail
    assert detail is not None
    assert "in wait_for_the_bank" in detail
    assert "activation.py" not in detail.replace("test_activation.py", "")


async def test_a_handler_that_ends_in_time_is_not_stopped(harness: ActivationHarness) -> None:
    async def check() -> str:
        return "done"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check, timeout="1h")))

    assert transition.status is Status.FINISHED


async def test_a_handlers_own_timeout_error_is_not_taken_for_the_states(harness: ActivationHarness) -> None:
    async def check() -> str:
        raise TimeoutError("the bank did not answer")

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check, timeout="1h")))

    assert get_only_action(transition, ActionKind.ERROR).text == "TimeoutError: the bank did not answer"


async def test_a_handler_that_ignores_its_timeout_is_late_all_the_same(harness: ActivationHarness) -> None:
    async def check() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done"
        return "check"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check, timeout="10ms")))

    assert (
        get_only_action(transition, ActionKind.ERROR).text
        == "TimeoutError: the attempt took longer than 10 milliseconds"
    )


@pytest.mark.parametrize("timeout", [None, "1h"])
@pytest.mark.parametrize("error", [None, ConnectionError("the connection was lost")])
async def test_an_activation_cancelled_from_outside_writes_nothing(
    harness: ActivationHarness, timeout: str | None, error: Exception | None
) -> None:
    waiting = asyncio.Event()

    async def check() -> str:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise error or asyncio.CancelledError from None
        return "done"

    running = asyncio.create_task(
        harness.run_first_activation(harness.add_definition(**build_single_state(check, timeout=timeout)))
    )
    await waiting.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_cancelled_activation_does_not_wait_for_its_thread(harness: ActivationHarness) -> None:
    loop = asyncio.get_running_loop()
    waiting, released = asyncio.Event(), threading.Event()

    def check() -> str:
        loop.call_soon_threadsafe(waiting.set)
        released.wait()
        return "done"

    running = asyncio.create_task(harness.run_first_activation(harness.add_definition(**build_single_state(check))))
    await waiting.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    released.set()


async def test_a_handler_that_cancels_itself_has_failed(harness: ActivationHarness) -> None:
    async def check() -> str:
        raise asyncio.CancelledError

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert get_only_action(transition, ActionKind.ERROR).text == "CancelledError"
    assert transition.status is Status.IN_PROGRESS


def cancel_current_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def cancel_and_swallow() -> None:
    cancel_current_task()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def raise_after_own_cancellation() -> str:
    await cancel_and_swallow()
    raise ValueError("after it")


async def raise_with_a_pending_cancellation() -> str:
    cancel_current_task()
    raise ValueError("before it")


async def be_cancelled_by_a_timeout_of_another_library() -> str:
    """Do as async-timeout before 4.0.3 did: it cancels the task and never takes that back."""
    asyncio.get_running_loop().call_soon(cast("asyncio.Task[str]", asyncio.current_task()).cancel)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise TimeoutError from None
    return "done"


async def be_cancelled_by_its_own_task() -> str:
    asyncio.get_running_loop().call_soon(cast("asyncio.Task[str]", asyncio.current_task()).cancel)
    await asyncio.Event().wait()
    return "done"


async def close_itself() -> str:
    raise GeneratorExit


OWN_CANCELLATIONS: dict[Callable[[], Awaitable[str]], str] = {
    raise_after_own_cancellation: "ValueError: after it",
    raise_with_a_pending_cancellation: "ValueError: before it",
    be_cancelled_by_a_timeout_of_another_library: "TimeoutError",
    be_cancelled_by_its_own_task: "CancelledError",
    close_itself: "GeneratorExit",
}


@pytest.mark.parametrize("timeout", [None, "1h"])
@pytest.mark.parametrize("handler", OWN_CANCELLATIONS, ids=lambda handler: handler.__name__)
async def test_a_cancellation_that_the_worker_did_not_ask_for_is_a_failed_attempt(
    harness: ActivationHarness, handler: Callable[[], Awaitable[str]], timeout: str | None
) -> None:
    instance = build_leased_instance(harness.add_definition(**build_single_state(handler, timeout=timeout)))

    transition = await harness.run_activation(instance, is_stopped=lambda: False)

    assert get_only_action(transition, ActionKind.ERROR).text == OWN_CANCELLATIONS[handler]
    assert transition.attempt == 1
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0)  # nothing pending interrupts this


async def test_a_handler_that_swallows_its_own_cancellation_succeeds(harness: ActivationHarness) -> None:
    async def check() -> str:
        await cancel_and_swallow()
        cancel_current_task()
        return "done"

    instance = build_leased_instance(harness.add_definition(**build_single_state(check)))

    transition = await harness.run_activation(instance, is_stopped=lambda: False)

    assert transition.status is Status.FINISHED
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0)


@pytest.mark.parametrize(
    "handler", [raise_with_a_pending_cancellation, be_cancelled_by_its_own_task, close_itself], ids=lambda h: h.__name__
)
async def test_a_handler_that_cancels_itself_each_time_uses_up_its_attempts(
    database_url: str, handler: Callable[[], Awaitable[str]]
) -> None:
    module = build_workflow_module(**build_single_state(handler, retry=Retry(limit=1, min="1ms", max="1ms")))
    async with run_executor(database_url, module) as run:
        id = await run.create_and_wake()

        while (await run.get_instance(id)).status is not Status.FAILED:
            pass

        kinds = await run.read_action_kinds(id)
        assert kinds == [ActionKind.CREATED, ActionKind.ERROR, ActionKind.ERROR, ActionKind.FAILED]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_handler_that_exits_fails_its_attempt_only(harness: ActivationHarness, is_async: bool) -> None:
    async def check_async() -> str:
        raise SystemExit(3)

    def check_plain() -> str:
        raise SystemExit(3)

    transition = await harness.run_first_activation(
        harness.add_definition(**build_single_state(check_async if is_async else check_plain))
    )

    assert get_only_action(transition, ActionKind.ERROR).text == "SystemExit: 3"


async def test_where_signals_are_watched_a_keyboard_interrupt_is_the_handlers(harness: ActivationHarness) -> None:
    async def check() -> str:
        raise KeyboardInterrupt

    with watch_stop_signals(lambda: None):
        transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert get_only_action(transition, ActionKind.ERROR).text == "KeyboardInterrupt"


def test_a_keyboard_interrupt_passes() -> None:
    bench = ActivationHarness()

    async def check() -> str:
        raise KeyboardInterrupt

    definition = bench.add_definition(**build_single_state(check))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(bench.run_first_activation(definition))
