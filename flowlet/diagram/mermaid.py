"""A definition as Mermaid text: for a README, an issue, or any page that renders Mermaid."""

from __future__ import annotations

import re

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.diagram.text_metrics import clean_line
from flowlet.workflow.states import StateKind

__all__ = ["render_mermaid"]

_SHAPES = {
    StateKind.START: ("([", "])"),
    StateKind.NORMAL: ("[", "]"),
    StateKind.MANUAL: ("[/", "/]"),
    StateKind.RECEIVE: (">", "]"),
    StateKind.END: ("([", "])"),
    StateKind.ERROR: ("{{", "}}"),
}
# Fill, border and text are set together, so that the text is readable in Mermaid's light and dark themes.
_CLASSES = {
    StateKind.START: "fill:#eaedf3,stroke:#5a6478,color:#131a2b",
    StateKind.NORMAL: "fill:#ffffff,stroke:#8791a8,color:#131a2b",
    StateKind.MANUAL: "fill:#fdf0d5,stroke:#96580a,color:#131a2b,stroke-dasharray:5 3",
    StateKind.RECEIVE: "fill:#e1eefc,stroke:#1c5fae,color:#131a2b,stroke-dasharray:2 3",
    StateKind.END: "fill:#dcf6ea,stroke:#0a7d55,color:#131a2b",
    StateKind.ERROR: "fill:#fde5e7,stroke:#c02636,color:#131a2b",
}
_SPECIAL_CHARACTERS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[^\w ,?]", re.ASCII)


def render_mermaid(definition: Definition) -> str:
    """Return a definition as a Mermaid flowchart: one line per state, per transition, and per kind that occurs.

    The lines are in the order of the source, so that a change to one state changes a line or two. Transitions that are
    taken when no attempt is left, or when the deadline passes without an answer, are dotted.
    """
    ids = {name: f"s{number}" for number, name in enumerate(definition.states)}
    lines = ["flowchart TD"]
    for state in definition.states.values():
        before, after = _SHAPES[state.kind]
        lines.append(f'    {ids[state.name]}{before}"{_escape_text(state.name)}"{after}')
    for state in definition.states.values():
        for edge in state.transitions:
            label = f'|"{_escape_text(edge.label)}"|' if clean_line(edge.label) else ""
            lines.append(f"    {ids[state.name]} {_choose_arrow(state, edge.target)}{label} {ids[edge.target]}")
    for kind in StateKind:
        members = [ids[state.name] for state in definition.states.values() if state.kind == kind]
        if members:
            lines.append(f"    classDef fl_{kind.value} {_CLASSES[kind]}")
            lines.append(f"    class {','.join(members)} fl_{kind.value}")
    return "\n".join(lines) + "\n"


def _choose_arrow(state: StateDefinition, target: str) -> str:
    return "-.->" if target in (state.on_error, state.on_deadline) else "-->"


def _escape_text(text: str) -> str:
    """Return a text without Mermaid, Markdown and HTML syntax: special characters become numeric entities."""
    return _SPECIAL_CHARACTERS.sub(lambda match: _encode_letter(match[0]), clean_line(text))


def _encode_letter(letter: str) -> str:
    return f"#{ord(letter)};" if letter.isascii() else letter
