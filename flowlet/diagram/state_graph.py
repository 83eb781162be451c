"""The graph of a definition for the layout: boxes as large as their names, edges with their labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.diagram.layout import LayoutGraph, Link, Size
from flowlet.diagram.overlay import StatePair
from flowlet.diagram.style import ICON_PATHS
from flowlet.diagram.text_metrics import clean_line, measure_text, wrap_text

__all__ = [
    "ICON_WIDTH",
    "LABEL_FONT",
    "LABEL_LINE_HEIGHT",
    "NAME_FONT",
    "NAME_LINE_HEIGHT",
    "NUMBER_FONT",
    "StateGraph",
    "build_state_graph",
    "find_marks",
]

NAME_FONT, LABEL_FONT, NUMBER_FONT = 13, 11, 10.5
NAME_LINE_HEIGHT, LABEL_LINE_HEIGHT = 17, 13
ICON_WIDTH = 17
"""The space that an icon takes before a name, in pixels: 12, and a gap."""
_NAME_WIDTH, _LABEL_WIDTH = 190, 150
"""Longer names and labels are wrapped, in pixels."""
_NAME_MARGIN, _MIN_BOX_WIDTH, _MIN_NUMBERED_WIDTH = 30, 80, 100
_PORT_WIDTH, _MARKED_PORT_WIDTH = 10, 32
_WIDEST_NUMBERS = "100 % · 59.9 min"


@dataclass(frozen=True, slots=True)
class StateGraph:
    """What is laid out, and the texts in their lines.

    Attributes:
        graph: The boxes in the order of the states, and the edges in the order of the labels.
        names: The lines of each state's name.
        labels: The lines of each transition's label; none for a transition without a label.
    """

    graph: LayoutGraph
    names: dict[str, tuple[str, ...]]
    labels: dict[StatePair, tuple[str, ...]]


def build_state_graph(definition: Definition, *, has_numbers: bool) -> StateGraph:
    """Return the graph of a definition.

    Transitions that are taken when no attempt is left, and have no label, are branches of one line if several states
    have them to the same target.

    Args:
        definition: The definition.
        has_numbers: Whether edges need space for a share and a time, and boxes for two counts.
    """
    names = {name: wrap_text(clean_line(name), NAME_FONT, _NAME_WIDTH) for name in definition.states}
    labels: dict[StatePair, tuple[str, ...]] = {}
    for state in definition.states.values():
        for edge in state.transitions:
            label = clean_line(edge.label)
            labels.setdefault((state.name, edge.target), wrap_text(label, LABEL_FONT, _LABEL_WIDTH) if label else ())
    branches = _find_branches(definition, labels)
    degree: Counter[str] = Counter(source for source, _ in labels)
    degree.update(target for pair, target in ((pair, pair[1]) for pair in labels) if pair not in branches)
    least = _MIN_NUMBERED_WIDTH if has_numbers else _MIN_BOX_WIDTH
    boxes = tuple(
        _measure_box(state, names[state.name], max(least, _measure_ports(state, degree[state.name])))
        for state in definition.states.values()
    )
    index = {name: number for number, name in enumerate(definition.states)}
    links = tuple(
        Link(
            index[pair[0]],
            index[pair[1]],
            Size() if pair in branches else _measure_label(lines, has_numbers=has_numbers),
            pair in branches,
        )
        for pair, lines in labels.items()
    )
    return StateGraph(LayoutGraph(boxes, links), names, labels)


def find_marks(state: StateDefinition, target: str) -> tuple[str, ...]:
    """Return the marks of a transition where it leaves its state: "on-error" and "on-deadline".

    Args:
        state: The state that the transition leaves.
        target: The state it leads to.
    """
    marks = ("on-error",) if target == state.on_error else ()
    return (*marks, "on-deadline") if target == state.on_deadline else marks


def _find_branches(definition: Definition, labels: dict[StatePair, tuple[str, ...]]) -> set[StatePair]:
    """Return the transitions that share one line with others."""
    found = {
        pair
        for pair, label in labels.items()
        if not label and pair[0] != pair[1] and find_marks(definition.states[pair[0]], pair[1]) == ("on-error",)
    }
    counts = Counter(target for _, target in found)
    return {pair for pair in found if counts[pair[1]] > 1}


def _measure_box(state: StateDefinition, name: tuple[str, ...], least: int) -> Size:
    text = max(measure_text(line, NAME_FONT) for line in name) + (ICON_WIDTH if state.kind in ICON_PATHS else 0)
    return Size(_round_up_to_even(max(text + _NAME_MARGIN, least)), NAME_LINE_HEIGHT * (len(name) + 1))


def _measure_ports(state: StateDefinition, degree: int) -> int:
    """Return the width that the ends of its edges need, and more if some have a mark."""
    marked = sum(bool(find_marks(state, target)) for target in state.targets)
    return 24 + (_MARKED_PORT_WIDTH * len(state.targets) if marked else _PORT_WIDTH * degree)


def _measure_label(lines: tuple[str, ...], *, has_numbers: bool) -> Size:
    if not lines and not has_numbers:
        return Size()
    width = max((measure_text(line, LABEL_FONT) for line in lines), default=0.0)
    if has_numbers:
        width = max(width, measure_text(_WIDEST_NUMBERS, NUMBER_FONT))
    return Size(_round_up_to_even(width + 10), 5 + LABEL_LINE_HEIGHT * (len(lines) + has_numbers))


def _round_up_to_even(width: float) -> int:
    return 2 * -(-int(width) // 2)
