"""The visits of an instance to its states: when it ran, when it waited and for what, read from its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from flowlet.instance.action import ENTRY_KINDS, Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.store.columns import Expression, RowReader
from flowlet.store.connection import Connections
from flowlet.store.tables import ACTION

__all__ = [
    "MAX_ACTIONS_READ",
    "ManualAction",
    "Span",
    "SpanKind",
    "Visit",
    "VisitHistory",
    "build_visit_history",
    "read_visit_history",
]

MAX_ACTIONS_READ = 400
"""How many lines of history are read at most, without the handlers' log lines."""
_NOTHING = Expression("NULL")
_TURN_READER = RowReader(
    Action,
    {"": ACTION},
    expressions={"text": _NOTHING, "detail": _NOTHING, "changes_json": _NOTHING, "vars_json": _NOTHING},
)
"""Reads lines of history without their texts, which no visit shows."""

_ROUNDING_MICROSECONDS = 2_000
"""Durations are stored in whole milliseconds: a shorter gap beside a run is the rounding."""


class SpanKind(StrEnum):
    """What an instance did in a span of time."""

    RUNNING = "running"
    FAILING = "failing"
    """Running, and the attempt failed."""
    WAITING = "waiting"
    """For a timer or for a free executor: the history does not distinguish the two."""
    QUEUED = "queued"
    """Due, until an executor claimed it."""
    RETRYING = "retrying"
    """Between a failed attempt and the next one."""
    PERSON = "person"
    MESSAGE = "message"
    CHILDREN = "children"
    PAUSED = "paused"
    ENDED = "ended"
    """It had ended, before an operator resumed it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in a visit. Times are in microseconds since 1970 UTC.

    Attributes:
        attempt: Which attempt of the visit ran; None if none did.
    """

    span_kind: SpanKind
    begin: int
    end: int
    attempt: int | None = None

    @property
    def duration_microseconds(self) -> int:
        """How long it lasted, in microseconds."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class ManualAction:
    """An operation of a person, and when it happened."""

    at: int
    kind: ActionKind
    person: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit to a state.

    Attributes:
        spans: The spans of its time, in order.
        manual_actions: What people did meanwhile, including the operation that ended the visit.
    """

    state: str
    begin: int
    end: int
    spans: tuple[Span, ...]
    manual_actions: tuple[ManualAction, ...]

    def sum_microseconds(self, *kinds: SpanKind) -> int:
        """Return the duration of the spans of these kinds, in microseconds."""
        return sum(span.duration_microseconds for span in self.spans if span.span_kind in kinds)

    @property
    def failure_count(self) -> int:
        """How many attempts failed."""
        return sum(span.span_kind is SpanKind.FAILING for span in self.spans)


@dataclass(frozen=True, slots=True)
class VisitHistory:
    """The visits of an instance, the oldest first.

    Attributes:
        is_whole: Whether they begin at the instance's creation; otherwise the history is longer than what was read.
    """

    visits: tuple[Visit, ...]
    is_whole: bool


@dataclass(slots=True)
class _OpenVisit:
    """A visit while its lines are read: when each kind of span begins, and the runs that interrupt them."""

    state: str
    begin: int
    turns: list[tuple[int, SpanKind]]
    runs: list[Span] = field(default_factory=list)
    manual_actions: list[ManualAction] = field(default_factory=list)

    def close(self, end: int) -> Visit:
        """Return the visit that ends at a time."""
        end = max(end, self.begin)
        return Visit(self.state, self.begin, end, tuple(self._build_spans(end)), tuple(self.manual_actions))

    def _build_spans(self, end: int) -> Iterator[Span]:
        for (at, spending), (until, _) in pairwise([*self.turns, (end, SpanKind.ENDED)]):
            reached = at
            for run in self.runs:
                if reached < run.end and until > run.begin:
                    if run.begin - reached >= _ROUNDING_MICROSECONDS:
                        yield Span(spending, reached, run.begin)
                    if run.begin >= reached:
                        yield run
                    reached = run.end
            if until > reached:
                yield Span(spending, reached, until)


