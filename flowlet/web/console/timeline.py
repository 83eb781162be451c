"""The timeline of a workflow: its visits drawn to scale as SVG, and the same as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from markupsafe import Markup

from flowlet.diagram.text_metrics import clean_line, shorten_text
from flowlet.instance.instance import Instance
from flowlet.store.reports.visit_history import ManualAction, Span, SpanKind, Visit, VisitHistory, read_visit_history
from flowlet.web.console.axis import Axis, build_axis
from flowlet.web.console.charts import ChartSegment
from flowlet.web.console.history import TITLES
from flowlet.web.console.layout import TONES
from flowlet.web.console.times import format_milliseconds, now
from flowlet.web.services import get_services
from flowlet.workflow.states import StateKind

__all__ = ["CHILDREN_DRAWN", "Timeline", "TimelineRow", "build_timeline", "read_timeline", "render_timeline"]

CHILDREN_DRAWN = 40
VISITS_DRAWN = 30
"""The maximum number of visits with a row each; if there are more, each state has one row."""
MARKS_DRAWN = 4
_NAME_LIMIT = 30
_TOP_HEIGHT, _ROW_HEIGHT, _MARK_HEIGHT, _MIN_WIDTH_PERCENT = 26, 42, 16, 0.7

_SPENDING_STYLES = {
    SpanKind.RUNNING: ("accent", "running"),
    SpanKind.FAILING: ("err", "failed attempt"),
    SpanKind.WAITING: ("idle", "waiting for a timer or a free slot"),
    SpanKind.QUEUED: ("idle", "waiting for a free slot"),
    SpanKind.RETRYING: ("err", "waiting for the next attempt"),
    SpanKind.PERSON: ("warn", "waiting for a decision"),
    SpanKind.MESSAGE: ("info", "waiting for a message"),
    SpanKind.CHILDREN: ("info", "waiting for children"),
    SpanKind.PAUSED: ("idle", "paused"),
    SpanKind.ENDED: ("idle", "ended, continued later"),
}
_RUNNING_SPENDING = (SpanKind.RUNNING, SpanKind.FAILING)
_SPENDING_BY_STATE_KIND = {
    StateKind.MANUAL: SpanKind.PERSON,
    StateKind.RECEIVE: SpanKind.MESSAGE,
    StateKind.END: SpanKind.ENDED,
    StateKind.ERROR: SpanKind.ENDED,
}
_END_TONES = {StateKind.END: "ok", StateKind.ERROR: "err"}


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A row: one visit, all visits of a state, or a child. Times are in microseconds since 1970 UTC.

    Attributes:
        url: The link of its name; "" for none.
        length_microseconds: The time in the state, in microseconds; the sum of all visits.
        tone: The colour of its only bar, if it has no spans: a child or an end state.
    """

    name: str
    url: str
    visit_count: int
    begin: int
    end: int
    length_microseconds: int
    spans: tuple[Span, ...] = ()
    marks: tuple[ManualAction, ...] = ()
    tone: str = "idle"

    @property
    def run_time(self) -> str:
        """The running time; "" if it never ran."""
        return _format_microseconds(
            sum(span.duration_microseconds for span in self.spans if span.span_kind in _RUNNING_SPENDING)
        )

    @property
    def failed_attempts(self) -> int:
        """The number of failed attempts."""
        return sum(span.span_kind is SpanKind.FAILING for span in self.spans)

    @property
    def wait_times(self) -> list[str]:
        """The waiting times, such as "2 h waiting for a decision"."""
        return [
            f"{_format_microseconds(length)} {_SPENDING_STYLES[spending][1]}"
            for spending, length in self._sum_waits().items()
            if length
        ]

    @property
    def total_time(self) -> str:
        """The total time in the state."""
        return _format_microseconds(self.length_microseconds) or "—"

    @property
    def manual_actions(self) -> list[str]:
        """The users' actions, such as "Answered by ada"."""
        return [_describe_manual_action(mark) for mark in self.marks]

    def _sum_waits(self) -> dict[SpanKind, int]:
        found: dict[SpanKind, int] = {}
        for span in self.spans:
            if span.span_kind not in _RUNNING_SPENDING:
                found[span.span_kind] = found.get(span.span_kind, 0) + span.duration_microseconds
        return found


@dataclass(frozen=True, slots=True)
class Timeline:
    """The content of the timeline tab.

    Attributes:
        svg: The rows, drawn to scale.
        legend: The colours that it uses.
        is_complete: Whether it starts at the creation of the workflow.
        is_grouped: Whether a row has all visits to a state.
        cut_count: How many intervals of the axis are shortened.
    """

    svg: Markup
    rows: tuple[TimelineRow, ...]
    children: tuple[TimelineRow, ...]
    legend: tuple[ChartSegment, ...]
    begin: int
    is_complete: bool
    is_grouped: bool
    cut_count: int


