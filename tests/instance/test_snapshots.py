"""Snapshots: due when the changes since the last one are longer than the variables, or in some 500 lines."""

from __future__ import annotations

import pytest

from flowlet.instance.snapshots import MAX_CHANGED_LINES, MIN_SNAPSHOT_CHARACTERS, record_change


def count_lines_between_snapshots(sizes: list[int], change_size: int) -> list[int]:
    """Return after how many lines each snapshot came, for variables of these sizes."""
    counts, unsnapped, lines = [], 0, 0
    for size in sizes:
        lines += 1
        snapshot, unsnapped = record_change("x" * size, "c" * change_size, unsnapped=unsnapped)
        if snapshot is not None:
            assert len(snapshot) == size
            counts.append(lines)
            lines = 0
    return counts


@pytest.mark.parametrize(
    ("size", "change_size", "lines"),
    [(100_000, 10, 477), (1_000_000, 40, 491), (100_000, 50_000, 2), (100_000, 100_001, 1), (10, 60, 17)],
)
def test_a_snapshot_follows_changes_as_long_as_the_variables_or_500_lines(
    size: int, change_size: int, lines: int
) -> None:
    assert count_lines_between_snapshots([size] * 1_200, change_size)[0] == lines


@pytest.mark.parametrize("growth", [1, 200, 5_000])
@pytest.mark.parametrize("first", [0, 10_000, 1_000_000])
def test_variables_that_only_grow_have_snapshots_too(growth: int, first: int) -> None:
    counts = count_lines_between_snapshots([first + growth * line for line in range(1, 1_100)], growth)

    assert counts
    assert max(counts) <= MAX_CHANGED_LINES


def test_small_changes_of_small_variables_do_not_repeat_them_in_each_line() -> None:
    assert record_change("{}", "[]", unsnapped=0) == (None, 4)
    assert record_change("{}", "[]", unsnapped=MIN_SNAPSHOT_CHARACTERS) == ("{}", 0)
