"""The passage of an instance through its states: when it ran, when it waited and for what, read from its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from flowlet.instances import ENTERING, Action, ActionKind, Instance, Status
from flowlet.store.connection import Connections
from flowlet.store.rows import ACTION_COLUMNS, action_from

__all__ = ["LINES_READ", "Mark", "Passage", "Span", "Spending", "Visit", "passage", "passage_of"]

LINES_READ = 400
"""How many lines of history a passage is made of at most, the handlers' own ones not counted."""
_LEAST = 2_000
"""Durations are stored in whole milliseconds: a shorter gap beside a run is the rounding."""


class Spending(StrEnum):
    """What a span of time was spent with."""

    RUNNING = "running"
    FAILING = "failing"
    """Running, and the attempt failed."""
    WAITING = "waiting"
    """For a timer or for its turn: the history does not tell the two apart."""
    QUEUED = "queued"
    """Due, until an executor took it."""
    RETRYING = "retrying"
    """Between a failed attempt and the next one."""
    PERSON = "person"
    CHILDREN = "children"
    PAUSED = "paused"
    ENDED = "ended"
    """It had ended, before somebody let it go on."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in a visit. Times are in microseconds since 1970 UTC.

    Attributes:
        attempt: Which attempt of the visit ran; None where none did.
    """

    spending: Spending
    begin: int
    end: int
    attempt: int | None = None

    @property
    def length(self) -> int:
        """How long it lasted, in microseconds."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody did, and when."""

    at: int
    kind: ActionKind
    username: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay in a state.

    Attributes:
        spans: What the time was spent with, in order.
        marks: What was done by hand meanwhile; what ended it is its own.
    """

    state: str
    begin: int
    end: int
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]

    def spent(self, *spendings: Spending) -> int:
        """Return how long it did any of these, in microseconds."""
        return sum(span.length for span in self.spans if span.spending in spendings)

    @property
    def failures(self) -> int:
        """How many attempts failed."""
        return sum(span.spending is Spending.FAILING for span in self.spans)


@dataclass(frozen=True, slots=True)
class Passage:
    """The visits of an instance, the oldest first.

    Attributes:
        is_whole: Whether they begin where it began; otherwise the history is longer than what was read.
    """

    visits: tuple[Visit, ...]
    is_whole: bool


@dataclass(slots=True)
class _Stay:
    """A visit while its lines are read: from when on what is spent, and the runs that lie over it."""

    state: str
    begin: int
    turns: list[tuple[int, Spending]]
    runs: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def closed(self, end: int) -> Visit:
        """Return the visit that ends then."""
        end = max(end, self.begin)
        return Visit(self.state, self.begin, end, tuple(self._spans(end)), tuple(self.marks))

    def _spans(self, end: int) -> Iterator[Span]:
        for (at, spending), (until, _) in pairwise([*self.turns, (end, Spending.ENDED)]):
            reached = at
            for run in self.runs:
                if reached < run.end and until > run.begin:
                    if run.begin - reached >= _LEAST:
                        yield Span(spending, reached, run.begin)
                    if run.begin >= reached:
                        yield run
                    reached = run.end
            if until > reached:
                yield Span(spending, reached, until)


async def passage(
    connections: Connections,
    instance: Instance,
    children: Sequence[Instance],
    *,
    standing: Mapping[str, Spending],
    now: int,
) -> Passage:
    """Return the passage of an instance, of the newest ``LINES_READ`` lines of its history.

    Args:
        connections: Where it is stored.
        instance: Which one, as it was read.
        children: Those of its children that are looked at.
        standing: What is done in a state before its handler runs, where the history does not tell: the manual states
            wait for a person, and in an end it has ended.
        now: The store's time, in microseconds since 1970 UTC.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    columns = ", ".join("NULL" if name in ("text", "detail", "changes") else name for name in ACTION_COLUMNS)
    # What handlers logged is no turn of the passage, and may be most of a history.
    sql = (
        f"SELECT id, {columns} FROM workflow_action WHERE workflow_id = :id AND kind <> 'LOG' "
        f"ORDER BY {connections.dialect.newest} LIMIT :limit"
    )
    rows = await connections.read(lambda session: session.rows(sql, {"id": instance.id, "limit": LINES_READ}))
    return passage_of([action_from(row) for row in reversed(rows)], instance, children, standing=standing, now=now)


def passage_of(
    lines: Sequence[Action],
    instance: Instance,
    children: Sequence[Instance],
    *,
    standing: Mapping[str, Spending],
    now: int,
) -> Passage:
    """Return the passage that lines of history tell, the oldest first; arguments as of ``passage``."""
    visits = _visits(lines, instance, standing, now)
    shown = tuple(_with_children(visit, children, now) for visit in visits)
    return Passage(shown, bool(lines) and lines[0].kind is ActionKind.CREATED)