async def read_timeline(instance: Instance) -> Timeline:
    """Return the timeline of an instance, from its newest lines of history and its first children."""
    here, present = get_services(), now()
    kinds = _read_state_kinds(instance.type)
    standing = {name: _SPENDING_BY_STATE_KIND[kind] for name, kind in kinds.items() if kind in _SPENDING_BY_STATE_KIND}
    children = await here.store.queries.list_children(instance.id, limit=CHILDREN_DRAWN) if instance.children else []
    found = await read_visit_history(here.store.connections, instance, children, kind_by_state=standing, now=present)
    tones = {name: _END_TONES[kind] for name, kind in kinds.items() if kind in _END_TONES}
    resolve = partial(here.registry.resolve_state, instance.type)
    return build_timeline(found, children, tones=tones, resolve=resolve, now=present)


def _read_state_kinds(type: str) -> dict[str, StateKind]:
    """Return the kind of each state by all of its names; empty if this process has not loaded the workflow."""
    registry = get_services().registry
    known = registry.get_definition(type).states.values() if type in registry.names else ()
    return {name: state.kind for state in known for name in (state.name, *state.renamed_from)}


def build_timeline(
    found: VisitHistory,
    children: Sequence[Instance],
    *,
    now: int,
    tones: Mapping[str, str] | None = None,
    resolve: Callable[[str], str] = str,
) -> Timeline:
    """Return the timeline of a workflow's visits and children.

    Args:
        found: The visits.
        children: The children; each has a row.
        now: The current time, in microseconds since 1970 UTC.
        tones: The colours of end states, by name.
        resolve: Returns the present name of a state, for a row of all its visits; a row of one visit has its name then.
    """
    is_grouped = len(found.visits) > VISITS_DRAWN
    rows = tuple(_group_visits(found.visits, resolve) if is_grouped else map(_build_row, found.visits))
    rows = tuple(replace(row, tone=(tones or {}).get(row.name, row.tone)) for row in rows)
    below = tuple(_build_child_row(child, now) for child in children)
    begin = min((row.begin for row in rows), default=now)
    scale = build_axis(sorted(_collect_times(rows, below, begin)) or [now])
    picture = render_timeline(rows, below, scale)
    return Timeline(picture, rows, below, _build_legend(rows), begin, found.is_whole, is_grouped, len(scale.cuts))


def render_timeline(rows: Sequence[TimelineRow], children: Sequence[TimelineRow], scale: Axis) -> Markup:
    """Return the rows as SVG, as wide as its container, and coloured by the page's stylesheet."""
    y, bars, words = _TOP_HEIGHT, list[Markup](), list[Markup]()
    for row in (*rows, *children):
        bars += _render_bars(row, y, scale)
        words.append(_render_label(row, y))
        words += [
            _render_mark(mark, y + _ROW_HEIGHT + _MARK_HEIGHT * place, scale)
            for place, mark in enumerate(row.marks[:MARKS_DRAWN])
        ]
        y += _ROW_HEIGHT + _MARK_HEIGHT * min(len(row.marks), MARKS_DRAWN)
    # Text is drawn above the cuts, which would hide letters.
    parts = [*_render_rules(scale, y), *bars, *_render_cuts(scale, y), *words]
    return Markup(
        '<svg class="timeline-diagram" width="100%" height="{}" role="{}" '
        'aria-label="Timeline, in numbers below">{}</svg>'
    ).format(y + 2, "group" if children else "img", Markup("").join(parts))


def _build_row(visit: Visit) -> TimelineRow:
    return TimelineRow(
        visit.state,
        "",
        1,
        visit.begin,
        visit.end,
        visit.end - visit.begin,
        spans=visit.spans,
        marks=visit.manual_actions,
    )


def _group_visits(visits: Sequence[Visit], resolve: Callable[[str], str]) -> Iterator[TimelineRow]:
    """Yield a row for each state, in the order of their first visits."""
    for name in dict.fromkeys(resolve(visit.state) for visit in visits):
        those = [visit for visit in visits if resolve(visit.state) == name]
        yield TimelineRow(
            name,
            "",
            len(those),
            those[0].begin,
            those[-1].end,
            sum(visit.end - visit.begin for visit in those),
            spans=tuple(span for visit in those for span in visit.spans),
            marks=tuple(mark for visit in those for mark in visit.manual_actions),
        )


def _build_child_row(child: Instance, present: int) -> TimelineRow:
    end = max(child.ended_us if child.ended_us is not None else present, child.created_us)
    name = f"#{child.id} {child.type}"
    tone = TONES[child.status]
    return TimelineRow(name, f"/workflows/{child.id}", 1, child.created_us, end, end - child.created_us, tone=tone)


def _collect_times(rows: Sequence[TimelineRow], children: Sequence[TimelineRow], begin: int) -> set[int]:
    """Return all times at which a row or a span begins or ends."""
    found = {max(moment, begin) for row in (*rows, *children) for moment in (row.begin, row.end)}
    return found | {moment for row in rows for span in row.spans for moment in (span.begin, span.end)}


