"""What a process uses: memory, descriptors, threads and asyncio tasks, and whether that grows under a steady load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression

__all__ = ["ResourceUse", "SteadyUse", "find_growth"]

MEGABYTE = 1_000_000
POOLED_CONNECTIONS = 10
"""How many descriptors may be open more than before the load: the pools keep as many connections as were in use at once
lately."""
LAZY_TASKS = 2
"""How many tasks may begin under load and stay, as those of another connection: a leak is one for each request."""
POOLED_THREADS = 8
"""How many threads may run more than before the load, for the same reason."""


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What a process uses at one moment.

    Attributes:
        seconds: When that was, since the load began.
        memory: Its resident memory, in bytes.
        descriptors: How many descriptors are open.
        threads: How many threads it has.
        tasks: How many asyncio tasks have not ended.
    """

    seconds: float
    memory: int
    descriptors: int
    threads: int
    tasks: int

    def __str__(self) -> str:
        return (
            f"{self.memory / MEGABYTE:.1f} MB, {self.descriptors} descriptors, {self.threads} threads, "
            f"{self.tasks} tasks"
        )


@dataclass(frozen=True, slots=True)
class SteadyUse:
    """What a process used in a run.

    Attributes:
        rest_before: Without load, after a first load that has filled pools and caches.
        under_load: Under the load, in order.
        rest_after: Without load again.
    """

    rest_before: ResourceUse
    under_load: Sequence[ResourceUse]
    rest_after: ResourceUse

    @property
    def memory_growth(self) -> float:
        """How many bytes the memory has grown by in the last two thirds of the load, by the line that fits best."""
        window = self.under_load[len(self.under_load) // 3 :]
        slope, _ = linear_regression([use.seconds for use in window], [use.memory for use in window])
        return slope * (window[-1].seconds - window[0].seconds)


def find_growth(use: SteadyUse, *, max_memory_growth: float) -> list[str]:
    """Return what has grown in a run, each as a sentence.

    Args:
        use: What the process used.
        max_memory_growth: By how many bytes the memory may grow in the last two thirds of the load.
    """
    before, after = use.rest_before, use.rest_after
    found = []
    if use.memory_growth > max_memory_growth:
        found.append(
            f"the memory has grown by {use.memory_growth / MEGABYTE:.1f} MB in the last two thirds of the load, more "
            f"than {max_memory_growth / MEGABYTE:.1f} MB"
        )
    for name, grown, permitted in (
        ("descriptors", after.descriptors - before.descriptors, POOLED_CONNECTIONS),
        ("threads", after.threads - before.threads, POOLED_THREADS),
        ("tasks", after.tasks - before.tasks, LAZY_TASKS),
    ):
        if grown > permitted:
            found.append(f"there are {grown} more {name} after the load than before it ({before}; {after})")
    return found
