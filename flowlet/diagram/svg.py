"""A definition as an SVG without scripts or inline styles, themed by the page or by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.diagram.descriptions import (
    describe_state,
    describe_transition,
    format_edge_numbers,
    summarize_definition,
)
from flowlet.diagram.layout import Layout, Rectangle, Route, compute_layout
from flowlet.diagram.overlay import ChangeOverlay, DefinitionOverlay, InstanceOverlay, Overlay, StatePair
from flowlet.diagram.shapes import (
    escape_text,
    measure_badge,
    render_arrow,
    render_badge,
    render_line,
    render_mark,
    render_rect,
    render_text,
)
from flowlet.diagram.state_graph import (
    ICON_WIDTH,
    LABEL_FONT,
    LABEL_LINE_HEIGHT,
    NAME_FONT,
    NAME_LINE_HEIGHT,
    build_state_graph,
    find_marks,
)
from flowlet.diagram.style import (
    ACCENT_COLOR,
    BOX_COLORS,
    ICON_PATHS,
    LINE_COLOR,
    MARK_COLORS,
    MUTED_COLOR,
    STANDALONE_STYLESHEET,
    STYLESHEET,
    SURFACE_COLOR,
    TEXT_COLOR,
)
from flowlet.diagram.text_metrics import clean_line, format_count, measure_text
from flowlet.workflow.states import StateKind

__all__ = ["STYLESHEET", "DefinitionOverlay", "InstanceOverlay", "Overlay", "render_svg"]

_BOX_RADIUS = 8
_LABEL_RADIUS = 4
_DASHES = {StateKind.MANUAL: "5 3", StateKind.RECEIVE: "2 3"}
_EDGE_DASHES = {"on-error": "5 3", "on-deadline": "1.5 3"}
_MARK_DISTANCE = 8
_BADGE_OVERHANG = 10


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
        built = build_state_graph(definition, has_numbers=self.has_numbers)
        self.names, self.labels = built.names, built.labels
        self.layout: Layout = compute_layout(built.graph)
        self.frames = dict(zip(definition.states, self.layout.boxes, strict=True))

    @property
    def has_numbers(self) -> bool:
        return isinstance(self.overlay, DefinitionOverlay)

    def render_parts(self, *, standalone: bool) -> Iterator[str]:
        """Yield the parts of the SVG."""
        width, height = self.layout.width, self.layout.height
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fl-diagram" role="{"group" if self.href else "img"}" '
            f'aria-label="{escape_text(f"State diagram of {self.definition.name}")}" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="Inter, system-ui, sans-serif" font-size="{NAME_FONT}" '
            f'font-weight="550" text-anchor="middle">'
            f"<title>{escape_text(f'State diagram of {self.definition.name}')}</title>"
            f"<desc>{escape_text(summarize_definition(self.definition))}</desc>"
        )
        if standalone:
            yield f"<style>{STANDALONE_STYLESHEET}</style>"
            yield f'<rect class="fl-background" width="{width}" height="{height}" rx="12" fill="{SURFACE_COLOR}"/>'
        yield from self._render_edges()
        for name, frame in self.frames.items():
            yield self._render_state(self.definition.states[name], frame)
        yield from self._render_marks()
        yield from self._render_badges()
        yield "</svg>"

    def _count_taken(self, pair: StatePair) -> int:
        return self.overlay.transition_counts.get(pair, 0) if isinstance(self.overlay, InstanceOverlay) else 0

    def _render_edges(self) -> Iterator[str]:
        """Yield the lines, those that were taken last, then their marks, and then the labels, which no line covers."""
        edges = list(zip(self.labels, self.layout.routes, strict=True))
        for pair, route in sorted(edges, key=lambda edge: self._count_taken(edge[0]) > 0):
            yield self._render_edge(pair, route)
        for pair, route in edges:
            if route.label:
                yield self._render_label(pair, route.label, is_loop=route.is_loop)

    def _render_edge(self, pair: StatePair, route: Route) -> str:
        kind, classes = self._get_edge_kind(pair), self._format_edge_classes(pair)
        colour = ACCENT_COLOR if self._count_taken(pair) else MARK_COLORS.get(kind, LINE_COLOR)
        dash = f' stroke-dasharray="{_EDGE_DASHES[kind]}"' if kind else ""
        title = describe_transition(self.definition.states[pair[0]], pair[1], "".join(self.labels[pair]), self.overlay)
        # From its end, so that the dashes of lines that share a part of their way are the same there.
        line = render_line(route.points[::-1], start=6, stop=0)
        return (
            f"<g><title>{escape_text(title)}</title>"
            f'<path class="fl-edge{classes}" d="{line}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>'
            f'<path class="fl-arrow{classes}" d="{render_arrow(*route.points[-2:])}" fill="{colour}"/></g>'
        )

    def _get_edge_kind(self, pair: StatePair) -> str:
        """Return "on-error" or "on-deadline" for a transition that is only taken by itself; "" for the others."""
        marks = find_marks(self.definition.states[pair[0]], pair[1])
        return marks[0] if marks and not self.labels[pair] else ""

    def _format_edge_classes(self, pair: StatePair) -> str:
        kind = self._get_edge_kind(pair)
        classes = f" {kind}" if kind else ""
        if self._count_taken(pair):
            classes += " done"
        if isinstance(self.overlay, ChangeOverlay):
            classes += self.overlay.get_transition_class(pair)
        if isinstance(self.overlay, DefinitionOverlay) and pair in self.overlay.shares:
            share = self.overlay.shares[pair]
            classes += f" share-{0 if share <= 0 else 1 if share < 0.2 else 2 if share < 0.6 else 3}"
        return classes

    def _render_label(self, pair: StatePair, frame: Rectangle, *, is_loop: bool) -> str:
        lines, numbers = self.labels[pair], format_edge_numbers(pair, self.overlay)
        count = len(lines) + bool(numbers)
        if not count:
            return ""
        x, middle = frame.middle
        anchor, x = (' text-anchor="start"', frame.x + 4) if is_loop else ("", x)
        top = middle - LABEL_LINE_HEIGHT * (count - 1) / 2 + 3.8
        attributes = f' fill="{MUTED_COLOR}" font-size="{LABEL_FONT}"{anchor}'
        texts = render_text(lines, x, top, LABEL_LINE_HEIGHT, f' class="word"{attributes}') if lines else ""
        if numbers:
            below = top + LABEL_LINE_HEIGHT * len(lines)
            texts += render_text([numbers], x, below, LABEL_LINE_HEIGHT, f' class="number"{attributes}')
        classes = (" loop" if is_loop else "") + (" done" if self._count_taken(pair) else "")
        return f'<g class="fl-label{classes}">{render_rect(frame, _LABEL_RADIUS, SURFACE_COLOR)}{texts}</g>'

    def _render_marks(self) -> Iterator[str]:
        """Yield a mark on the border of a state for each transition that is taken by itself."""
        for pair, route in zip(self.labels, self.layout.routes, strict=True):
            kinds = find_marks(self.definition.states[pair[0]], pair[1])
            x, y = route.points[0]
            for place, kind in enumerate(kinds):
                yield render_mark(kind, (x + _MARK_DISTANCE * (2 * place - len(kinds) + 1), y))

    def _render_state(self, state: StateDefinition, frame: Rectangle) -> str:
        is_current = isinstance(self.overlay, InstanceOverlay) and state.name == self.overlay.current_state
        fill, stroke = (ACCENT_COLOR, ACCENT_COLOR) if is_current else BOX_COLORS[state.kind]
        colour = SURFACE_COLOR if is_current else TEXT_COLOR
        radius = min(frame.height // 2, 17) if state.kind in (StateKind.START, StateKind.END) else _BOX_RADIUS
        dash = f' stroke-dasharray="{_DASHES[state.kind]}"' if state.kind in _DASHES else ""
        drawn = (
            f'<g class="fl-state {state.kind.value}{self._format_state_classes(state.name)}">'
            f"<title>{escape_text(describe_state(state, self.overlay))}</title>"
            f'{render_rect(frame, radius, fill, f""" stroke="{stroke}" stroke-width="1.5"{dash}""")}'
            f"{self._render_name(state, frame, colour, colour if is_current else stroke)}</g>"
        )
        return f'<a href="{escape_text(self.href(state.name))}">{drawn}</a>' if self.href else drawn

    def _render_name(self, state: StateDefinition, frame: Rectangle, colour: str, icon_colour: str) -> str:
        """Return the name, in the middle of its box. An icon is beside it: the text begins where the icon ends."""
        lines, (x, middle) = self.names[state.name], frame.middle
        top = middle - NAME_LINE_HEIGHT * (len(lines) - 1) / 2 + 4.5
        if state.kind not in ICON_PATHS:
            return render_text(lines, x, top, NAME_LINE_HEIGHT, f' fill="{colour}"')
        left = x - (max(measure_text(line, NAME_FONT) for line in lines) + ICON_WIDTH) / 2
        attributes = f' class="with-icon" fill="{colour}" text-anchor="start"'
        return (
            f'<path class="fl-icon" transform="translate({left:.1f} {middle - 6})" d="{ICON_PATHS[state.kind]}" '
            f'fill="none" stroke="{icon_colour}" stroke-width="1.6"/>'
            f"{render_text(lines, round(left + ICON_WIDTH, 1), top, NAME_LINE_HEIGHT, attributes)}"
        )

    def _format_state_classes(self, name: str) -> str:
        if isinstance(self.overlay, ChangeOverlay):
            return self.overlay.get_state_class(name)
        if not isinstance(self.overlay, InstanceOverlay):
            return ""
        classes = " visited" if self.overlay.visit_counts.get(name) else ""
        if name == self.overlay.current_state:
            classes += f" current is-{self.overlay.status.value.lower().replace('_', '-')}"
        return classes

    def _render_badges(self) -> Iterator[str]:
        """Yield the numbers at the boxes' corners, and the counts of edges that were taken more than once."""
        placed = []
        for name, frame in self.frames.items():
            if text := self._format_state_number(name):
                width = measure_badge(text)
                badge = Rectangle(max(frame.x + frame.width - width + _BADGE_OVERHANG, 0), frame.y - 10, width, 18)
                placed.append(badge)
                yield render_badge(badge, text, "fl-badge", TEXT_COLOR, SURFACE_COLOR)
            if text := self._format_failed_number(name):
                badge = Rectangle(frame.x - _BADGE_OVERHANG, frame.y - 10, measure_badge(text), 18)
                placed.append(badge)
                yield render_badge(badge, text, "fl-badge failed-here", MARK_COLORS["on-error"], SURFACE_COLOR)
        for index, pair in enumerate(self.labels):
            if self._count_taken(pair) > 1:
                text = f"×{format_count(self._count_taken(pair))}"
                spot = self.layout.find_free_rectangle(index, measure_badge(text), 16, placed)
                placed.append(spot)
                yield render_badge(spot, text, "fl-badge edge", SURFACE_COLOR, ACCENT_COLOR)

    def _format_state_number(self, name: str) -> str:
        if isinstance(self.overlay, DefinitionOverlay):
            count = self.overlay.instance_counts.get(name, 0)
            return format_count(count) if count > 0 else ""
        if isinstance(self.overlay, ChangeOverlay):
            return clean_line(self.overlay.describe_state(name))
        visits = self.overlay.visit_counts.get(name, 0) if self.overlay else 0
        return f"×{format_count(visits)}" if visits > 1 else ""

    def _format_failed_number(self, name: str) -> str:
        count = self.overlay.failed_counts.get(name, 0) if isinstance(self.overlay, DefinitionOverlay) else 0
        return f"✕ {format_count(count)}" if count > 0 else ""
