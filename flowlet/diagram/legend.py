"""The legend of a diagram: what occurs in it, each with the symbol that it is drawn by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowlet.definition.definition import Definition
from flowlet.diagram.layout import Rectangle
from flowlet.diagram.overlay import DefinitionOverlay, InstanceOverlay, Overlay
from flowlet.diagram.shapes import render_mark, render_rect
from flowlet.diagram.style import ACCENT_COLOR, BOX_COLORS, MARK_COLORS, TEXT_COLOR
from flowlet.workflow.states import StateKind

__all__ = ["LegendEntry", "list_legend"]

_FRAME = Rectangle(1, 2, 20, 12)
_KINDS = {
    StateKind.MANUAL: "waits for a person",
    StateKind.RECEIVE: "waits for a message",
    StateKind.END: "end",
    StateKind.ERROR: "error state",
}
_MARKS = {"on-error": "when no attempt is left", "on-deadline": "at the deadline"}


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A line of the legend.

    Attributes:
        label: What the symbol means.
        symbol: An SVG element, from constant texts only.
    """

    label: str
    symbol: str


def list_legend(definition: Definition, overlay: Overlay | None) -> list[LegendEntry]:
    """Return the legend of a drawn definition: only what occurs in it.

    Args:
        definition: The definition.
        overlay: What is drawn over it.
    """
    return [LegendEntry(label, _render_symbol(drawn)) for label, drawn in _iterate_entries(definition, overlay)]


def _iterate_entries(definition: Definition, overlay: Overlay | None) -> Iterator[tuple[str, str]]:
    if isinstance(overlay, InstanceOverlay):
        yield "path taken", f'<path class="fl-edge done" d="M1 8H21" stroke="{ACCENT_COLOR}" stroke-width="2.25"/>'
    kinds = {state.kind for state in definition.states.values()}
    for kind, label in _KINDS.items():
        if kind in kinds:
            fill, stroke = BOX_COLORS[kind]
            drawn = render_rect(_FRAME, 4, fill, f' stroke="{stroke}" stroke-width="1.5"')
            yield label, f'<g class="fl-state {kind.value}">{drawn}</g>'
    states = definition.states.values()
    for kind_of_mark, names in (
        ("on-error", [state.on_error for state in states]),
        ("on-deadline", [state.on_deadline for state in states]),
    ):
        if any(names):
            yield _MARKS[kind_of_mark], render_mark(kind_of_mark, (11, 8))
    if isinstance(overlay, DefinitionOverlay):
        if any(overlay.instance_counts.values()):
            yield "open workflows", f'<g class="fl-badge">{render_rect(_FRAME, 6, TEXT_COLOR)}</g>'
        if any(overlay.failed_counts.values()):
            failed = render_rect(_FRAME, 6, MARK_COLORS["on-error"])
            yield "failed here", f'<g class="fl-badge failed-here">{failed}</g>'


def _render_symbol(drawn: str) -> str:
    return f'<svg class="fl-key" viewBox="0 0 22 16" width="22" height="16" aria-hidden="true">{drawn}</svg>'
