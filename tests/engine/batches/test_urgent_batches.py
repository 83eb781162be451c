"""A batch of a higher priority is written beside those under way, and a batch has no more than its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from flowlet.engine.batcher import Batcher, BatcherClosedError
from flowlet.engine.batches.waiting_items import Rank
from tests.engine.executor_harness import wait_for


class HeldWriter:
    """Writes batches of numbers; those of numbers below 100 are held until the test lets them go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_write = asyncio.Event()

    async def write(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        if min(batch) < 100:
            await self.may_write.wait()
        return list(batch)


def build_batcher(writer: HeldWriter, *, writer_count: int = 1) -> Batcher[int, int]:
    """Return a batcher in which the hundreds of a number are its priority."""
    return Batcher(
        writer.write, max_batch_size=10, rank=lambda number: Rank(number // 100, None), writer_count=writer_count
    )


async def begin_batches(batcher: Batcher[int, int], *numbers: int) -> list[asyncio.Future[int]]:
    """Put numbers of which each is a batch that is held."""
    futures = []
    for number in numbers:
        futures.append(batcher.put(number))
        await asyncio.wait(futures[-1:], timeout=0.001)
    return futures


@pytest.mark.parametrize("writer_count", [1, 3])
async def test_a_higher_priority_does_not_wait_for_the_batches_under_way(writer_count: int) -> None:
    writer = HeldWriter()
    batcher = build_batcher(writer, writer_count=writer_count)
    low = await begin_batches(batcher, *range(writer_count))

    assert await wait_for(batcher.put(500)) == 500

    assert not any(future.done() for future in low)
    writer.may_write.set()
    assert await wait_for(asyncio.gather(*low)) == list(range(writer_count))


async def test_an_equal_priority_waits_for_the_batch_under_way() -> None:
    writer = HeldWriter()
    batcher = build_batcher(writer)
    first = await begin_batches(batcher, 1)

    others = await begin_batches(batcher, 2, 3)

    assert writer.batches == [[1]]
    writer.may_write.set()
    await wait_for(asyncio.gather(*first, *others))
    assert writer.batches == [[1], [2, 3]]


async def test_closing_waits_for_an_urgent_batch() -> None:
    writer = HeldWriter()
    batcher = build_batcher(writer)
    low = await begin_batches(batcher, 1)
    high = batcher.put(500)
    writer.may_write.set()

    await wait_for(batcher.close())

    assert [future.result() for future in (*low, high)] == [1, 500]


async def test_abandoning_ends_an_urgent_batch() -> None:
    may_write = asyncio.Event()

    async def write(batch: Sequence[int]) -> list[int]:
        await may_write.wait()
        return list(batch)

    batcher: Batcher[int, int] = Batcher(write, max_batch_size=10, rank=lambda number: Rank(number // 100, None))
    futures = await begin_batches(batcher, 1, 500)

    await wait_for(batcher.abandon())

    found = await wait_for(asyncio.gather(*futures, return_exceptions=True))
    assert [type(one) for one in found] == [BatcherClosedError] * 2


async def test_a_batch_has_no_more_of_a_priority_than_its_limit() -> None:
    writer = HeldWriter()
    writer.may_write.set()
    batcher: Batcher[int, int] = Batcher(
        writer.write,
        max_batch_size=10,
        rank=lambda number: Rank(number // 100, None),
        limit_size=lambda priority, size: 2 if priority == 0 else size,
    )

    await wait_for(asyncio.gather(*map(batcher.put, (1, 2, 3, 501, 502, 503))))

    assert writer.batches == [[501, 502, 503, 1, 2], [3]]


async def test_a_batch_has_no_more_of_a_lower_priority_than_of_higher_ones() -> None:
    writer = HeldWriter()
    writer.may_write.set()
    batcher = build_batcher(writer)

    await wait_for(asyncio.gather(*map(batcher.put, (1, 2, 3, 4, 5, 501, 502))))

    assert writer.batches == [[501, 502, 1, 2], [3, 4, 5]]