def _render_label(row: TimelineRow, y: int) -> Markup:
    name = shorten_text(clean_line(row.name), _NAME_LIMIT) + (f" ×{row.visit_count:,}" if row.visit_count > 1 else "")
    label = Markup('<text class="name" x="0" y="{}">{}</text>').format(y + 14, name)
    if row.url:
        label = Markup('<a href="{}">{}</a>').format(row.url, label)
    failed = f"{row.failed_attempts:,} failed · " if row.failed_attempts else ""
    return label + Markup('<text class="total-time" x="100%" y="{}">{}{}</text>').format(y + 14, failed, row.total_time)


def _render_bars(row: TimelineRow, y: int, scale: Axis) -> Iterator[Markup]:
    for span in sorted(row.spans, key=lambda span: _DRAW_ORDER.get(span.span_kind, 0)):
        yield _render_bar(span, y, scale)
    if not row.spans:
        yield _render_rect(row.tone, y + 22, 10, (row.begin, row.end), scale)


_DRAW_ORDER = {SpanKind.RUNNING: 1, SpanKind.FAILING: 2}
"""The drawing order: very short spans are drawn wider than to scale, and may overlap."""


def _render_bar(span: Span, y: int, scale: Axis) -> Markup:
    tone, word = _SPENDING_STYLES[span.span_kind]
    attempt = f", attempt {span.attempt}" if span.attempt else ""
    title = Markup("<title>{} {}{}</title>").format(
        _format_microseconds(span.duration_microseconds) or "0 ms", word, attempt
    )
    top, height = (y + 20, 14) if span.span_kind in _RUNNING_SPENDING else (y + 24, 6)
    classes = f"{tone} {span.span_kind.value}"
    return Markup("<g>{}{}</g>").format(title, _render_rect(classes, top, height, (span.begin, span.end), scale))


def _render_rect(classes: str, y: int, height: int, time_range: tuple[int, int], scale: Axis) -> Markup:
    left, right = (scale.to_percent(moment) for moment in time_range)
    width = max(right - left, _MIN_WIDTH_PERCENT)
    return Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="{}" rx="2"/>').format(
        classes, f"{min(left, 100 - width):.2f}", y, f"{width:.2f}", height
    )


def _render_mark(mark: ManualAction, y: int, scale: Axis) -> Markup:
    x = scale.to_percent(mark.at)
    is_late = x > 55
    shift = -9 if is_late else 9
    return Markup(
        '<g class="action-mark"><line x1="{x}%" x2="{x}%" y1="{}" y2="{y}"/><circle cx="{x}%" cy="{y}" r="4"/>'
        '<text x="{x}%" dx="{}" y="{}"{}>{}</text></g>'
    ).format(
        y - 8,
        shift,
        y + 4,
        Markup(' class="align-end"') if is_late else "",
        shorten_text(_describe_manual_action(mark), _NAME_LIMIT),
        x=f"{x:.2f}",
        y=y,
    )


def _render_rules(scale: Axis, bottom: int) -> Iterator[Markup]:
    for tick in scale.ticks:
        x = f"{tick.percent:.2f}"
        side = " first" if tick.percent < 4 else " last" if tick.percent > 96 else ""
        yield Markup(
            '<line class="rule" x1="{x}%" x2="{x}%" y1="18" y2="{}"/><text class="tick{}" x="{x}%" y="11">{}</text>'
        ).format(bottom, side, tick.label, x=x)


def _render_cuts(scale: Axis, bottom: int) -> Iterator[Markup]:
    for cut in scale.cuts:
        x = f"{cut.percent:.2f}"
        yield Markup(
            '<g class="cut"><title>{label} shortened here</title>'
            '<line class="gap" x1="{x}%" x2="{x}%" y1="18" y2="{b}"/>'
            '<line class="edge" x1="{x}%" x2="{x}%" y1="18" y2="{b}"/>'
            '<text class="tick" x="{x}%" y="11">{label}</text></g>'
        ).format(x=x, b=bottom, label=f"≈ {cut.label}")


def _build_legend(rows: Sequence[TimelineRow]) -> tuple[ChartSegment, ...]:
    there = {
        _SPENDING_STYLES[span.span_kind]: None
        for spending in SpanKind
        for row in rows
        for span in row.spans
        if span.span_kind is spending
    }
    return tuple(ChartSegment(word, tone) for tone, word in there)


def _describe_manual_action(mark: ManualAction) -> str:
    return clean_line(f"{TITLES.get(mark.kind, mark.kind.value)} by {mark.person}")


def _format_microseconds(duration_microseconds: int) -> str:
    if not duration_microseconds:
        return ""
    return "<1 ms" if duration_microseconds < 1000 else format_milliseconds(duration_microseconds / 1000)
