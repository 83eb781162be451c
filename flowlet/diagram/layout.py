"""The layout of a diagram: boxes in rows, and the edges between them. Computed once per graph and cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from flowlet.diagram.coordinates import Placement, place_vertices
from flowlet.diagram.edge_routing import Point, Rectangle, Route, route_edges
from flowlet.diagram.layering import LayoutGraph, Link, Size, assign_layers

__all__ = ["Layout", "LayoutGraph", "Link", "Point", "Rectangle", "Route", "Size", "compute_layout"]

MARGIN = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions of boxes and edges, in pixels from the upper left corner, in the order of the graph."""

    width: int
    height: int
    boxes: tuple[Rectangle, ...]
    routes: tuple[Route, ...]

    def find_free_rectangle(self, index: int, width: int, height: int, occupied: Sequence[Rectangle] = ()) -> Rectangle:
        """Return the best place for a small rectangle on an edge: where it covers the fewest boxes, labels and edges.

        Args:
            index: The index of the edge.
            width: The rectangle's width, in pixels.
            height: The rectangle's height, in pixels.
            occupied: Rectangles that have been placed already.
        """
        obstacles = [*self.boxes, *occupied, *(route.label for route in self.routes if route.label)]
        for other, route in enumerate(self.routes):
            if other != index:
                obstacles += [_cover_line(*line) for line in route.lines]
        route = self.routes[index]
        places = [
            Rectangle(x - width // 2, y - height // 2, width, height)
            for start, stop in sorted(route.lines, key=_measure_line, reverse=not route.is_loop)
            for x, y in _sample_line(start, stop)
        ]
        return min(places, key=lambda place: sum(place.is_overlapping(obstacle) for obstacle in obstacles))


@lru_cache(maxsize=256)
def compute_layout(graph: LayoutGraph) -> Layout:
    """Return the layout of a graph, which has at least one box. Equal graphs have equal layouts."""
    candidates = [(layers, place_vertices(layers)) for layers in assign_layers(graph)]
    boxes, routes = route_edges(*min(candidates, key=lambda candidate: _compute_cost(candidate[1])))
    frames = [*boxes, *(route.label for route in routes if route.label)]
    points = [point for route in routes for point in route.points]
    left = min([frame.x for frame in frames] + [x for x, _ in points]) - MARGIN
    top = min([frame.y for frame in frames] + [y for _, y in points]) - MARGIN
    right = max([frame.x + frame.width for frame in frames] + [x for x, _ in points]) + MARGIN
    bottom = max([frame.y + frame.height for frame in frames] + [y for _, y in points]) + MARGIN
    return Layout(
        right - left,
        bottom - top,
        tuple(_translate_rectangle(frame, left, top) for frame in boxes),
        tuple(
            replace(
                route,
                points=tuple((x - left, y - top) for x, y in route.points),
                label=_translate_rectangle(route.label, left, top) if route.label else None,
            )
            for route in routes
        ),
    )


def _compute_cost(placement: Placement) -> int:
    """Return the cost of a placement: a bend costs as much as 60 horizontal pixels."""
    bends, width = placement.cost
    return 60 * bends + width


def _translate_rectangle(frame: Rectangle, left: int, top: int) -> Rectangle:
    return Rectangle(frame.x - left, frame.y - top, frame.width, frame.height)


def _measure_line(line: tuple[Point, Point]) -> int:
    (x1, y1), (x2, y2) = line
    return abs(x1 - x2) + abs(y1 - y2)


def _sample_line(start: Point, stop: Point) -> list[Point]:
    """Return points on a line, its centre first."""
    return [
        (round(start[0] + (stop[0] - start[0]) * part), round(start[1] + (stop[1] - start[1]) * part))
        for part in (0.5, 0.4, 0.6, 0.3, 0.7)
    ]


def _cover_line(start: Point, stop: Point) -> Rectangle:
    """Return a narrow rectangle that covers a line."""
    (x1, y1), (x2, y2) = start, stop
    return Rectangle(min(x1, x2) - 1, min(y1, y2) - 1, abs(x1 - x2) + 2, abs(y1 - y2) + 2)
