"""A definition as an SVG without scripts or inline styles, themed by the page or by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import PurePath

from flowlet.clock import format_duration, parse_duration
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.diagram.layout import Layout, LayoutGraph, Link, Point, Rectangle, Size, compute_layout
from flowlet.diagram.overlay import ChangeOverlay, DefinitionOverlay, InstanceOverlay, Overlay, StatePair
from flowlet.diagram.style import (
    ACCENT_COLOR,
    BOX_COLORS,
    ICON_PATHS,
    LINE_COLOR,
    MUTED_COLOR,
    STANDALONE_STYLESHEET,
    STYLESHEET,
    SURFACE_COLOR,
    TEXT_COLOR,
)
from flowlet.diagram.text_metrics import (
    clean_line,
    clean_lines,
    format_count,
    format_seconds,
    format_share,
    measure_text,
    shorten_text,
)
from flowlet.workflow.states import StateKind

__all__ = ["STYLESHEET", "DefinitionOverlay", "InstanceOverlay", "Overlay", "render_svg"]

_FONT, _LABEL_FONT, _NUMBER_FONT = 13, 11, 10.5
_BOX_HEIGHT, _BOX_RADIUS, _CORNER_RADIUS = 34, 8, 7
_NAME_LIMIT, _LABEL_LIMIT = 36, 28
_ICON_WIDTH = 17
_DASHES = {StateKind.MANUAL: "5 3", StateKind.RECEIVE: "2 3"}
_WIDEST_NUMBERS = "100 % · 59.9 min"


def render_svg(
    definition: Definition,
    overlay: Overlay | None = None,
    *,
    href: Callable[[str], str] | None = None,
    standalone: bool = False,
) -> str:
    """Return a definition as an SVG element.

    It works under a strict Content-Security-Policy: colours are attributes, and ``STYLESHEET`` in the page's stylesheet
    themes them. The layout of a definition is always the same, but an overlay with statistics needs more space.

    Args:
        definition: The definition to draw.
        overlay: The path of an instance, or the statistics of all instances.
        href: Returns the URL for a state's name; None draws no links.
        standalone: Whether the SVG is a file of its own, which then includes its light and dark theme and a background.
    """
    return "".join(_SvgRenderer(definition, overlay, href).render_parts(standalone=standalone))


class _SvgRenderer:
    """One drawing: the definition, its layout and its overlay."""

    def __init__(self, definition: Definition, overlay: Overlay | None, href: Callable[[str], str] | None) -> None:
        self.definition = definition
        self.overlay = overlay
        self.href = href
        self.labels: dict[StatePair, str] = {}
        for state in definition.states.values():
            for edge in state.transitions:
                self.labels.setdefault((state.name, edge.target), clean_line(edge.label))
        self.layout: Layout = compute_layout(_build_graph(definition, self.labels, has_numbers=self.has_numbers))
        self.frames = dict(zip(definition.states, self.layout.boxes, strict=True))

    @property
    def has_numbers(self) -> bool:
        return isinstance(self.overlay, DefinitionOverlay)

    def render_parts(self, *, standalone: bool) -> Iterator[str]:
        """Yield the parts of the SVG."""
        width, height = self.layout.width, self.layout.height
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fl-diagram" role="{"group" if self.href else "img"}" '
            f'aria-label="{_escape_text(f"State diagram of {self.definition.name}")}" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="Inter, system-ui, sans-serif" font-size="{_FONT}" '
            f'font-weight="550" text-anchor="middle">'
            f"<title>{_escape_text(f'State diagram of {self.definition.name}')}</title>"
            f"<desc>{_escape_text(_summarize_definition(self.definition))}</desc>"
        )
        if standalone:
            yield f"<style>{STANDALONE_STYLESHEET}</style>"
            yield f'<rect class="fl-background" width="{width}" height="{height}" rx="12" fill="{SURFACE_COLOR}"/>'
        yield from self._render_edges()
        for name, frame in self.frames.items():
            yield self._render_state(self.definition.states[name], frame)
        yield from self._render_badges()
        yield "</svg>"

    def _count_taken(self, pair: StatePair) -> int:
        return self.overlay.transition_counts.get(pair, 0) if isinstance(self.overlay, InstanceOverlay) else 0

    def _render_edges(self) -> Iterator[str]:
        """Yield the lines, those that were taken last, and then the labels, so that no line is drawn over a label."""
        edges = list(zip(self.labels, self.layout.routes, strict=True))
        for pair, route in sorted(edges, key=lambda edge: self._count_taken(edge[0]) > 0):
            classes = self._format_edge_classes(pair)
            colour = ACCENT_COLOR if self._count_taken(pair) else LINE_COLOR
            yield (
                f"<g><title>{_escape_text(self._format_edge_title(pair))}</title>"
                f'<path class="fl-edge{classes}" d="{_render_line(route.points)}" fill="none" stroke="{colour}" '
                f'stroke-width="1.5"/>'
                f'<path class="fl-arrow{classes}" d="{_render_arrow(*route.points[-2:])}" fill="{colour}"/></g>'
            )
        for pair, route in edges:
            if route.label:
                yield self._render_label(pair, route.label, is_loop=route.is_loop)

    def _format_edge_classes(self, pair: StatePair) -> str:
        state = self.definition.states[pair[0]]
        classes = " otherwise" if pair[1] in (state.on_error, state.on_deadline) else ""
        if self._count_taken(pair):
            classes += " done"
        if isinstance(self.overlay, ChangeOverlay):
            classes += self.overlay.get_transition_class(pair)
        if isinstance(self.overlay, DefinitionOverlay) and pair in self.overlay.shares:
            share = self.overlay.shares[pair]
            classes += f" share-{0 if share <= 0 else 1 if share < 0.2 else 2 if share < 0.6 else 3}"
        return classes

    def _format_edge_title(self, pair: StatePair) -> str:
        state = self.definition.states[pair[0]]
        title = f"{pair[0]} → {pair[1]}"
        if self.labels[pair]:
            title += f": {self.labels[pair]}"
        if pair[1] == state.on_error:
            title += ", when no attempt is left"
        if pair[1] == state.on_deadline:
            title += ", when the deadline passes without an answer"
        if self._count_taken(pair):
            title += f", taken {_format_times(self._count_taken(pair))}"
        if numbers := self._format_edge_numbers(pair):
            title += f", {numbers}"
        return title

    def _format_edge_numbers(self, pair: StatePair) -> str:
        if not isinstance(self.overlay, DefinitionOverlay):
            return ""
        numbers = [format_share(self.overlay.shares[pair])] if pair in self.overlay.shares else []
        if pair in self.overlay.median_seconds:
            numbers.append(format_seconds(self.overlay.median_seconds[pair]))
        return " · ".join(numbers)

    def _render_label(self, pair: StatePair, frame: Rectangle, *, is_loop: bool) -> str:
        label, numbers = shorten_text(self.labels[pair], _LABEL_LIMIT), self._format_edge_numbers(pair)
        lines = [(text, name) for text, name in ((label, "word"), (numbers, "number")) if text]
        if not lines:
            return ""
        x, middle = frame.middle
        anchor, x = (' text-anchor="start"', frame.x + 4) if is_loop else ("", x)
        top = middle - 13 * (len(lines) - 1) / 2 + 3.8
        texts = "".join(
            f'<text class="{name}" x="{x}" y="{top + 13 * index:.1f}" fill="{MUTED_COLOR}" '
            f'font-size="{_LABEL_FONT}"{anchor}>{_escape_text(text)}</text>'
            for index, (text, name) in enumerate(lines)
        )
        classes = (" loop" if is_loop else "") + (" done" if self._count_taken(pair) else "")
        return f'<g class="fl-label{classes}">{_render_rect(frame, 4, SURFACE_COLOR)}{texts}</g>'

    def _render_state(self, state: StateDefinition, frame: Rectangle) -> str:
        is_current = isinstance(self.overlay, InstanceOverlay) and state.name == self.overlay.current_state
        fill, stroke = (ACCENT_COLOR, ACCENT_COLOR) if is_current else BOX_COLORS[state.kind]
        colour = SURFACE_COLOR if is_current else TEXT_COLOR
        radius = frame.height // 2 if state.kind in (StateKind.START, StateKind.END) else _BOX_RADIUS
        dash = f' stroke-dasharray="{_DASHES[state.kind]}"' if state.kind in _DASHES else ""
        x, middle = frame.middle
        name = shorten_text(clean_line(state.name), _NAME_LIMIT)
        icon = ""
        if state.kind in ICON_PATHS:
            left = x - (measure_text(name, _FONT) + _ICON_WIDTH) / 2
            icon = (
                f'<path class="fl-icon" transform="translate({left:.1f} {middle - 6})" d="{ICON_PATHS[state.kind]}" '
                f'fill="none" stroke="{colour if is_current else stroke}" stroke-width="1.6"/>'
            )
            x += _ICON_WIDTH // 2
        drawn = (
            f'<g class="fl-state {state.kind.value}{self._format_state_classes(state.name)}">'
            f"<title>{_escape_text(self._format_state_title(state))}</title>"
            f'{_render_rect(frame, radius, fill, f""" stroke="{stroke}" stroke-width="1.5"{dash}""")}{icon}'
            f'<text x="{x}" y="{middle + 4.5}" fill="{colour}">{_escape_text(name)}</text></g>'
        )
        return f'<a href="{_escape_text(self.href(state.name))}">{drawn}</a>' if self.href else drawn

    def _format_state_classes(self, name: str) -> str:
        if isinstance(self.overlay, ChangeOverlay):
            return self.overlay.get_state_class(name)
        if not isinstance(self.overlay, InstanceOverlay):
            return ""
        classes = " visited" if self.overlay.visit_counts.get(name) else ""
        if name == self.overlay.current_state:
            classes += f" current is-{self.overlay.status.value.lower().replace('_', '-')}"
        return classes

    def _format_state_title(self, state: StateDefinition) -> str:
        lines = [f"{clean_line(state.name)} ({state.kind.value})"]
        if state.description:
            lines.append(clean_lines(state.description))
        lines += _describe_policies(state)
        if state.file:
            lines.append(f"{clean_line(PurePath(state.file).name)}:{state.line}")
        if isinstance(self.overlay, InstanceOverlay) and self.overlay.visit_counts.get(state.name):
            lines.append(f"visited {_format_times(self.overlay.visit_counts[state.name])}")
        return "\n".join(lines)

    def _render_badges(self) -> Iterator[str]:
        """Yield the numbers at the boxes' corners, and the counts of edges that were taken more than once."""
        placed = []
        for name, frame in self.frames.items():
            text = self._format_state_number(name)
            if text:
                width = round(measure_text(text, 11)) + 12
                badge = Rectangle(
                    min(frame.x + frame.width - width // 2 - 6, self.layout.width - width), frame.y - 10, width, 18
                )
                placed.append(badge)
                yield _render_badge(badge, text, "fl-badge", TEXT_COLOR, SURFACE_COLOR)
        for index, pair in enumerate(self.labels):
            if self._count_taken(pair) > 1:
                text = f"×{format_count(self._count_taken(pair))}"
                spot = self.layout.find_free_rectangle(index, round(measure_text(text, 11)) + 10, 16, placed)
                placed.append(spot)
                yield _render_badge(spot, text, "fl-badge edge", SURFACE_COLOR, ACCENT_COLOR)

    def _format_state_number(self, name: str) -> str:
        if isinstance(self.overlay, DefinitionOverlay):
            count = self.overlay.instance_counts.get(name, 0)
            return format_count(count) if count > 0 else ""
        if isinstance(self.overlay, ChangeOverlay):
            return shorten_text(clean_line(self.overlay.describe_state(name)), _LABEL_LIMIT)
        visits = self.overlay.visit_counts.get(name, 0) if self.overlay else 0
        return f"×{format_count(visits)}" if visits > 1 else ""


def _describe_policies(state: StateDefinition) -> Iterator[str]:
    """Yield the state's policies: deadline, retries and timeout."""
    if state.is_final:
        return
    if state.is_receive:
        yield f"waits for {', '.join(clean_line(one.name) for one in state.messages)}"
    if state.deadline is not None:
        yield f"must {'be answered' if state.is_manual else 'receive one'} within {format_duration(state.deadline)}"
    if state.handler is not None:
        retry = state.retry
        first, ceiling = format_duration(parse_duration(retry.min)), format_duration(parse_duration(retry.max))
        delays = f"after {first}" if first == ceiling else f"after {first} to {ceiling}, {retry.backoff}"
        yield f"retried {_format_times(retry.limit)}, {delays}" if retry.limit else "not retried"
    if state.timeout is not None:
        yield f"attempts time out after {format_duration(state.timeout)}"


def _build_graph(definition: Definition, labels: dict[StatePair, str], *, has_numbers: bool) -> LayoutGraph:
    index = {name: number for number, name in enumerate(definition.states)}
    degree = dict.fromkeys(definition.states, 0)
    for source, target in labels:
        degree[source] += 1
        degree[target] += 1
    boxes = []
    for state in definition.states.values():
        text = measure_text(shorten_text(clean_line(state.name), _NAME_LIMIT), _FONT)
        width = max(text + (_ICON_WIDTH if state.kind in ICON_PATHS else 0) + 30, 10 * degree[state.name] + 24, 80)
        boxes.append(Size(_round_up_to_even(width), _BOX_HEIGHT))
    links = []
    for (source, target), label in labels.items():
        width = measure_text(shorten_text(label, _LABEL_LIMIT), _LABEL_FONT)
        if has_numbers:
            width = max(width, measure_text(_WIDEST_NUMBERS, _NUMBER_FONT))
        size = Size(_round_up_to_even(width + 10), 31 if label and has_numbers else 18) if width else Size()
        links.append(Link(index[source], index[target], size))
    return LayoutGraph(tuple(boxes), tuple(links))


def _round_up_to_even(width: float) -> int:
    return 2 * -(-int(width) // 2)


def _escape_text(text: str) -> str:
    return escape(clean_lines(text))


def _format_times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _summarize_definition(definition: Definition) -> str:
    sentences = [f"The start state is {definition.start}."]
    for state in definition.states.values():
        targets = [f"{edge.target} ({edge.label})" if edge.label else edge.target for edge in state.transitions]
        sentences.append(
            f"{state.name}, {state.kind.value}, " + (f"leads to {', '.join(targets)}." if targets else "is final.")
        )
    return " ".join(sentences)


def _render_rect(frame: Rectangle, radius: int, fill: str, attributes: str = "") -> str:
    return (
        f'<rect x="{frame.x}" y="{frame.y}" width="{frame.width}" height="{frame.height}" rx="{radius}" '
        f'fill="{fill}"{attributes}/>'
    )


def _render_badge(frame: Rectangle, text: str, classes: str, fill: str, colour: str) -> str:
    x, y = frame.middle
    return (
        f'<g class="{classes}">{_render_rect(frame, frame.height // 2, fill)}'
        f'<text x="{x}" y="{y + 4}" fill="{colour}" font-size="11">{_escape_text(text)}</text></g>'
    )


def _render_line(points: tuple[Point, ...]) -> str:
    """Return the path through the points, with rounded corners, that ends inside the arrowhead."""
    parts = [f"M{points[0][0]} {points[0][1]}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_CORNER_RADIUS, _measure_distance(before, corner) / 2, _measure_distance(corner, after) / 2)
        (x1, y1), (x2, y2) = _move_toward(corner, before, radius), _move_toward(corner, after, radius)
        parts.append(f"L{x1:g} {y1:g}Q{corner[0]} {corner[1]} {x2:g} {y2:g}")
    x, y = _move_toward(points[-1], points[-2], 6)
    return f"{''.join(parts)}L{x:g} {y:g}"


def _render_arrow(before: Point, tip: Point) -> str:
    """Return the path of an arrowhead with its tip at the end of the line."""
    x, y = _move_toward(tip, before, 8)
    dx, dy = (tip[1] - y) / 2, (tip[0] - x) / 2
    return f"M{tip[0]} {tip[1]}L{x + dx:g} {y - dy:g}L{x - dx:g} {y + dy:g}Z"


def _measure_distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _move_toward(start: Point, target: Point, distance: float) -> tuple[float, float]:
    length = _measure_distance(start, target) or 1
    return (
        start[0] + (target[0] - start[0]) * distance / length,
        start[1] + (target[1] - start[1]) * distance / length,
    )
