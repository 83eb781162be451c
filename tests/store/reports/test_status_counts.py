"""How many instances there are: counted at once where few are open, and kept for seconds where many are."""

from __future__ import annotations

import pytest

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.instance.instance import Status
from flowlet.store.reports import status_counts
from flowlet.store.reports.status_counts import MAX_AGE_SECONDS
from tests.operations.operations_harness import open_operations


async def test_few_are_counted_each_time_and_many_again_after_seconds(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_operations(database_url) as harness:
        read_counts = harness.hands.store.queries.count_by_type_and_status
        await harness.create_in_status(Status.WAITING)
        first = await read_counts()
        moved = await harness.create_in_status(Status.WAITING)
        second = await read_counts()
        monkeypatch.setattr(status_counts, "MANY_OPEN", 1)
        many = await read_counts()
        await harness.operations.cancel(moved.id, username="ada")
        kept = await read_counts()
        harness.hands.clock.advance(int(MAX_AGE_SECONDS * MICROSECONDS_PER_SECOND))
        later = await read_counts()

    names = [("Orders", "WAITING"), ("Orders", "CANCELLED")]
    counts = [[one.get(name, 0) for name in names] for one in (first, second, many, kept, later)]
    assert counts == [[1, 0], [2, 0], [2, 0], [2, 0], [1, 1]]
