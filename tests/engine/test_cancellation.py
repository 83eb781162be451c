"""Handlers that do not come to their end: timeouts, cancellation, and those that would end the process."""

from __future__ import annotations

import asyncio
import threading

import pytest

from flowlet.instance.instance import ActionKind, Status
from tests.engine.activation.activation_harness import ActivationHarness, build_single_state, get_only_action


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


def test_a_keyboard_interrupt_passes() -> None:
    bench = ActivationHarness()

    async def check() -> str:
        raise KeyboardInterrupt

    definition = bench.add_definition(**build_single_state(check))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(bench.run_first_activation(definition))
