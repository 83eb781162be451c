"""The timeline of a workflow: its passage drawn to scale as SVG, and the same in rows of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from flowlet.instances import Instance
from flowlet.lettering import cleaned_line, shortened
from flowlet.states import Kind
from flowlet.store.reports.passage import Mark, Passage, Span, Spending, Visit, passage
from flowlet.web.pages.axis import Axis, axis
from flowlet.web.pages.charts import Part
from flowlet.web.pages.frame import TONES
from flowlet.web.pages.lines import TITLES
from flowlet.web.pages.times import now, took
from flowlet.web.services import services

__all__ = ["CHILDREN_DRAWN", "Row", "Timeline", "drawn", "timeline", "timeline_of"]

CHILDREN_DRAWN = 40
VISITS_DRAWN = 30
"""How many visits have a row each; of more, each state has one."""
MARKS_DRAWN = 4
_NAME_LIMIT = 30
_TOP, _ROW, _MARK, _LEAST = 26, 42, 16, 0.7

_LOOKS = {
    Spending.RUNNING: ("accent", "running"),
    Spending.FAILING: ("err", "a failed attempt"),
    Spending.WAITING: ("idle", "waiting for a timer or its turn"),
    Spending.QUEUED: ("idle", "waiting for its turn"),
    Spending.RETRYING: ("err", "waiting for the next attempt"),
    Spending.PERSON: ("warn", "waiting for a person"),
    Spending.CHILDREN: ("info", "waiting for its children"),
    Spending.PAUSED: ("idle", "paused"),
    Spending.ENDED: ("idle", "ended, before it went on"),
}
_RUNS = (Spending.RUNNING, Spending.FAILING)
_STANDING = {Kind.MANUAL: Spending.PERSON, Kind.END: Spending.ENDED, Kind.ERROR: Spending.ENDED}
_END_TONES = {Kind.END: "ok", Kind.ERROR: "err"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row: one visit, all visits of a state, or a child. Times are in microseconds since 1970 UTC.

    Attributes:
        address: Where its name leads to; "" for nowhere.
        length: How long it was there, in microseconds; of several visits, together.
        tone: The colour of its one bar, where it has no spans: a child, or an end.
    """

    name: str
    address: str
    visits: int
    begin: int
    end: int
    length: int
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    tone: str = "idle"

    @property
    def ran(self) -> str:
        """How long it ran; "" for not at all."""
        return _took(sum(span.length for span in self.spans if span.spending in _RUNS))

    @property
    def failures(self) -> int:
        """How many attempts failed."""
        return sum(span.spending is Spending.FAILING for span in self.spans)

    @property
    def waits(self) -> list[str]:
        """What else the time was spent with, as "2 h waiting for a person"."""
        return [f"{_took(length)} {_LOOKS[spending][1]}" for spending, length in self._waited().items() if length]

    @property
    def took(self) -> str:
        """How long it was there."""
        return _took(self.length) or "—"

    @property
    def deeds(self) -> list[str]:
        """What was done by hand, as "Answered by ada"."""
        return [_deed(mark) for mark in self.marks]

    def _waited(self) -> dict[Spending, int]:
        found: dict[Spending, int] = {}
        for span in self.spans:
            if span.spending not in _RUNS:
                found[span.spending] = found.get(span.spending, 0) + span.length
        return found


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the tab shows.

    Attributes:
        picture: The rows, drawn to scale.
        legend: The colours that are in it.
        is_whole: Whether it begins where the workflow began.
        is_grouped: Whether a row is all visits of a state.
        cuts: How many stretches of the axis are shortened.
    """

    picture: Markup
    rows: tuple[Row, ...]
    children: tuple[Row, ...]
    legend: tuple[Part, ...]
    begin: int
    is_whole: bool
    is_grouped: bool
    cuts: int


async def timeline(instance: Instance) -> Timeline:
    """Return the timeline of an instance, of its newest lines of history and its first children."""
    here, present = services(), now()
    known = here.registry.definition(instance.type).states if instance.type in here.registry.names else {}
    standing = {name: _STANDING[state.kind] for name, state in known.items() if state.kind in _STANDING}
    children = await here.store.reads.children(instance.id, limit=CHILDREN_DRAWN) if instance.children else []
    found = await passage(here.store.connections, instance, children, standing=standing, now=present)
    tones = {name: _END_TONES[state.kind] for name, state in known.items() if state.kind in _END_TONES}
    return timeline_of(found, children, tones=tones, now=present)


def timeline_of(
    found: Passage, children: Sequence[Instance], *, now: int, tones: Mapping[str, str] | None = None
) -> Timeline:
    """Return the timeline of a passage and of children.

    Args:
        found: The passage.
        children: Each has a row.
        now: The present, in microseconds since 1970 UTC.
        tones: The colours of end states, by their names.
    """
    is_grouped = len(found.visits) > VISITS_DRAWN
    rows = tuple(_grouped(found.visits) if is_grouped else map(_row_of, found.visits))
    rows = tuple(replace(row, tone=(tones or {}).get(row.name, row.tone)) for row in rows)
    below = tuple(_child(child, now) for child in children)
    begin = min((row.begin for row in rows), default=now)
    scale = axis(sorted(_moments(rows, below, begin)) or [now])
    picture = drawn(rows, below, scale)
    return Timeline(picture, rows, below, _legend(rows), begin, found.is_whole, is_grouped, len(scale.cuts))


def drawn(rows: Sequence[Row], children: Sequence[Row], scale: Axis) -> Markup:
    """Return the picture of rows: as wide as its place is, and themed by the page's stylesheet."""
    y, bars, words = _TOP, list[Markup](), list[Markup]()
    for row in (*rows, *children):
        bars += _bars(row, y, scale)
        words.append(_words(row, y))
        words += [_marked(mark, y + _ROW + _MARK * place, scale) for place, mark in enumerate(row.marks[:MARKS_DRAWN])]
        y += _ROW + _MARK * min(len(row.marks), MARKS_DRAWN)
    # What is a word stands above the cuts, which would hide letters.
    parts = [*_rules(scale, y), *bars, *_cut_lines(scale, y), *words]
    return Markup(
        '<svg class="passage" width="100%" height="{}" role="{}" aria-label="Timeline, in numbers below">{}</svg>'
    ).format(y + 2, "group" if children else "img", Markup("").join(parts))


