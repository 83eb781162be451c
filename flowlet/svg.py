"""The picture of a definition: an SVG without script or inline style, themed by the page or by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import PurePath

from flowlet.definition import Definition, StateDefinition
from flowlet.durations import duration, spoken
from flowlet.layout import Frame, Graph, Layout, Link, Point, Size, arranged
from flowlet.lettering import (
    cleaned_line,
    cleaned_lines,
    count_text,
    seconds_text,
    share_text,
    shortened,
    text_width,
)
from flowlet.overlays import DefinitionOverlay, InstanceOverlay, Overlay, Pair
from flowlet.states import Kind
from flowlet.theme import ACCENT, FILLS, ICONS, LINE, MUTED, STANDALONE, STYLE, SURFACE, TEXT

__all__ = ["STYLE", "DefinitionOverlay", "InstanceOverlay", "Overlay", "svg"]

_FONT, _LABEL_FONT, _NUMBER_FONT = 13, 11, 10.5
_HEIGHT, _RADIUS, _CORNER = 34, 8, 7
_NAME_LIMIT, _LABEL_LIMIT = 36, 28
_ICON = 17
_NUMBERS = "100 % · 59.9 min"


def svg(
    definition: Definition,
    overlay: Overlay | None = None,
    *,
    href: Callable[[str], str] | None = None,
    standalone: bool = False,
) -> str:
    """Return the picture of a definition as an SVG element.

    A strict Content-Security-Policy shows it as it is: colours are attributes, and ``STYLE`` in the page's stylesheet
    themes them. The same definition is always drawn in the same place; an overlay of numbers needs more room.

    Args:
        definition: What to draw.
        overlay: The way of an instance, or the numbers of all.
        href: The address that a state's name leads to; without it nothing is a link.
        standalone: Whether it is a file of its own: it then carries its theme, light and dark, and a background.
    """
    return "".join(_Picture(definition, overlay, href).parts(standalone=standalone))


class _Picture:
    """One drawing: the definition, its layout, and what lies over it."""

    def __init__(self, definition: Definition, overlay: Overlay | None, href: Callable[[str], str] | None) -> None:
        self.definition = definition
        self.overlay = overlay
        self.href = href
        self.labels: dict[Pair, str] = {}
        for state in definition.states.values():
            for edge in state.transitions:
                self.labels.setdefault((state.name, edge.target), cleaned_line(edge.label))
        self.layout: Layout = arranged(_graph(definition, self.labels, has_numbers=self.has_numbers))
        self.frames = dict(zip(definition.states, self.layout.boxes, strict=True))

    @property
    def has_numbers(self) -> bool:
        return isinstance(self.overlay, DefinitionOverlay)

    def parts(self, *, standalone: bool) -> Iterator[str]:
        """Yield the text of the picture."""
        width, height = self.layout.width, self.layout.height
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fl-diagram" role="{"group" if self.href else "img"}" '
            f'aria-label="{_text(f"State diagram of {self.definition.name}")}" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="Inter, system-ui, sans-serif" font-size="{_FONT}" '
            f'font-weight="550" text-anchor="middle">'
            f"<title>{_text(f'State diagram of {self.definition.name}')}</title>"
            f"<desc>{_text(_summary(self.definition))}</desc>"
        )
        if standalone:
            yield f'<style>{STANDALONE}</style><rect class="fl-background" width="{width}" height="{height}" '
            yield f'rx="12" fill="{SURFACE}"/>'
        yield from self._edges()
        for name, frame in self.frames.items():
            yield self._state(self.definition.states[name], frame)
        yield from self._badges()
        yield "</svg>"

    def _taken(self, pair: Pair) -> int:
        return self.overlay.taken.get(pair, 0) if isinstance(self.overlay, InstanceOverlay) else 0

    def _edges(self) -> Iterator[str]:
        """Yield the lines, those taken on top, and then the labels, which no line may cross out."""
        edges = list(zip(self.labels, self.layout.routes, strict=True))
        for pair, route in sorted(edges, key=lambda edge: self._taken(edge[0]) > 0):
            classes = self._edge_classes(pair)
            colour = ACCENT if self._taken(pair) else LINE
            yield (
                f"<g><title>{_text(self._edge_title(pair))}</title>"
                f'<path class="fl-edge{classes}" d="{_line(route.points)}" fill="none" stroke="{colour}" '
                f'stroke-width="1.5"/>'
                f'<path class="fl-arrow{classes}" d="{_arrow(*route.points[-2:])}" fill="{colour}"/></g>'
            )
        for pair, route in edges:
            if route.label:
                yield self._label(pair, route.label, is_loop=route.is_loop)

    def _edge_classes(self, pair: Pair) -> str:
        state = self.definition.states[pair[0]]
        classes = " otherwise" if pair[1] in (state.on_error, state.on_deadline) else ""
        if self._taken(pair):
            classes += " done"
        if isinstance(self.overlay, DefinitionOverlay) and pair in self.overlay.shares:
            share = self.overlay.shares[pair]
            classes += f" share-{0 if share <= 0 else 1 if share < 0.2 else 2 if share < 0.6 else 3}"
        return classes

    def _edge_title(self, pair: Pair) -> str:
        state = self.definition.states[pair[0]]
        title = f"{pair[0]} → {pair[1]}"
        if self.labels[pair]:
            title += f": {self.labels[pair]}"
        if pair[1] == state.on_error:
            title += ", when the attempts are used up"
        if pair[1] == state.on_deadline:
            title += ", when nobody answers in time"
        if self._taken(pair):
            title += f", taken {_times(self._taken(pair))}"
        if numbers := self._numbers(pair):
            title += f", {numbers}"
        return title

    def _numbers(self, pair: Pair) -> str:
        if not isinstance(self.overlay, DefinitionOverlay):
            return ""
        numbers = [share_text(self.overlay.shares[pair])] if pair in self.overlay.shares else []
        if pair in self.overlay.median_seconds:
            numbers.append(seconds_text(self.overlay.median_seconds[pair]))
        return " · ".join(numbers)

    def _label(self, pair: Pair, frame: Frame, *, is_loop: bool) -> str:
        label, numbers = shortened(self.labels[pair], _LABEL_LIMIT), self._numbers(pair)
        lines = [(text, name) for text, name in ((label, "word"), (numbers, "number")) if text]
        if not lines:
            return ""
        x, middle = frame.middle
        anchor, x = (' text-anchor="start"', frame.x + 4) if is_loop else ("", x)
        top = middle - 13 * (len(lines) - 1) / 2 + 3.8
        texts = "".join(
            f'<text class="{name}" x="{x}" y="{top + 13 * index:.1f}" fill="{MUTED}" font-size="{_LABEL_FONT}"{anchor}>'
            f"{_text(text)}</text>"
            for index, (text, name) in enumerate(lines)
        )
        classes = (" loop" if is_loop else "") + (" done" if self._taken(pair) else "")
        return f'<g class="fl-label{classes}">{_rect(frame, 4, SURFACE)}{texts}</g>'

    def _state(self, state: StateDefinition, frame: Frame) -> str:
        is_current = isinstance(self.overlay, InstanceOverlay) and state.name == self.overlay.current
        fill, stroke = (ACCENT, ACCENT) if is_current else FILLS[state.kind]
        colour = SURFACE if is_current else TEXT
        radius = frame.height // 2 if state.kind in (Kind.START, Kind.END) else _RADIUS
        dash = ' stroke-dasharray="5 3"' if state.kind == Kind.MANUAL else ""
        x, middle = frame.middle
        name = shortened(cleaned_line(state.name), _NAME_LIMIT)
        icon = ""
        if state.kind in ICONS:
            left = x - (text_width(name, _FONT) + _ICON) / 2
            icon = (
                f'<path class="fl-icon" transform="translate({left:.1f} {middle - 6})" d="{ICONS[state.kind]}" '
                f'fill="none" stroke="{colour if is_current else stroke}" stroke-width="1.6"/>'
            )
            x += _ICON // 2
        drawn = (
            f'<g class="fl-state {state.kind.value}{self._state_classes(state.name)}">'
            f"<title>{_text(self._state_title(state))}</title>"
            f'{_rect(frame, radius, fill, f""" stroke="{stroke}" stroke-width="1.5"{dash}""")}{icon}'
            f'<text x="{x}" y="{middle + 4.5}" fill="{colour}">{_text(name)}</text></g>'
        )
        return f'<a href="{_text(self.href(state.name))}">{drawn}</a>' if self.href else drawn

    def _state_classes(self, name: str) -> str:
        if not isinstance(self.overlay, InstanceOverlay):
            return ""
        classes = " visited" if self.overlay.visits.get(name) else ""
        if name == self.overlay.current:
            classes += f" current is-{self.overlay.status.value.lower().replace('_', '-')}"
        return classes

    def _state_title(self, state: StateDefinition) -> str:
        lines = [f"{cleaned_line(state.name)} ({state.kind.value})"]
        if state.description:
            lines.append(cleaned_lines(state.description))
        lines += _policies(state)
        if state.file:
            lines.append(f"{cleaned_line(PurePath(state.file).name)}:{state.line}")
        if isinstance(self.overlay, InstanceOverlay) and self.overlay.visits.get(state.name):
            lines.append(f"visited {_times(self.overlay.visits[state.name])}")
        return "\n".join(lines)

    def _badges(self) -> Iterator[str]:
        """Yield the numbers at the boxes' corners, and how often an edge was taken if more than once."""
        placed = []
        for name, frame in self.frames.items():
            text = self._state_number(name)
            if text:
                width = round(text_width(text, 11)) + 12
                badge = Frame(
                    min(frame.x + frame.width - width // 2 - 6, self.layout.width - width), frame.y - 10, width, 18
                )
                placed.append(badge)
                yield _badge(badge, text, "fl-badge", TEXT, SURFACE)
        for index, pair in enumerate(self.labels):
            if self._taken(pair) > 1:
                text = f"×{count_text(self._taken(pair))}"
                spot = self.layout.spot(index, round(text_width(text, 11)) + 10, 16, placed)
                placed.append(spot)
                yield _badge(spot, text, "fl-badge edge", SURFACE, ACCENT)

    def _state_number(self, name: str) -> str:
        if isinstance(self.overlay, DefinitionOverlay):
            count = self.overlay.instances.get(name, 0)
            return count_text(count) if count > 0 else ""
        visits = self.overlay.visits.get(name, 0) if self.overlay else 0
        return f"×{count_text(visits)}" if visits > 1 else ""


def _policies(state: StateDefinition) -> Iterator[str]:
    """Yield what becomes of failed attempts, of long ones, and of a missing answer."""
    if state.is_final:
        return
    if state.is_manual and state.deadline is not None:
        yield f"an answer is due within {spoken(state.deadline)}"
    if state.handler is not None:
        retry = state.retry
        first, ceiling = spoken(duration(retry.min)), spoken(duration(retry.max))
        delays = f"after {first}" if first == ceiling else f"after {first} to {ceiling}, {retry.backoff}"
        yield f"retried {_times(retry.limit)}, {delays}" if retry.limit else "not retried"
    if state.timeout is not None:
        yield f"an attempt may take {spoken(state.timeout)}"


def _graph(definition: Definition, labels: dict[Pair, str], *, has_numbers: bool) -> Graph:
    index = {name: number for number, name in enumerate(definition.states)}
    degree = dict.fromkeys(definition.states, 0)
    for source, target in labels:
        degree[source] += 1
        degree[target] += 1
    boxes = []
    for state in definition.states.values():
        text = text_width(shortened(cleaned_line(state.name), _NAME_LIMIT), _FONT)
        width = max(text + (_ICON if state.kind in ICONS else 0) + 30, 10 * degree[state.name] + 24, 80)
        boxes.append(Size(_even(width), _HEIGHT))
    links = []
    for (source, target), label in labels.items():
        width = text_width(shortened(label, _LABEL_LIMIT), _LABEL_FONT)
        if has_numbers:
            width = max(width, text_width(_NUMBERS, _NUMBER_FONT))
        size = Size(_even(width + 10), 31 if label and has_numbers else 18) if width else Size()
        links.append(Link(index[source], index[target], size))
    return Graph(tuple(boxes), tuple(links))


def _even(width: float) -> int:
    return 2 * -(-int(width) // 2)


def _text(text: str) -> str:
    return escape(cleaned_lines(text))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _summary(definition: Definition) -> str:
    sentences = [f"It starts in {definition.start}."]
    for state in definition.states.values():
        targets = [f"{edge.target} ({edge.label})" if edge.label else edge.target for edge in state.transitions]
        sentences.append(
            f"{state.name}, {state.kind.value}, " + (f"leads to {', '.join(targets)}." if targets else "ends it.")
        )
    return " ".join(sentences)


def _rect(frame: Frame, radius: int, fill: str, more: str = "") -> str:
    return (
        f'<rect x="{frame.x}" y="{frame.y}" width="{frame.width}" height="{frame.height}" rx="{radius}" '
        f'fill="{fill}"{more}/>'
    )


def _badge(frame: Frame, text: str, classes: str, fill: str, colour: str) -> str:
    x, y = frame.middle
    return (
        f'<g class="{classes}">{_rect(frame, frame.height // 2, fill)}'
        f'<text x="{x}" y="{y + 4}" fill="{colour}" font-size="11">{_text(text)}</text></g>'
    )


def _line(points: tuple[Point, ...]) -> str:
    """Return the path through the points, its corners rounded, ending inside the arrow's head."""
    parts = [f"M{points[0][0]} {points[0][1]}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_CORNER, _length(before, corner) / 2, _length(corner, after) / 2)
        (x1, y1), (x2, y2) = _toward(corner, before, radius), _toward(corner, after, radius)
        parts.append(f"L{x1:g} {y1:g}Q{corner[0]} {corner[1]} {x2:g} {y2:g}")
    x, y = _toward(points[-1], points[-2], 6)
    return f"{''.join(parts)}L{x:g} {y:g}"


def _arrow(before: Point, tip: Point) -> str:
    """Return the path of an arrow's head whose tip is at the end of the line."""
    x, y = _toward(tip, before, 8)
    dx, dy = (tip[1] - y) / 2, (tip[0] - x) / 2
    return f"M{tip[0]} {tip[1]}L{x + dx:g} {y - dy:g}L{x - dx:g} {y + dy:g}Z"


def _length(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _toward(start: Point, target: Point, distance: float) -> tuple[float, float]:
    length = _length(start, target) or 1
    return (
        start[0] + (target[0] - start[0]) * distance / length,
        start[1] + (target[1] - start[1]) * distance / length,
    )