async def read_visit_history(
    connections: Connections,
    instance: Instance,
    children: Sequence[Instance],
    *,
    kind_by_state: Mapping[str, SpanKind],
    now: int,
) -> VisitHistory:
    """Return the visits of an instance, by the newest ``MAX_ACTIONS_READ`` lines of its history.

    Args:
        connections: The database's.
        instance: The instance as it was read.
        children: The children whose ends explain waits.
        kind_by_state: What an instance does in a state before its handler runs, which the history does not say: in a
            manual state it waits for a person, in an end state it has ended.
        now: The store's time, in microseconds since 1970 UTC.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    # The lines that handlers log change no visit, and may be most of a history.
    sql = (
        f"SELECT {_TURN_READER.select_list} FROM {ACTION} WHERE workflow_id = :id AND kind <> 'LOG' "
        f"ORDER BY {connections.dialect.expressions.newest_first_sql} LIMIT :limit"
    )
    rows = await connections.read(
        lambda session: session.fetch_rows(sql, {"id": instance.id, "limit": MAX_ACTIONS_READ})
    )
    return build_visit_history(
        _TURN_READER.parse_all(reversed(rows)), instance, children, kind_by_state=kind_by_state, now=now
    )


def build_visit_history(
    actions: Sequence[Action],
    instance: Instance,
    children: Sequence[Instance],
    *,
    kind_by_state: Mapping[str, SpanKind],
    now: int,
) -> VisitHistory:
    """Return the visits of lines of history, the oldest first; arguments as of ``read_visit_history``."""
    visits = _build_visits(actions, instance, kind_by_state, now)
    shown = tuple(_mark_child_waits(visit, children, now) for visit in visits)
    return VisitHistory(shown, bool(actions) and actions[0].kind is ActionKind.CREATED)


def _build_visits(
    lines: Sequence[Action], instance: Instance, kind_by_state: Mapping[str, SpanKind], now: int
) -> Iterator[Visit]:
    stay: _OpenVisit | None = None
    spending, is_held, last = SpanKind.WAITING, False, 0

    for line in lines:
        last = line.at_us
        if stay is None:
            state = (line.to_state if line.kind in ENTRY_KINDS else line.from_state) or ""
            spending = kind_by_state.get(state, SpanKind.WAITING)
            stay = _OpenVisit(state, line.at_us, [(line.at_us, spending)])
            if line.kind in ENTRY_KINDS:
                continue
        if line.duration_ms is not None:
            _add_run(stay, line)
        person = line.on_behalf_of or line.username
        if person and line.kind is not ActionKind.TRANSITION:
            stay.manual_actions.append(ManualAction(line.at_us, line.kind, person))
        if line.kind in (ActionKind.PAUSED, ActionKind.RESUMED):
            is_held = line.kind is ActionKind.PAUSED
        elif line.kind in ENTRY_KINDS and line.to_state:
            yield stay.close(line.at_us)
            spending = kind_by_state.get(line.to_state, SpanKind.WAITING)
            stay = _OpenVisit(line.to_state, line.at_us, [])
        else:
            spending = _KIND_AFTER.get(line.kind, spending)
            if line.kind is ActionKind.RETRIED and not any(
                mark.kind is ActionKind.ANSWERED for mark in stay.manual_actions
            ):
                spending = kind_by_state.get(stay.state, spending)
        stay.turns.append((line.at_us, SpanKind.PAUSED if is_held and spending is not SpanKind.ENDED else spending))

    if stay is not None:
        _add_current_span(stay, instance, now)
        yield stay.close(max(last, instance.ended_us if instance.ended_us is not None else now))


_KIND_AFTER = {
    ActionKind.ERROR: SpanKind.RETRYING,
    ActionKind.FAILED: SpanKind.ENDED,
    ActionKind.CANCELLED: SpanKind.ENDED,
    ActionKind.ANSWERED: SpanKind.QUEUED,
    ActionKind.RETRIED: SpanKind.QUEUED,
    ActionKind.WOKEN: SpanKind.QUEUED,
    ActionKind.REPAIRED: SpanKind.QUEUED,
    ActionKind.RELEASED: SpanKind.QUEUED,
}
"""The kind of span after a line of history that enters no state; after any other line the kind stays."""


def _add_run(stay: _OpenVisit, line: Action) -> None:
    """Add the run that ends at a line. An attempt that failed for good has two lines for it."""
    if line.kind is ActionKind.FAILED and stay.runs and stay.runs[-1].end == line.at_us:
        return
    earliest = stay.runs[-1].end if stay.runs else stay.begin
    begin = max(line.at_us - ((line.duration_ms or 0) * 1000 or _ROUNDING_MICROSECONDS // 4), earliest)
    # If a visit ran at once, the run is the whole of it: the difference was rounded off.
    begin = earliest if begin - earliest < _ROUNDING_MICROSECONDS and not stay.manual_actions else begin
    spending = SpanKind.FAILING if line.kind in (ActionKind.ERROR, ActionKind.FAILED) else SpanKind.RUNNING
    stay.runs.append(Span(spending, begin, max(line.at_us, begin), line.attempt))


def _add_current_span(stay: _OpenVisit, instance: Instance, now: int) -> None:
    """Add what the history does not have yet: what the instance does now."""
    begin = stay.turns[-1][0]
    if instance.status is Status.EXECUTING:
        start = min(max(begin, instance.next_activation_us or begin), now)
        stay.runs.append(Span(SpanKind.RUNNING, start, now, instance.attempt + 1))
    elif instance.status in (Status.NEW, Status.IN_PROGRESS):
        due = instance.next_activation_us
        if instance.waits_for_children:
            stay.turns[-1] = (begin, SpanKind.CHILDREN)
        elif due is not None and begin < due < now:
            stay.turns.append((due, SpanKind.QUEUED))


def _mark_child_waits(visit: Visit, children: Sequence[Instance], now: int) -> Visit:
    """Return a visit in which a wait is CHILDREN if a child was open all along and ended when the wait did."""
    spans = tuple(
        Span(SpanKind.CHILDREN, span.begin, span.end)
        if span.span_kind is SpanKind.WAITING and _is_child_wait(children, span, now)
        else span
        for span in visit.spans
    )
    return Visit(visit.state, visit.begin, visit.end, spans, visit.manual_actions)


def _is_child_wait(children: Sequence[Instance], span: Span, now: int) -> bool:
    ends = [
        child.ended_us if child.ended_us is not None else now
        for child in children
        if child.created_us <= span.begin + _ROUNDING_MICROSECONDS * 10
        and (child.ended_us is None or child.ended_us > span.begin)
    ]
    # The parent is claimed soon after its last child has ended; otherwise something else woke it.
    return bool(ends) and 0 <= span.end - max(ends) <= max(5_000_000, span.duration_microseconds // 10)
