"""The memory that running instances may take, by the sizes of their variables.

Slots bound how many run, not how large they are: 512 instances with a megabyte of variables each take eight gigabytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flowlet.engine.handlers.lease import Lease
from flowlet.instance.instance import Instance

__all__ = ["BYTES_PER_CHARACTER", "BYTES_PER_INSTANCE", "MemoryBudget", "find_memory_limit"]

BYTES_PER_CHARACTER = 16
"""What a character of the variables takes: their text before and after, the object, and the one for the next state."""
BYTES_PER_INSTANCE = 20_000
"""What an instance without variables takes."""
EXPECTED_CHARACTERS = 1_000_000
"""How long variables are at most, as far as nothing is known of the sizes of instances."""
FIRST_COUNT = 16
"""How many instances may begin at least, as long as nothing is known."""
FORGETTING = 0.99
"""How much of the size of the largest instance is still expected after each other one."""

_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""What a container may take, in the second and in the first version of control groups; a word for no limit."""

logger = logging.getLogger(__name__)


def find_memory_limit() -> int:
    """Return how many bytes of memory the container has, or the machine; 0 if neither says so."""
    limits = []
    with suppress(ValueError, OSError, AttributeError):  # Windows has no such call
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUP_FILES:
        with suppress(ValueError, OSError):
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits, default=0)


class MemoryBudget:
    """Limits what is claimed by what runs already, and by how large instances have been lately.

    How large an instance is, is known when it has been claimed. So the next ones are expected to be as large as the
    largest of the latest.

    Args:
        limit: How many bytes the running instances may take, about; None for half of what there is, 0 for no limit.
        on_free: Called when a running instance takes less than before.
    """

    def __init__(self, limit: int | None = None, *, on_free: Callable[[], None] | None = None) -> None:
        self._on_free = on_free
        limit = find_memory_limit() // 2 if limit is None else limit
        self._limit = limit
        self._used = self._count = 0
        self._expected = max(1.0, min(limit / FIRST_COUNT, BYTES_PER_CHARACTER * EXPECTED_CHARACTERS))
        self._was_full = False

    def limit_slots(self, free: int) -> int:
        """Return how many of so many free slots may be taken: at least one while nothing runs."""
        if not self._limit or free <= 0:
            return free
        fitting = max(int((self._limit - self._used) / self._expected), 0 if self._count else 1)
        if not fitting and not self._was_full:
            self._was_full = True
            logger.warning(
                "the %d running instances take about %d MB: others wait until some end, although slots are free. "
                "FLOWLET_MEMORY is the limit; this is logged once",
                self._count,
                self._used // 1_000_000,
            )
        return min(free, fitting)

    def add(self, lease: Lease, instance: Instance) -> None:
        """Count an instance that begins to run."""
        self._count += 1
        self.change(lease, instance)
        self._expected = max(lease.weight, self._expected * FORGETTING)

    def change(self, lease: Lease, instance: Instance) -> None:
        """Count what a running instance has become."""
        weight = BYTES_PER_INSTANCE + BYTES_PER_CHARACTER * len(instance.vars_json)
        growth, lease.weight = weight - lease.weight, weight
        self._used += growth
        if growth < 0 and self._on_free is not None:
            self._on_free()

    def remove(self, lease: Lease) -> None:
        """Count an instance no longer."""
        self._count -= 1
        self._used -= lease.weight
        lease.weight = 0
