"""Group commit of any items: one batch gathers while another is written, and each caller gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from flowlet.engine.batcher import ALONE, Batcher, BatcherClosedError
from flowlet.errors import StoreUnavailableError
from tests.engine.executor_harness import wait_for


class BatchWriter:
    """Writes batches of numbers, doubled, when the test lets it; refuses some of them."""

    def __init__(self, *refused: int) -> None:
        self.refused = set(refused)
        self.batches: list[list[int]] = []
        self.has_begun = asyncio.Event()
        self.may_write = asyncio.Event()
        self.error: Exception | None = None

    async def write(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.has_begun.set()
        await self.may_write.wait()
        if self.error is not None:
            raise self.error
        if refused := self.refused.intersection(batch):
            raise ValueError(f"refused: {sorted(refused)}")
        return [2 * number for number in batch]


def put_all(batcher: Batcher[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(batcher.put(number)) for number in numbers]


async def test_items_that_arrive_during_a_batch_are_the_next_batch() -> None:
    writer = BatchWriter()
    batcher = Batcher(writer.write, max_batch_size=10)
    first = put_all(batcher, [1])
    await wait_for(writer.has_begun.wait())
    others = put_all(batcher, [2, 3])

    writer.may_write.set()

    assert await wait_for(asyncio.gather(*first, *others)) == [2, 4, 6]
    assert writer.batches == [[1], [2, 3]]
    assert (batcher.totals.batches, batcher.totals.items, batcher.totals.largest) == (2, 3, 2)


async def test_a_batch_is_limited_in_number_and_weight() -> None:
    writer = BatchWriter()
    writer.may_write.set()
    batcher = Batcher(writer.write, max_batch_size=3, max_batch_weight=100, weigh=lambda number: number)

    await wait_for(asyncio.gather(*put_all(batcher, [1, 2, 3, 4, 99, 5, 900, 95])))

    assert writer.batches == [[1, 2, 3], [4], [99], [5], [900], [95]]


async def test_only_the_caller_of_a_refused_item_gets_the_error() -> None:
    writer = BatchWriter(5)
    writer.may_write.set()
    batcher = Batcher(writer.write, max_batch_size=10)

    results = await wait_for(asyncio.gather(*put_all(batcher, range(8)), return_exceptions=True))

    assert [str(result) for result in results if isinstance(result, ValueError)] == ["refused: [5]"]
    assert [result for result in results if isinstance(result, int)] == [0, 2, 4, 6, 8, 12, 14]


async def test_a_store_that_is_away_is_not_halved() -> None:
    writer = BatchWriter()
    writer.error = StoreUnavailableError("the database is away")
    writer.may_write.set()
    batcher = Batcher(writer.write, max_batch_size=10)

    results = await wait_for(asyncio.gather(*put_all(batcher, [1, 2, 3]), return_exceptions=True))

    assert results == [writer.error] * 3
    assert writer.batches == [[1, 2, 3]]


@pytest.mark.parametrize(("keeps_cancelled", "second"), [(False, [3]), (True, [2, 3])])
async def test_the_item_of_a_cancelled_caller_is_left_out_unless_it_is_kept(
    keeps_cancelled: bool, second: list[int]
) -> None:
    writer = BatchWriter()
    batcher = Batcher(writer.write, max_batch_size=10, keeps_cancelled=keeps_cancelled)
    first = put_all(batcher, [1])
    await wait_for(writer.has_begun.wait())
    cancelled, last = put_all(batcher, [2, 3])
    await asyncio.wait([cancelled], timeout=0.001)

    cancelled.cancel()
    await asyncio.wait([cancelled])
    writer.may_write.set()

    assert await wait_for(asyncio.gather(*first, last)) == [2, 6]
    assert writer.batches == [[1], second]


async def test_an_item_that_arrives_just_when_the_writer_ends_is_written() -> None:
    writer = BatchWriter()
    writer.may_write.set()
    batcher = Batcher(writer.write, max_batch_size=10)

    async def put_twice(number: int) -> int:
        return await batcher.put(number) + await batcher.put(number)

    assert await wait_for(asyncio.gather(*(put_twice(number) for number in range(5)))) == [0, 4, 8, 12, 16]


async def test_closing_writes_the_items_that_wait_and_refuses_others() -> None:
    writer = BatchWriter()
    batcher = Batcher(writer.write, max_batch_size=1)
    tasks = put_all(batcher, [1, 2])
    await wait_for(writer.has_begun.wait())
    writer.may_write.set()

    await wait_for(batcher.close())

    assert [task.result() for task in tasks] == [2, 4]
    with pytest.raises(BatcherClosedError):
        await batcher.put(3)


async def test_abandoning_writes_nothing_more() -> None:
    writer = BatchWriter()
    batcher = Batcher(writer.write, max_batch_size=1)
    tasks = put_all(batcher, [1, 2])
    await wait_for(writer.has_begun.wait())

    await wait_for(batcher.abandon())

    results = await wait_for(asyncio.gather(*tasks, return_exceptions=True))
    assert [type(result) for result in results] == [BatcherClosedError] * 2
    assert writer.batches == [[1]]


async def test_what_a_writer_that_was_cancelled_has_left_is_written_by_the_next_one() -> None:
    writer = BatchWriter()
    batcher = Batcher(writer.write, max_batch_size=10)
    before = asyncio.all_tasks()
    callers = put_all(batcher, [1, 2])
    await wait_for(writer.has_begun.wait())

    cancel_writers(before | set(callers))
    writer.may_write.set()

    assert await wait_for(asyncio.gather(*callers)) == [2, 4]
    assert writer.batches == [[1, 2]] * 2


async def test_a_writer_that_was_cancelled_before_its_first_step_is_replaced() -> None:
    writer = BatchWriter()
    writer.may_write.set()
    batcher = Batcher(writer.write, max_batch_size=10)
    before = asyncio.all_tasks()
    callers = put_all(batcher, [1, 2])

    asyncio.get_running_loop().call_soon(cancel_writers, before | set(callers))  # right after the callers' first steps

    assert await wait_for(asyncio.gather(*callers)) == [2, 4]
    assert writer.batches == [[1, 2]]
    assert await wait_for(batcher.put(3)) == 6


def cancel_writers(others: set[asyncio.Task[Any]]) -> None:
    (task,) = asyncio.all_tasks() - others
    task.cancel()


async def test_a_writer_whose_answers_do_not_fit_fails_their_callers_and_no_other() -> None:
    async def write(batch: Sequence[int]) -> list[int]:
        return [2 * number for number in batch if number]

    batcher = Batcher(write, max_batch_size=10)

    found = await wait_for(asyncio.gather(*put_all(batcher, [0, 1]), return_exceptions=True))

    assert [type(one) for one in found] == [RuntimeError, RuntimeError]
    assert await wait_for(batcher.put(3)) == 6


async def test_closing_writes_what_a_cancelled_writer_has_left() -> None:
    writer = BatchWriter()
    batcher = Batcher(writer.write, max_batch_size=10)
    before = asyncio.all_tasks()
    callers = put_all(batcher, [1, 2])
    await wait_for(writer.has_begun.wait())
    cancel_writers(before | set(callers))
    writer.may_write.set()

    await wait_for(batcher.close())

    assert await wait_for(asyncio.gather(*callers)) == [2, 4]


async def test_an_item_that_is_to_be_alone_is_a_batch_by_itself() -> None:
    writer = BatchWriter()
    writer.may_write.set()
    batcher = Batcher(writer.write, max_batch_size=10, weigh=lambda number: ALONE if number == 3 else 0)

    await wait_for(asyncio.gather(*put_all(batcher, [1, 2, 3, 4, 5])))

    assert writer.batches == [[1, 2], [3], [4, 5]]
