"""The shapes of a diagram as SVG: rectangles, texts, lines, arrowheads, badges and marks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from flowlet.diagram.layout import Point, Rectangle
from flowlet.diagram.style import MARK_COLORS, MARK_PATHS, SURFACE_COLOR
from flowlet.diagram.text_metrics import clean_lines, measure_text

__all__ = [
    "MARK_RADIUS",
    "escape_text",
    "measure_badge",
    "render_arrow",
    "render_badge",
    "render_line",
    "render_mark",
    "render_rect",
    "render_text",
]

MARK_RADIUS = 7
_CORNER_RADIUS = 7
_BADGE_FONT, _BADGE_MARGIN = 11, 12


def escape_text(text: str) -> str:
    """Return a text as it is written in SVG."""
    return escape(clean_lines(text))


def render_rect(frame: Rectangle, radius: int, fill: str, attributes: str = "") -> str:
    """Return a rectangle with round corners; ``attributes`` starts with a space."""
    return (
        f'<rect x="{frame.x}" y="{frame.y}" width="{frame.width}" height="{frame.height}" rx="{radius}" '
        f'fill="{fill}"{attributes}/>'
    )


def render_text(lines: Sequence[str], x: float, top: float, height: int, attributes: str) -> str:
    """Return a text, with an element for each line if there are several; ``attributes`` starts with a space.

    Args:
        lines: Its lines.
        x: Where they are anchored.
        top: The baseline of the first line.
        height: The height of a line.
        attributes: Further attributes.
    """
    if len(lines) == 1:
        return f'<text x="{x:g}" y="{top:g}"{attributes}>{escape_text(lines[0])}</text>'
    spans = "".join(
        f'<tspan x="{x:g}" y="{top + height * index:g}">{escape_text(line)}</tspan>' for index, line in enumerate(lines)
    )
    return f"<text{attributes}>{spans}</text>"


def measure_badge(text: str) -> int:
    """Return the width of a badge with this text, in pixels."""
    return round(measure_text(text, _BADGE_FONT)) + _BADGE_MARGIN


def render_badge(frame: Rectangle, text: str, classes: str, fill: str, colour: str) -> str:
    """Return a badge: a text on a rectangle whose ends are round."""
    x, y = frame.middle
    return (
        f'<g class="{classes}">{render_rect(frame, frame.height // 2, fill)}'
        f'<text x="{x}" y="{y + 4}" fill="{colour}" font-size="{_BADGE_FONT}">{escape_text(text)}</text></g>'
    )


def render_mark(kind: str, centre: Point) -> str:
    """Return the mark of a transition that is taken by itself: lightning for errors, a clock for deadlines.

    Args:
        kind: One of the keys of ``MARK_PATHS``.
        centre: Its centre.
    """
    x, y = centre
    colour = MARK_COLORS[kind]
    return (
        f'<g class="fl-mark {kind}"><circle cx="{x}" cy="{y}" r="{MARK_RADIUS}" fill="{SURFACE_COLOR}" '
        f'stroke="{colour}" stroke-width="1.5"/><path transform="translate({x - 6} {y - 6})" d="{MARK_PATHS[kind]}" '
        f'fill="none" stroke="{colour}" stroke-width="1.3" stroke-linecap="round" stroke-linejoin="round"/></g>'
    )


def render_line(points: Sequence[Point], *, start: float = 0, stop: float = 6) -> str:
    """Return the path through the points, with rounded corners.

    Args:
        points: Its corners and its ends.
        start: How far behind the first point it begins.
        stop: How far before the last one it ends: by default inside the arrowhead.
    """
    x, y = _move_toward(points[0], points[1], start)
    parts = [f"M{x:g} {y:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_CORNER_RADIUS, _measure_distance(before, corner) / 2, _measure_distance(corner, after) / 2)
        (x1, y1), (x2, y2) = _move_toward(corner, before, radius), _move_toward(corner, after, radius)
        parts.append(f"L{x1:g} {y1:g}Q{corner[0]} {corner[1]} {x2:g} {y2:g}")
    x, y = _move_toward(points[-1], points[-2], stop)
    return f"{''.join(parts)}L{x:g} {y:g}"


def render_arrow(before: Point, tip: Point) -> str:
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
