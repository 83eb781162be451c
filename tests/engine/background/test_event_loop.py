"""The event loop of a process: nothing that runs in it ends it, but what it was started for, and Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import pytest
import uvloop

from flowlet.runtime import run_to_completion
from flowlet.shutdown import watch_stop_signals

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


async def stop_loop() -> None:
    asyncio.get_running_loop().stop()


async def exit_process() -> NoReturn:
    raise SystemExit(3)


async def interrupt_process() -> NoReturn:
    raise KeyboardInterrupt


@LOOPS
@pytest.mark.parametrize("end", [stop_loop, exit_process, interrupt_process], ids=lambda end: end.__name__)
def test_a_task_that_tries_to_end_the_loop_does_not(
    loop_factory: LoopFactory, end: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    async def main() -> None:
        with watch_stop_signals(lambda: None):
            task = asyncio.create_task(end())
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            seen.append("ran on")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        run_to_completion(runner, main())

    assert seen == ["ran on"]
    assert "a task has tried to end the event loop, which runs on" in caplog.text


@LOOPS
@pytest.mark.parametrize("error", [SystemExit(3), ValueError("no"), RuntimeError("no")], ids=repr)
def test_what_the_main_coroutine_raises_is_raised(loop_factory: LoopFactory, error: BaseException) -> None:
    async def main() -> None:
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.001)
        raise error

    with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(type(error)) as raised:
        run_to_completion(runner, main())

    assert raised.value is error


@LOOPS
def test_an_interrupt_of_the_user_ends_the_coroutine(loop_factory: LoopFactory) -> None:
    seen = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    # A process that a shell has started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(KeyboardInterrupt):
            run_to_completion(runner, main())
    finally:
        signal.signal(signal.SIGINT, before)

    assert seen == ["cleaned up"]
