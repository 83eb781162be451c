"""Orderly ends: work that a cancellation cannot tear apart, and tasks that end together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowlet.shutdown import BackgroundTask, Shutdown, cancel_and_wait, run_to_end, wait_for_all, wait_for_first
from tests.engine.executor_harness import find_tasks, wait_for


class Work:
    """Work that begins, waits until it may end, and records how it ended."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ending: str | None = None
        self._error = error

    async def run(self) -> str:
        self.has_begun.set()
        try:
            await self.may_end.wait()
            if self._error is not None:
                raise self._error
        except asyncio.CancelledError:
            self.ending = "cancelled"
            raise
        self.ending = "ended"
        return "result"


async def wait_for_cancellation(task: asyncio.Task[Any]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await wait_for(task)


async def test_work_returns_its_result_and_raises_its_error() -> None:
    work, failing = Work(), Work(error=ValueError("no"))
    work.may_end.set()
    failing.may_end.set()

    assert await run_to_end(work.run()) == "result"
    with pytest.raises(ValueError, match="no"):
        await run_to_end(failing.run())


async def test_a_cancellation_is_raised_when_the_work_has_ended() -> None:
    work = Work()
    caller = asyncio.create_task(run_to_end(work.run(), on_cancel=work.may_end.set))
    await wait_for(work.has_begun.wait())

    caller.cancel()

    await wait_for_cancellation(caller)
    assert work.ending == "ended"


async def test_a_second_cancellation_does_not_interrupt_the_work_either() -> None:
    work, cancels = Work(), 0
    caller = asyncio.create_task(run_to_end(work.run()))
    await wait_for(work.has_begun.wait())

    for _ in range(3):
        caller.cancel()
        await asyncio.wait([caller], timeout=0.001)
        cancels += not caller.done()
    work.may_end.set()

    await wait_for_cancellation(caller)
    assert (work.ending, cancels) == ("ended", 3)


async def test_work_that_takes_too_long_after_the_cancellation_is_cancelled() -> None:
    work = Work()
    caller = asyncio.create_task(run_to_end(work.run(), grace_seconds=0.01))
    await wait_for(work.has_begun.wait())

    caller.cancel()

    await wait_for_cancellation(caller)
    assert work.ending == "cancelled"


async def test_an_error_of_the_work_is_the_cause_of_the_cancellation() -> None:
    work = Work(error=ValueError("no"))
    caller = asyncio.create_task(run_to_end(work.run(), on_cancel=work.may_end.set))
    await wait_for(work.has_begun.wait())

    caller.cancel()

    with pytest.raises(asyncio.CancelledError) as raised:
        await wait_for(caller)
    assert isinstance(raised.value.__cause__, ValueError)


async def test_cancelled_tasks_have_ended_when_the_wait_returns() -> None:
    works = [Work(), Work()]
    tasks = [asyncio.create_task(work.run()) for work in works]
    await wait_for(works[1].has_begun.wait())

    await cancel_and_wait(*tasks)

    assert [task.cancelled() for task in tasks] == [True, True]


async def test_the_first_work_that_ends_ends_the_others() -> None:
    first, other = Work(), Work()
    first.may_end.set()

    await wait_for(wait_for_first(first.run(), other.run()))

    assert (first.ending, other.ending) == ("ended", "cancelled")


async def test_a_part_that_raises_asks_the_others_to_stop() -> None:
    shutdown = Shutdown()

    async def serve() -> None:
        await shutdown.requested.wait()

    failing = Work(error=ValueError("no"))
    failing.may_end.set()

    with pytest.raises(ValueError, match="no"):
        await wait_for(wait_for_all([serve(), failing.run()], shutdown))  # type: ignore[list-item]  # ignored result


async def test_a_cancelled_wait_for_parts_cancels_all_of_them() -> None:
    works, shutdown = [Work(), Work()], Shutdown()
    waiting = asyncio.create_task(wait_for_all([work.run() for work in works], shutdown))  # type: ignore[misc]  # as above
    await wait_for(works[1].has_begun.wait())

    waiting.cancel()

    await wait_for_cancellation(waiting)
    assert [work.ending for work in works] == ["cancelled", "cancelled"]


class Loop:
    """A loop that counts its starts, and ends as the test lets it."""

    def __init__(self) -> None:
        self.starts: asyncio.Queue[int] = asyncio.Queue()
        self.ends: asyncio.Queue[Exception | None] = asyncio.Queue()
        self._start_count = 0

    async def run(self) -> None:
        self._start_count += 1
        self.starts.put_nowait(self._start_count)
        if (error := await self.ends.get()) is not None:
            raise error


async def test_a_background_task_that_was_cancelled_by_another_starts_again(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    owner = BackgroundTask("counter", loop.run)
    owner.start()
    await wait_for(loop.starts.get())

    find_tasks("flowlet-counter")[0].cancel()

    assert await wait_for(loop.starts.get()) == 2
    assert "the background task 'counter' was cancelled" in caplog.text
    await owner.close()
    assert not owner.is_running


async def test_a_background_task_that_ended_by_an_error_starts_again(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    owner = BackgroundTask("counter", loop.run)
    owner.start()
    await wait_for(loop.starts.get())

    loop.ends.put_nowait(ValueError("no such luck"))

    assert await wait_for(loop.starts.get()) == 2
    assert "ValueError: no such luck" in caplog.text
    await owner.close()


async def test_a_background_task_that_has_returned_starts_when_its_owner_says_so() -> None:
    loop = Loop()
    owner = BackgroundTask("counter", loop.run)
    owner.start()
    loop.ends.put_nowait(None)
    await wait_for(asyncio.wait(find_tasks("flowlet-counter")))
    was_running = owner.is_running

    owner.start()

    assert not was_running
    assert [await wait_for(loop.starts.get()), await wait_for(loop.starts.get())] == [1, 2]
    await owner.close()


async def test_a_closed_background_task_does_not_start_again() -> None:
    loop = Loop()
    owner = BackgroundTask("counter", loop.run)
    owner.start()
    await wait_for(loop.starts.get())
    find_tasks("flowlet-counter")[0].cancel()
    await asyncio.wait(find_tasks("flowlet-counter"))

    await owner.close()
    owner.start()

    assert not owner.is_running
    assert loop.starts.empty()