def _visits(lines: Sequence[Action], instance: Instance, standing: Mapping[str, Spending], now: int) -> Iterator[Visit]:
    stay: _Stay | None = None
    spending, is_held, last = Spending.WAITING, False, 0

    for line in lines:
        last = line.at
        if stay is None:
            state = (line.to_state if line.kind in ENTERING else line.from_state) or ""
            spending = standing.get(state, Spending.WAITING)
            stay = _Stay(state, line.at, [(line.at, spending)])
            if line.kind in ENTERING:
                continue
        if line.duration_ms is not None:
            _add_run(stay, line)
        if line.username and line.kind is not ActionKind.TRANSITION:
            stay.marks.append(Mark(line.at, line.kind, line.username))
        if line.kind in (ActionKind.PAUSED, ActionKind.RESUMED):
            is_held = line.kind is ActionKind.PAUSED
        elif line.kind in ENTERING and line.to_state:
            yield stay.closed(line.at)
            spending = standing.get(line.to_state, Spending.WAITING)
            stay = _Stay(line.to_state, line.at, [])
        else:
            spending = _AFTER.get(line.kind, spending)
            if line.kind is ActionKind.RETRIED and not any(mark.kind is ActionKind.ANSWERED for mark in stay.marks):
                spending = standing.get(stay.state, spending)
        stay.turns.append((line.at, Spending.PAUSED if is_held and spending is not Spending.ENDED else spending))

    if stay is not None:
        _add_present(stay, instance, now)
        yield stay.closed(max(last, instance.ended if instance.ended is not None else now))


_AFTER = {
    ActionKind.ERROR: Spending.RETRYING,
    ActionKind.FAILED: Spending.ENDED,
    ActionKind.CANCELLED: Spending.ENDED,
    ActionKind.ANSWERED: Spending.QUEUED,
    ActionKind.RETRIED: Spending.QUEUED,
    ActionKind.WOKEN: Spending.QUEUED,
    ActionKind.REPAIRED: Spending.QUEUED,
    ActionKind.RELEASED: Spending.QUEUED,
}
"""What follows a line of history that enters no state; whatever was before, after any other one."""


def _add_run(stay: _Stay, line: Action) -> None:
    """Add the run that a line tells the end of. An attempt that failed for good has two lines for it."""
    if line.kind is ActionKind.FAILED and stay.runs and stay.runs[-1].end == line.at:
        return
    earliest = stay.runs[-1].end if stay.runs else stay.begin
    begin = max(line.at - ((line.duration_ms or 0) * 1000 or _LEAST // 4), earliest)
    # Of a visit that follows at once, the whole is the run: what is missing was rounded off.
    begin = earliest if begin - earliest < _LEAST and not stay.marks else begin
    spending = Spending.FAILING if line.kind in (ActionKind.ERROR, ActionKind.FAILED) else Spending.RUNNING
    stay.runs.append(Span(spending, begin, max(line.at, begin), line.attempt))


def _add_present(stay: _Stay, instance: Instance, now: int) -> None:
    """Add what the history does not tell yet: what the instance does now."""
    begin = stay.turns[-1][0]
    if instance.status is Status.EXECUTING:
        start = min(max(begin, instance.next_activation or begin), now)
        stay.runs.append(Span(Spending.RUNNING, start, now, instance.attempt + 1))
    elif instance.status in (Status.NEW, Status.IN_PROGRESS):
        due = instance.next_activation
        if instance.waits_for_children:
            stay.turns[-1] = (begin, Spending.CHILDREN)
        elif due is not None and begin < due < now:
            stay.turns.append((due, Spending.QUEUED))


def _with_children(visit: Visit, children: Sequence[Instance], now: int) -> Visit:
    """Return a visit whose waits for a child that was open all along, and ended with the wait, are told as such."""
    spans = tuple(
        Span(Spending.CHILDREN, span.begin, span.end)
        if span.spending is Spending.WAITING and _waited_for_one_of(children, span, now)
        else span
        for span in visit.spans
    )
    return Visit(visit.state, visit.begin, visit.end, spans, visit.marks)


def _waited_for_one_of(children: Sequence[Instance], span: Span, now: int) -> bool:
    ends = [
        child.ended if child.ended is not None else now
        for child in children
        if child.created <= span.begin + _LEAST * 10 and (child.ended is None or child.ended > span.begin)
    ]
    # The parent is taken soon after its last child has ended, or else something woke it that was none.
    return bool(ends) and 0 <= span.end - max(ends) <= max(5_000_000, span.length // 10)