def _row_of(visit: Visit) -> Row:
    return Row(
        visit.state, "", 1, visit.begin, visit.end, visit.end - visit.begin, spans=visit.spans, marks=visit.marks
    )


def _grouped(visits: Sequence[Visit]) -> Iterator[Row]:
    """Yield a row for each state, in the order in which they were entered first."""
    for name in dict.fromkeys(visit.state for visit in visits):
        those = [visit for visit in visits if visit.state == name]
        yield Row(
            name,
            "",
            len(those),
            those[0].begin,
            those[-1].end,
            sum(visit.end - visit.begin for visit in those),
            spans=tuple(span for visit in those for span in visit.spans),
            marks=tuple(mark for visit in those for mark in visit.marks),
        )


def _child(child: Instance, present: int) -> Row:
    end = max(child.ended if child.ended is not None else present, child.created)
    name = f"#{child.id} {child.type}"
    tone = TONES[child.status]
    return Row(name, f"/workflows/{child.id}", 1, child.created, end, end - child.created, tone=tone)


def _moments(rows: Sequence[Row], children: Sequence[Row], begin: int) -> set[int]:
    """Return all times at which something begins or ends."""
    found = {max(moment, begin) for row in (*rows, *children) for moment in (row.begin, row.end)}
    return found | {moment for row in rows for span in row.spans for moment in (span.begin, span.end)}


