"""The routes of a diagram's edges: vertical and horizontal lines from port to port, no two on one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flowlet.diagram.coordinates import LOOP_WIDTH, Placement
from flowlet.diagram.layering import Layers, Size

__all__ = ["Point", "Rectangle", "Route", "route_edges"]

TRACK_GAP = 9
CLEARANCE = 8
"""The least distance of two lines, in pixels: closer ones look like one."""
BOX_EXIT_GAP, BOX_ENTRY_GAP, LABEL_GAP = 14, 20, 8
"""The least length of an edge, in pixels, before its first bend: below a box, above a box, beside a label."""
MIN_BOX_ROW_GAP, MIN_LABEL_ROW_GAP = 46, 20

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle, in pixels: its upper left corner and its size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width // 2, self.y + self.height // 2

    def is_overlapping(self, other: Rectangle) -> bool:
        """Return whether the two have more than a border in common."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclass(frozen=True, slots=True)
class Route:
    """An edge's corners, in the direction of its arrow, and the space for its label, if it has one.

    Attributes:
        has_bus: Whether it is part of a bus: from some corner on its line is that of others, too.
    """

    points: tuple[Point, ...]
    label: Rectangle | None = None
    is_loop: bool = False
    has_bus: bool = False

    @property
    def lines(self) -> list[tuple[Point, Point]]:
        """Its straight lines, each as its two ends."""
        return list(pairwise(self.points))


@dataclass(frozen=True, slots=True)
class _Segment:
    """A line between two rows: where it starts at the top, at more than one place for a bus, and ends at the bottom."""

    tops: tuple[int, ...]
    bottom: int

    @property
    def span(self) -> tuple[int, int]:
        return min(self.bottom, *self.tops), max(self.bottom, *self.tops)

    def is_touching(self, other: _Segment) -> bool:
        """Return whether the two would touch on the same line."""
        return self.span[0] < other.span[1] + CLEARANCE and other.span[0] < self.span[1] + CLEARANCE


def route_edges(layers: Layers, placement: Placement) -> tuple[list[Rectangle], list[Route]]:
    """Return the boxes' rectangles and the edges' routes, in the order of the graph."""
    row_of = {vertex: index for index, row in enumerate(layers.rows) for vertex in row}
    tracks = [_assign_tracks(runs) for runs in _collect_segments(layers, placement, row_of)]
    tops = _compute_row_tops(layers, [max(used.values(), default=-1) + 1 for used in tracks])
    frames = _place_rectangles(layers, placement, tops)
    lines = [
        {line: bottom + _get_track_offset(layers, row) + TRACK_GAP * track for line, track in used.items()}
        for row, (bottom, used) in enumerate(zip(_compute_row_bottoms(layers, tops), tracks, strict=True))
    ]
    routes = {}
    for chain in layers.chains:
        points: list[Point] = []
        for upper, lower in chain.pairs:
            top, bottom = placement.bottoms[upper, chain.line], placement.tops[lower, chain.line]
            line = lines[row_of[upper]].get(chain.line, tops[row_of[lower]])
            start = frames[upper].y + (frames[upper].height if layers.is_box(upper) else 0)
            points += [(top, start), (top, line), (bottom, line), (bottom, frames[lower].y)]
        label = next((frames[vertex] for vertex in chain.vertices if vertex in layers.labels), None)
        corners = _find_corners(points)
        routes[chain.link] = Route(
            tuple(corners[::-1] if chain.is_reversed else corners),
            label,
            has_bus=layers.graph.links[chain.link].joins_bus and not chain.is_reversed,
        )
    for link in layers.graph.loops.values():
        routes[layers.graph.links.index(link)] = _route_loop(frames[link.source], link.label)
    return [frames[box] for box in range(len(layers.graph.boxes))], [routes[index] for index in sorted(routes)]


def _collect_segments(layers: Layers, placement: Placement, row_of: dict[int, int]) -> list[dict[int, _Segment]]:
    """Return the segments below each row that are not straight, by the line that they are part of."""
    tops: list[dict[int, set[int]]] = [{} for _ in layers.rows]
    bottoms: list[dict[int, int]] = [{} for _ in layers.rows]
    for chain in layers.chains:
        for upper, lower in chain.pairs:
            row = row_of[upper]
            tops[row].setdefault(chain.line, set()).add(placement.bottoms[upper, chain.line])
            bottoms[row][chain.line] = placement.tops[lower, chain.line]
    return [
        {line: _Segment(tuple(sorted(starts)), ends[line]) for line, starts in below.items() if starts != {ends[line]}}
        for below, ends in zip(tops, bottoms, strict=True)
    ]


