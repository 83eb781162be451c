"""A definition as Mermaid text: for a README, an issue, or wherever Mermaid is drawn."""

from __future__ import annotations

import re

from flowlet.definition import Definition, StateDefinition
from flowlet.lettering import cleaned_line
from flowlet.states import Kind

__all__ = ["mermaid"]

_SHAPES = {
    Kind.START: ("([", "])"),
    Kind.NORMAL: ("[", "]"),
    Kind.MANUAL: ("[/", "/]"),
    Kind.END: ("([", "])"),
    Kind.ERROR: ("{{", "}}"),
}
# Fill, border and text together: the text stays readable on Mermaid's light and on its dark theme.
_CLASSES = {
    Kind.START: "fill:#eaedf3,stroke:#5a6478,color:#131a2b",
    Kind.NORMAL: "fill:#ffffff,stroke:#8791a8,color:#131a2b",
    Kind.MANUAL: "fill:#fdf0d5,stroke:#96580a,color:#131a2b,stroke-dasharray:5 3",
    Kind.END: "fill:#dcf6ea,stroke:#0a7d55,color:#131a2b",
    Kind.ERROR: "fill:#fde5e7,stroke:#c02636,color:#131a2b",
}
_SPECIAL = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[^\w ,?]", re.ASCII)


def mermaid(definition: Definition) -> str:
    """Return a definition as a Mermaid flowchart: one line per state, per transition, and per kind that occurs.

    The order is that of the source, so that a change of one state changes a line or two. Where a state goes when its
    attempts are used up or nobody answers in time, the line is dotted.
    """
    ids = {name: f"s{number}" for number, name in enumerate(definition.states)}
    lines = ["flowchart TD"]
    for state in definition.states.values():
        before, after = _SHAPES[state.kind]
        lines.append(f'    {ids[state.name]}{before}"{_escaped(state.name)}"{after}')
    for state in definition.states.values():
        for edge in state.transitions:
            label = f'|"{_escaped(edge.label)}"|' if cleaned_line(edge.label) else ""
            lines.append(f"    {ids[state.name]} {_arrow(state, edge.target)}{label} {ids[edge.target]}")
    for kind in Kind:
        members = [ids[state.name] for state in definition.states.values() if state.kind == kind]
        if members:
            lines.append(f"    classDef fl_{kind.value} {_CLASSES[kind]}")
            lines.append(f"    class {','.join(members)} fl_{kind.value}")
    return "\n".join(lines) + "\n"


def _arrow(state: StateDefinition, target: str) -> str:
    return "-.->" if target in (state.on_error, state.on_deadline) else "-->"


def _escaped(text: str) -> str:
    """Return a text in which nothing is Mermaid, Markdown or HTML: what might be becomes a numbered entity."""
    return _SPECIAL.sub(lambda match: _entity(match[0]), cleaned_line(text))


def _entity(letter: str) -> str:
    return f"#{ord(letter)};" if letter.isascii() else letter