def _words(row: Row, y: int) -> Markup:
    name = shortened(cleaned_line(row.name), _NAME_LIMIT) + (f" ×{row.visits:,}" if row.visits > 1 else "")
    label = Markup('<text class="name" x="0" y="{}">{}</text>').format(y + 14, name)
    if row.address:
        label = Markup('<a href="{}">{}</a>').format(row.address, label)
    failed = f"{row.failures:,} failed · " if row.failures else ""
    return label + Markup('<text class="took" x="100%" y="{}">{}{}</text>').format(y + 14, failed, row.took)


def _bars(row: Row, y: int, scale: Axis) -> Iterator[Markup]:
    for span in sorted(row.spans, key=lambda span: _RANKS.get(span.spending, 0)):
        yield _bar(span, y, scale)
    if not row.spans:
        yield _rect(row.tone, y + 22, 10, (row.begin, row.end), scale)


_RANKS = {Spending.RUNNING: 1, Spending.FAILING: 2}
"""What lies over what, where short ones are drawn wider than they are."""


def _bar(span: Span, y: int, scale: Axis) -> Markup:
    tone, word = _LOOKS[span.spending]
    attempt = f", attempt {span.attempt}" if span.attempt else ""
    title = Markup("<title>{} {}{}</title>").format(_took(span.length) or "0 ms", word, attempt)
    top, height = (y + 20, 14) if span.spending in _RUNS else (y + 24, 6)
    classes = f"{tone} {span.spending.value}"
    return Markup("<g>{}{}</g>").format(title, _rect(classes, top, height, (span.begin, span.end), scale))


def _rect(classes: str, y: int, height: int, time: tuple[int, int], scale: Axis) -> Markup:
    left, right = (scale.share(moment) for moment in time)
    width = max(right - left, _LEAST)
    return Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="{}" rx="2"/>').format(
        classes, f"{min(left, 100 - width):.2f}", y, f"{width:.2f}", height
    )


def _marked(mark: Mark, y: int, scale: Axis) -> Markup:
    x = scale.share(mark.at)
    is_late = x > 55
    shift = -9 if is_late else 9
    return Markup(
        '<g class="mark"><line x1="{x}%" x2="{x}%" y1="{}" y2="{y}"/><circle cx="{x}%" cy="{y}" r="4"/>'
        '<text x="{x}%" dx="{}" y="{}"{}>{}</text></g>'
    ).format(
        y - 8,
        shift,
        y + 4,
        Markup(' class="late"') if is_late else "",
        shortened(_deed(mark), _NAME_LIMIT),
        x=f"{x:.2f}",
        y=y,
    )


def _rules(scale: Axis, bottom: int) -> Iterator[Markup]:
    for tick in scale.ticks:
        x = f"{tick.share:.2f}"
        side = " first" if tick.share < 4 else " last" if tick.share > 96 else ""
        yield Markup(
            '<line class="rule" x1="{x}%" x2="{x}%" y1="18" y2="{}"/><text class="tick{}" x="{x}%" y="11">{}</text>'
        ).format(bottom, side, tick.label, x=x)


def _cut_lines(scale: Axis, bottom: int) -> Iterator[Markup]:
    for cut in scale.cuts:
        x = f"{cut.share:.2f}"
        yield Markup(
            '<g class="cut"><title>{label} are shortened here</title>'
            '<line class="gap" x1="{x}%" x2="{x}%" y1="18" y2="{b}"/>'
            '<line class="edge" x1="{x}%" x2="{x}%" y1="18" y2="{b}"/>'
            '<text class="tick" x="{x}%" y="11">{label}</text></g>'
        ).format(x=x, b=bottom, label=f"≈ {cut.label}")


def _legend(rows: Sequence[Row]) -> tuple[Part, ...]:
    there = {
        _LOOKS[span.spending]: None
        for spending in Spending
        for row in rows
        for span in row.spans
        if span.spending is spending
    }
    return tuple(Part(word, tone) for tone, word in there)


def _deed(mark: Mark) -> str:
    return cleaned_line(f"{TITLES.get(mark.kind, mark.kind.value)} by {mark.username}")


def _took(micros: int) -> str:
    if not micros:
        return ""
    return "<1 ms" if micros < 1000 else took(micros / 1000)
