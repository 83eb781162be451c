"""Attempts that do not get on: they run far longer than those of their state usually do, or beyond its timeout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowlet.clock import MICROSECONDS_PER_SECOND, format_duration
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.definition.snapshot import restore_definition
from flowlet.store.children.unmade import list_spawning
from flowlet.store.opening import Store
from flowlet.store.reports.activity import RunningInstance
from flowlet.store.reports.long_runs import UsualDuration, read_long_runs, read_usual_durations

__all__ = ["MAX_JUDGED_TYPES", "DurationCache", "StuckRun", "describe_stuck_runs", "find_stuck_runs"]

MIN_STUCK_SECONDS = 60.0
"""An attempt that has not run longer than this is not stuck, however fast the others are."""
STUCK_FACTOR = 10
"""How many times as long as the p95 of its state an attempt runs that is stuck."""
MIN_COMPARED_RUNS = 20
"""How many attempts of the state there have to be for the p95 to mean something."""
UNCOMPARED_STUCK_SECONDS = 3_600.0
"""After how long an attempt is stuck that cannot be compared."""
TIMEOUT_TOLERANCE_SECONDS = 60.0
"""How long after its timeout an attempt is stuck: its handler may clean up."""
MAX_JUDGED_TYPES = 8
"""How many workflows are judged at most, those with the longest running attempts first."""
MAX_UNMADE_SECONDS = 600
"""After how long the children of a large spawn ought to have been made."""
MAX_JUDGED_SPAWNS = 1_000
"""How many instances with children that are still to be made are judged at most."""
MAX_SAMPLES_AT_ONCE = 2
"""How many workflows are sampled for one page."""
SAMPLE_AGE_MICROSECONDS = 60 * MICROSECONDS_PER_SECOND
"""After how long a workflow is sampled again."""


@dataclass(frozen=True, slots=True)
class StuckRun:
    """An attempt that does not get on.

    Attributes:
        instance: The instance that it belongs to.
        reason: Why it counts as stuck.
    """

    instance: RunningInstance
    reason: str


class DurationCache:
    """How long the attempts of each workflow usually take, each sampled again after a minute.

    A page asks for them again and again, and a sample reads some hundred histories: at most two are taken at once, and
    until its own is taken a workflow is judged by its former one, or not at all.
    """

    def __init__(self) -> None:
        self._sampled_at: dict[str, int] = {}
        self._durations: dict[str, Mapping[str, UsualDuration]] = {}

    async def read(
        self, store: Store, definitions: Mapping[str, Definition | None], *, now: int, max_samples: int
    ) -> dict[str, Mapping[str, UsualDuration]]:
        """Return the durations by workflow and state, as far as they are known.

        Args:
            store: The database.
            definitions: The workflows, each with its newest definition; None if none is stored.
            now: In microseconds since 1970 UTC.
            max_samples: How many samples are taken at most.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        old = [type for type in definitions if self._sampled_at.get(type, 0) <= now - SAMPLE_AGE_MICROSECONDS]
        for type in sorted(old, key=lambda type: self._sampled_at.get(type, 0))[:max_samples]:
            definition = definitions[type]
            resolve = definition.resolve if definition else str
            self._durations[type] = await read_usual_durations(store.connections, type, resolve=resolve)
            self._sampled_at[type] = now
        return {type: self._durations[type] for type in definitions if type in self._durations}


async def find_stuck_runs(store: Store, *, now: int, cache: DurationCache | None = None) -> list[StuckRun]:
    """Return the attempts that do not get on, the longest running first.

    While every attempt is younger than a minute this is one statement. None of the others depends on how many instances
    there are.

    Args:
        store: The database.
        now: In microseconds since 1970 UTC.
        cache: The durations of former calls; without it all are sampled now.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    before = now - int(MIN_STUCK_SECONDS * MICROSECONDS_PER_SECOND)
    running = await read_long_runs(store.connections, before=before)
    types = list(dict.fromkeys(one.type for one in running))[:MAX_JUDGED_TYPES]
    if not types:
        return []
    stored = await store.definitions.read_newest()
    definitions = {type: restore_definition(stored[type].document) if type in stored else None for type in types}
    max_samples = MAX_SAMPLES_AT_ONCE if cache else MAX_JUDGED_TYPES
    durations = await (cache or DurationCache()).read(store, definitions, now=now, max_samples=max_samples)
    return list(_judge_runs(running, definitions, durations, now))


async def describe_stuck_runs(store: Store) -> list[tuple[int, str]]:
    """Return the id of each instance whose attempt or spawn does not get on, and a sentence about it for the doctor.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    now = await store.read_clock()
    found = [
        (
            run.instance.id,
            f"{run.instance.type}, executing in state {run.instance.state!r}: its attempt has been running for "
            f"{(now - run.instance.since) // MICROSECONDS_PER_SECOND:,} s, and {run.reason}. "
            f"Abort it: flowlet abort {run.instance.id}",
        )
        for run in await find_stuck_runs(store, now=now)
    ]
    for unmade in await list_spawning(store.connections, limit=MAX_JUDGED_SPAWNS):
        seconds = (now - unmade.since) // MICROSECONDS_PER_SECOND
        if seconds > MAX_UNMADE_SECONDS:
            reason = f"{unmade.children:,} of its children have been waiting to be made for {seconds:,} s"
            found.append((unmade.parent_id, f"{reason}: no executor runs, or its log says why it cannot."))
    return found


def _judge_runs(
    running: Sequence[RunningInstance],
    definitions: Mapping[str, Definition | None],
    durations: Mapping[str, Mapping[str, UsualDuration]],
    now: int,
) -> Iterator[StuckRun]:
    for one in running:
        if one.type in durations:
            definition = definitions[one.type]
            state = definition.find_state(one.state) if definition else None
            usual = durations[one.type].get(state.name if state else one.state)
            if reason := _explain_stuck(state, usual, (now - one.since) / MICROSECONDS_PER_SECOND):
                yield StuckRun(one, reason)


def _explain_stuck(state: StateDefinition | None, usual: UsualDuration | None, seconds: float) -> str:
    """Return why an attempt that has run for so long is stuck; "" if it is not."""
    if state and state.timeout and seconds > state.timeout.total_seconds() + TIMEOUT_TOLERANCE_SECONDS:
        return f"it does not stop at its timeout of {format_duration(state.timeout)}"
    if usual is None or usual.count < MIN_COMPARED_RUNS:
        is_long = seconds > UNCOMPARED_STUCK_SECONDS
        return "there are too few finished attempts to compare it with" if is_long else ""
    is_slow = seconds > max(MIN_STUCK_SECONDS, STUCK_FACTOR * usual.p95_seconds)
    return f"95 % of the attempts take up to {_format_seconds(usual.p95_seconds)}" if is_slow else ""


def _format_seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds < 100 else f"{seconds / 60:,.0f} min"
