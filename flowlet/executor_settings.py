"""The settings of one executor, and what the machine gives it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from flowlet.instance.keep_period import ALWAYS, OFF

__all__ = ["ExecutorSettings", "build_default_name", "find_memory_limit"]

_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""What a container may take, in the second and in the first version of control groups; a word for no limit."""


def build_default_name() -> str:
    """Return the name of an executor that is given none: the host's, and the process's id."""
    return f"{socket.gethostname()[:80]}-{os.getpid()}"


def find_memory_limit() -> int:
    """Return how many bytes of memory the container has, or the machine; 0 if neither says so."""
    limits = []
    with suppress(ValueError, OSError, AttributeError):  # Windows has no such call
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUP_FILES:
        with suppress(ValueError, OSError):
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits, default=0)


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """The settings of an executor.

    Attributes:
        groups: The executor groups whose instances it runs.
        slots: How many activations it runs at once.
        memory: How many bytes running instances may take, about; 0 for no limit.
        lease: How long it keeps an instance without a heartbeat.
        grace: How long activations may run after the executor is stopped.
        crash_limit: How many consecutive executor crashes an instance survives before it becomes FAILED.
        poll_interval: How often it looks for due instances without being notified.
        batch: The maximum number of transitions in one transaction.
        name: A label for people.
        max_transitions_per_lease: How many transitions an instance makes in one lease before it is released.
        session_idle: How long a session of the console may be unused before it ends and may be deleted.
        start_timeout: How long it waits at its start for a database that is away.
        keep: How long ended instances of workflows are kept that say nothing else; ``ALWAYS`` for always.
        keep_external_ids: How long the external ids of deleted instances are kept; ``OFF`` for not at all.
        keep_audit: How long rows of the audit are kept; ``ALWAYS`` for always.
    """

    groups: tuple[str, ...] = ("default",)
    slots: int = 512
    memory: int = 0
    lease: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=30)
    crash_limit: int = 5
    poll_interval: timedelta = timedelta(seconds=15)
    batch: int = 160
    name: str = field(default_factory=build_default_name)
    max_transitions_per_lease: int = 100
    session_idle: timedelta = timedelta(hours=12)
    start_timeout: timedelta = timedelta(minutes=1)
    keep: timedelta = ALWAYS
    keep_external_ids: timedelta = OFF
    keep_audit: timedelta = ALWAYS