def _place_rectangles(layers: Layers, placement: Placement, tops: Sequence[int]) -> dict[int, Rectangle]:
    """Return the frame of each vertex, in the middle of its row."""
    frames = {}
    for row, top, bottom in zip(layers.rows, tops, _compute_row_bottoms(layers, tops), strict=True):
        for vertex in row:
            size = layers.get_size(vertex)
            left = placement.middles[vertex] - size.width // 2
            frames[vertex] = Rectangle(left, (top + bottom - size.height) // 2, size.width, size.height)
    return frames


def _compute_row_bottoms(layers: Layers, tops: Sequence[int]) -> list[int]:
    """Return the bottom of each row, given its top."""
    return [
        top + max(layers.get_size(vertex).height for vertex in row) for row, top in zip(layers.rows, tops, strict=True)
    ]


def _assign_tracks(segments: Mapping[int, _Segment]) -> dict[int, int]:
    """Return the track of each line's segment, counted from the top: with few crossings, and none on another."""
    order: list[int] = []
    for line, run in sorted(segments.items(), key=lambda pair: (pair[1].span[0] - pair[1].span[1], pair[1].tops)):
        costs = [sum(_compute_cost(segments[other], run) for other in order)]
        for other in reversed(order):
            costs.append(costs[-1] - _compute_cost(segments[other], run) + _compute_cost(run, segments[other]))
        costs.reverse()
        order.insert(min(range(len(costs)), key=costs.__getitem__), line)
    tracks: dict[int, int] = {}
    for line in order:
        touching = (other for other in tracks if segments[other].is_touching(segments[line]))
        tracks[line] = max((tracks[other] + 1 for other in touching), default=0)
    return tracks


def _compute_cost(upper: _Segment, lower: _Segment) -> int:
    """Return the cost of drawing one segment above another: its crossings, and far more if both share a line."""
    if not upper.is_touching(lower):
        return 0
    first, last = upper.span
    crossings = sum(first < top < last for top in lower.tops) + (lower.span[0] < upper.bottom < lower.span[1])
    distance = min(abs(upper.bottom - top) for top in lower.tops)
    return crossings + 10 * (distance < CLEARANCE) + 100 * (distance == 0)


def _compute_row_tops(layers: Layers, lines: Sequence[int]) -> list[int]:
    """Return the top of each row, given the number of tracks below it."""
    tops = [0]
    for index, (row, below) in enumerate(pairwise(layers.rows)):
        height = max(layers.get_size(vertex).height for vertex in row)
        arrive = BOX_ENTRY_GAP if layers.is_box(min(below)) else LABEL_GAP
        least = MIN_BOX_ROW_GAP if layers.is_box(min(row)) and layers.is_box(min(below)) else MIN_LABEL_ROW_GAP
        needed = _get_track_offset(layers, index) + TRACK_GAP * (lines[index] - 1) + arrive if lines[index] else 0
        tops.append(tops[-1] + height + max(least, needed))
    return tops


def _get_track_offset(layers: Layers, row: int) -> int:
    """Return the distance between a row and the first track below it."""
    return BOX_EXIT_GAP if layers.is_box(min(layers.rows[row])) else LABEL_GAP


def _find_corners(points: Sequence[Point]) -> list[Point]:
    """Return the points at which the line changes direction, and its ends."""
    corners: list[Point] = []
    for point in points:
        while len(corners) >= 2 and (
            corners[-2][0] == corners[-1][0] == point[0] or corners[-2][1] == corners[-1][1] == point[1]
        ):
            corners.pop()
        if not corners or corners[-1] != point:
            corners.append(point)
    return corners


def _route_loop(box: Rectangle, text: Size) -> Route:
    """Return the route from a box to itself, on its right side."""
    right, middle = box.x + box.width, box.middle[1]
    points = (
        (right, middle - 8),
        (right + LOOP_WIDTH - 6, middle - 8),
        (right + LOOP_WIDTH - 6, middle + 8),
        (right, middle + 8),
    )
    label = Rectangle(right + LOOP_WIDTH, middle - text.height // 2, text.width, text.height) if text.width else None
    return Route(points, label, is_loop=True)
