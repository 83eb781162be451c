"""The effects file: what handlers did, one line each, written so that it outlives their process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Protocol

from flowlet import Context

__all__ = ["EFFECTS_VARIABLE", "RecordedVariables", "record_run"]

EFFECTS_VARIABLE = "CHAOS_EFFECTS"
"""The environment variable with the path of the effects file."""
MODULUS = 1_000_003

_run_numbers = count(1)


class RecordedVariables(Protocol):
    """The variables that every workflow of the workload has: each state that has run is written to both."""

    path: list[str]
    checksum: int


@contextmanager
def record_run(context: Context, variables: RecordedVariables) -> Iterator[None]:
    """Write a line before and after a handler's work, and its state into the variables; none after a failure.

    A line is ``begin|end external-id visit state attempt token executor-id process-id run-number time``, the time in
    microseconds since 1970 UTC by this machine's clock.
    """
    instance = context.workflow
    run = f"{os.getpid()} {next(_run_numbers)}"
    place = f"{instance.external_id} {instance.visit} {instance.state} {context.attempt}"
    _append_line(f"begin {place} {instance.token} {instance.executor_id} {run}")
    yield
    variables.path.append(instance.state)
    letters = sum(instance.state.encode())
    variables.checksum = (variables.checksum * 31 + letters * (instance.visit + 1)) % MODULUS
    _append_line(f"end {place} {instance.token} {instance.executor_id} {run}")


def _append_line(line: str) -> None:
    """Append a line by one write: lines of several processes do not mix, and what is written survives a kill."""
    now = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000
    file = os.open(os.environ[EFFECTS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{line} {now}\n".encode())
    finally:
        os.close(file)
