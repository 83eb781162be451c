"""A short steady load leaves no descriptor, thread or task behind; and what grows is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.steady.resource_use import MEGABYTE, ResourceUse, SteadyUse, find_growth
from tests.chaos.steady.steady_run import SteadyPlan, run_steady_load

SEED = 15
SHORT_PLAN = SteadyPlan(SEED, warm_up_seconds=7, seconds=9, samples=18, creates_per_second=4, pause_seconds=0.6)
MAX_MEMORY_GROWTH = 30.0 * MEGABYTE
"""In a few seconds caches and the allocator grow by more than a leak would: an hour is what finds that."""
AT_REST = ResourceUse(0, 150 * MEGABYTE, descriptors=30, threads=14, tasks=16)


@pytest.mark.timeout(150)
def test_a_process_under_a_steady_load_uses_no_more_afterwards(postgres_url: str, tmp_path: Path) -> None:
    result = run_steady_load(postgres_url, tmp_path, SHORT_PLAN)

    print(result.counts, result.use.rest_before, result.use.rest_after)  # noqa: T201 - shown where it fails
    assert not result.problems
    assert not find_growth(result.use, max_memory_growth=MAX_MEMORY_GROWTH)
    assert {"page", "stream", "wait", "hang-up", "login", "operations"} <= set(+result.counts)
    assert result.counts["transitions"] > 100


def build_use(*, bytes_per_second: float = 0, rest_after: ResourceUse = AT_REST) -> SteadyUse:
    """Return what a process used in an hour whose memory has grown evenly."""
    load = [
        replace(AT_REST, seconds=second, memory=AT_REST.memory + round(bytes_per_second * second))
        for second in range(0, 3600, 60)
    ]
    return SteadyUse(AT_REST, load, rest_after)


def test_a_process_that_uses_the_same_has_not_grown() -> None:
    assert not find_growth(build_use(), max_memory_growth=10 * MEGABYTE)


@pytest.mark.parametrize(
    ("grown", "finding"),
    [
        (build_use(bytes_per_second=5_000), "the memory has grown by 11.7 MB"),
        (build_use(rest_after=replace(AT_REST, descriptors=41)), "11 more descriptors"),
        (build_use(rest_after=replace(AT_REST, threads=23)), "9 more threads"),
        (build_use(rest_after=replace(AT_REST, tasks=19)), "3 more tasks"),
    ],
    ids=["memory", "descriptors", "threads", "tasks"],
)
def test_whatever_grows_is_found(grown: SteadyUse, finding: str) -> None:
    (found,) = find_growth(grown, max_memory_growth=10 * MEGABYTE)

    assert finding in found
