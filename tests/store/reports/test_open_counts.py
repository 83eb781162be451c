"""How many instances are open: counted at once where they are few, and kept for seconds where they are many."""

from __future__ import annotations

import pytest

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.instance.instance import Status
from flowlet.store.reports import open_counts
from flowlet.store.reports.open_counts import MAX_AGE_SECONDS, OpenCounts
from tests.operations.operations_harness import open_operations


async def test_few_are_counted_each_time_and_many_again_after_seconds(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_operations(database_url) as harness:
        clock = harness.hands.clock
        counts = OpenCounts(harness.hands.store.connections, clock)
        await harness.create_in_status(Status.WAITING)
        first = await counts.read()
        await harness.create_in_status(Status.WAITING)
        second = await counts.read()
        monkeypatch.setattr(open_counts, "MANY_OPEN", 1)
        many = await counts.read()
        await harness.create_in_status(Status.FAILED)
        await harness.create_in_status(Status.WAITING)
        kept = await counts.read()
        clock.advance(int(MAX_AGE_SECONDS * MICROSECONDS_PER_SECOND))
        later = await counts.read()

    waiting = ("Orders", "WAITING")
    assert [one[waiting] for one in (first, second, many, kept, later)] == [1, 2, 2, 2, 3]
