"""The evidence of a run: the rows of the tables, the effects file, and what the director has seen."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.raw_database import RawDatabase

__all__ = [
    "ENDED",
    "Effect",
    "Evidence",
    "LaneWindow",
    "Line",
    "Message",
    "ProcessRecord",
    "ScheduleRow",
    "Workflow",
    "read_evidence",
]

ENDED = frozenset({"FINISHED", "FAILED", "CANCELLED"})
ENTRY_KINDS = frozenset({"CREATED", "TRANSITION", "MOVED", "FORCED"})
"""The kinds of the lines with which an instance enters a state."""

WORKFLOW_COLUMNS = (
    "id, workflow_type, external_id, parent_id, status, state, vars, next_activation, visit, executor_id, "
    "children, open_children, wake_at_open_children, modified, ended, unread"
)
LINE_COLUMNS = "id, workflow_id, kind, at, from_state, to_state, attempt, executor_id"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A row of ``flowlet_workflow``; times in microseconds since 1970 UTC."""

    id: int
    type: str
    external_id: str
    parent_id: int | None
    status: str
    state: str
    vars: Mapping[str, Any]
    next_activation: int | None
    visit: int
    executor_id: str | None
    children: int
    open_children: int
    wake_at_open_children: int | None
    modified: int
    ended: int | None
    unread: int

    @property
    def has_ended(self) -> bool:
        """Whether its status is one of the three ends."""
        return self.status in ENDED

    def __str__(self) -> str:
        return f"{self.type} {self.id} ({self.external_id}, {self.status} in {self.state!r})"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of ``flowlet_action``; ``visit`` is how many states its instance had entered before, after the first."""

    id: int
    workflow_id: int
    kind: str
    at: int
    from_state: str | None
    to_state: str | None
    attempt: int | None
    executor_id: str | None
    visit: int


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A row of ``flowlet_schedule``; times in microseconds since 1970 UTC."""

    name: str
    next_time: int
    created: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A line of the effects file: a handler that has begun or ended. ``run`` is its process and its number there."""

    moment: str
    external_id: str
    visit: int
    state: str
    attempt: int
    token: int
    executor_id: str
    run: tuple[int, int]
    at: int


@dataclass(frozen=True, slots=True)
class LaneWindow:
    """A time in which a lane was paused, and nothing of it was on its way to a handler any more.

    Attributes:
        kind: "workflow" or "group".
        began: By this machine's clock, in microseconds since 1970 UTC, as the effects; ``ended`` too.
    """

    kind: str
    name: str
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Message:
    """A row of ``flowlet_message``."""

    id: int
    workflow_id: int
    key: str
    consumed: int | None


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """An executor's process after the run: its exit code (None while it runs), and the signals that it was sent."""

    name: str
    pid: int
    exit_code: int | None
    signals: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class Evidence:
    """Everything that is judged.

    Attributes:
        acknowledged: The external ids of the creates that the API has confirmed.
        operations: How many operations the API has confirmed, by the instance's id and the kind of their line.
        requested: The external ids of all creates that were sent, with or without an answer.
        bookings: The rows of the workload's own table: external id and visit.
        schedules: The schedules.
        messages: The rows of messages, in the order in which they were sent.
        lane_windows: When the director has paused lanes.
        unmade: How many children of each parent's id are still to be made.
        counters: For each type the sums of ``flowlet_counter``: transitions, failures, finished, failed, cancelled.
        problems: The answers of the API that no fault explains, such as 500.
        doctor: The exit code and the output of ``flowlet doctor``.
        now: The database's time when the rows were read, in microseconds since 1970 UTC.
        lease: The lease of the executors, in microseconds.
    """

    workflows: Mapping[int, Workflow]
    lines: Mapping[int, Sequence[Line]]
    effects: Sequence[Effect]
    acknowledged: frozenset[str]
    requested: frozenset[str]
    operations: Mapping[tuple[int, str], int]
    bookings: Sequence[tuple[str, int]]
    schedules: Sequence[ScheduleRow]
    messages: Sequence[Message]
    lane_windows: Sequence[LaneWindow]
    unmade: Mapping[int, int]
    counters: Mapping[str, tuple[int, ...]]
    problems: Sequence[str]
    processes: Sequence[ProcessRecord]
    doctor: tuple[int, str]
    now: int
    lease: int

    @cached_property
    def effects_by_visit(self) -> Mapping[tuple[str, int], Sequence[Effect]]:
        """The effects of each visit, by external id and visit."""
        found: dict[tuple[str, int], list[Effect]] = defaultdict(list)
        for effect in self.effects:
            found[effect.external_id, effect.visit].append(effect)
        return found

    @cached_property
    def effects_by_instance(self) -> Mapping[str, Sequence[Effect]]:
        """The effects of each instance, by external id."""
        found: dict[str, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            found[effect.external_id].append(effect)
        return found

    @cached_property
    def children(self) -> Mapping[int, Sequence[Workflow]]:
        """The children of each parent's id, the oldest first."""
        found: dict[int, list[Workflow]] = defaultdict(list)
        for workflow in self.workflows.values():
            if workflow.parent_id is not None:
                found[workflow.parent_id].append(workflow)
        return found


def read_evidence(
    database: RawDatabase,
    effects_file: Path,
    *,
    acknowledged: frozenset[str],
    requested: frozenset[str],
    operations: Mapping[tuple[int, str], int],
    problems: Sequence[str],
    processes: Sequence[ProcessRecord],
    lane_windows: Sequence[LaneWindow],
    doctor: tuple[int, str],
    lease: int,
) -> Evidence:
    """Read the tables and the effects file; nothing may be writing to them any more."""
    sums = ", ".join(f"SUM({name})" for name in ("transitions", "failures", "finished", "failed", "cancelled"))
    with database.open_session() as session:
        workflows = [
            _build_workflow(row)
            for row in session.fetch(f"SELECT {WORKFLOW_COLUMNS} FROM flowlet_workflow ORDER BY id")
        ]
        lines = session.fetch(f"SELECT {LINE_COLUMNS} FROM flowlet_action ORDER BY id")
        messages = session.fetch("SELECT id, workflow_id, message_key, consumed FROM flowlet_message ORDER BY id")
        unmade = session.fetch("SELECT workflow_id, SUM(children) FROM flowlet_spawn GROUP BY workflow_id")
        bookings = session.fetch("SELECT external_id, visit FROM chaos_booking")
        schedules = session.fetch("SELECT name, next_time, created FROM flowlet_schedule")
        counters = session.fetch(
            f"SELECT workflow_type, {sums} FROM flowlet_counter WHERE minutes >= 0 GROUP BY workflow_type"
        )
    return Evidence(
        workflows={one.id: one for one in workflows},
        lines=_group_lines(lines),
        effects=list(_read_effects(effects_file)),
        acknowledged=acknowledged,
        requested=requested,
        operations=operations,
        bookings=[(external_id, int(visit)) for external_id, visit in bookings],
        schedules=[ScheduleRow(*row) for row in schedules],
        messages=[Message(*row) for row in messages],
        lane_windows=lane_windows,
        unmade={id: int(count) for id, count in unmade},
        counters={type: tuple(int(number) for number in numbers) for type, *numbers in counters},
        problems=problems,
        processes=processes,
        doctor=doctor,
        now=database.read_clock(),
        lease=lease,
    )


def _build_workflow(row: tuple[Any, ...]) -> Workflow:
    values = list(row)
    values[6] = json.loads(values[6])
    return Workflow(*values)


def _group_lines(rows: Sequence[tuple[Any, ...]]) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = defaultdict(list)
    visits: dict[int, int] = defaultdict(int)
    for row in rows:
        line = Line(**dict(zip(LINE_COLUMNS.split(", "), row, strict=True)), visit=visits[row[1]])
        found[line.workflow_id].append(line)
        if line.kind in ENTRY_KINDS and line.kind != "CREATED":
            visits[line.workflow_id] += 1
    return found


def _read_effects(path: Path) -> Iterator[Effect]:
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        moment, external_id, visit, state, attempt, token, executor_id, pid, number, at = text.split()
        run = int(pid), int(number)
        yield Effect(moment, external_id, int(visit), state, int(attempt), int(token), executor_id, run, int(at))
