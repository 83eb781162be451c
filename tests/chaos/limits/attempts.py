"""The attempts of a run with limits, as its handlers and its director have written them down, and what must hold.

Times are of this machine's one clock, in microseconds since 1970 UTC. Nothing here reads a table of Flowlet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.chaos.findings import Fault

__all__ = [
    "Attempt",
    "ClosedTime",
    "count_most",
    "find_breaker_faults",
    "find_excess",
    "read_attempts",
    "read_now",
    "record_attempt",
]

SECOND = 1_000_000
SLACK = SECOND
"""How long after its admission a handler may begin, on a busy machine."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a handler: ``outcome`` is "end", "fail" or "killed", and ``ended`` is then the end of its process."""

    state: str
    began: int
    ended: int
    outcome: str


@dataclass(frozen=True, slots=True)
class ClosedTime:
    """A time in which every attempt fails, and how many executors were killed in it."""

    began: int
    ended: int
    kill_count: int = 0


def read_now() -> int:
    """Return this machine's time."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000


@contextmanager
def record_attempt(effects: Path, state: str) -> Iterator[None]:
    """Write a line when a handler begins, and one when it ends or fails. What is written survives a kill."""
    run = f"{state} {os.getpid()} {next(_numbers)}"
    _append_line(effects, f"begin {run}")
    try:
        yield
    except Exception:
        _append_line(effects, f"fail {run}")
        raise
    _append_line(effects, f"end {run}")


def read_attempts(effects: Path, killed_at: Mapping[int, int]) -> list[Attempt]:
    """Return all attempts. One without an end has run until its process was killed.

    Args:
        effects: The file that ``record_attempt`` has written.
        killed_at: When each killed process had ended, by its id.
    """
    begun: dict[str, tuple[str, int, int]] = {}
    found = []
    for line in effects.read_text(encoding="utf-8").splitlines():
        moment, state, pid, number, at = line.split()
        if moment == "begin":
            begun[f"{pid} {number}"] = state, int(pid), int(at)
        else:
            state, _, began = begun.pop(f"{pid} {number}")
            found.append(Attempt(state, began, int(at), moment))
    found += [Attempt(state, began, killed_at[pid], "killed") for state, pid, began in begun.values()]
    return sorted(found, key=lambda one: one.began)


def count_most(attempts: Iterable[Attempt]) -> int:
    """Return how many of some attempts ran at once at most."""
    changes = sorted(change for one in attempts for change in ((one.began, 1), (one.ended, -1)))
    most = running = 0
    for _, step in changes:
        running += step
        most = max(most, running)
    return most


def find_excess(attempts: Sequence[Attempt], limits: Sequence[tuple[int, int]]) -> Iterator[Fault]:
    """Yield each attempt that began although as many as the limit lets were running.

    What was admitted before a lower limit runs to its end; it counts, and nothing may begin beside it.

    Args:
        attempts: The attempts of one limited state.
        limits: From when which number holds, the first one from the beginning.
    """
    for attempt in attempts:
        # Within a moment of a change an attempt may have been admitted by the former number.
        allowed = max(
            number
            for place, (since, number) in enumerate(limits)
            if since <= attempt.began and (place + 1 == len(limits) or attempt.began < limits[place + 1][0] + SLACK)
        )
        running = sum(one.began <= attempt.began < one.ended for one in attempts)
        if running > allowed:
            yield f"the limit of {attempt.state!r}", f"an attempt began as the {running}th, and {allowed} may run"


def find_breaker_faults(
    attempts: Sequence[Attempt], closed: ClosedTime, *, failure_count: int, pause: int
) -> Iterator[Fault]:
    """Yield a fault if more attempts began in a closed time than a breaker tries once it has opened.

    It has opened by the time of so many failures; a killed attempt is no failure, and a killed executor may have
    written one that it did not commit. Then one attempt begins in each pause, and one more for each killed one.

    Args:
        attempts: The attempts of the state with the breaker.
        closed: The time in which every attempt has failed.
        failure_count: After how many failures the breaker opens.
        pause: How long it lets none begin.
    """
    failures = sorted(
        one.ended for one in attempts if one.outcome == "fail" and closed.began <= one.began < closed.ended
    )
    needed = failure_count + closed.kill_count
    if len(failures) < needed:
        return
    opened = failures[needed - 1] + SLACK
    begun = sum(opened < one.began < closed.ended for one in attempts)
    allowed = 1 + max(closed.ended - opened, 0) // pause + closed.kill_count
    if begun > allowed:
        yield "the breaker", f"{begun} attempts began in {(closed.ended - opened) / SECOND:.1f} s, and {allowed} may"


def _append_line(effects: Path, line: str) -> None:
    """Append a line by one write: lines of several processes do not mix."""
    file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{line} {read_now()}\n".encode())
    finally:
        os.close(file)
