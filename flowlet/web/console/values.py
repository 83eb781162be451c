"""Variables as pages show them: coloured JSON, and the changes of a history line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from flowlet.diagram.text_metrics import clean_lines

__all__ = ["VariableChange", "describe_changes", "format_json", "render_json"]

_TOKEN_PATTERN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*|true|false|null)'
)


@dataclass(frozen=True, slots=True)
class VariableChange:
    """A changed variable.

    Attributes:
        before: The old value as JSON; None if there was none, or if it is unknown.
        after: The new value as JSON; None if the variable was removed.
    """

    name: str
    before: str | None
    after: str | None


def format_json(value: Any) -> str:
    """Return a value as indented JSON; characters that change the direction of text become spaces."""
    return clean_lines(json.dumps(value, indent=2, ensure_ascii=False))


def render_json(value: Any) -> Markup:
    """Return a value as coloured JSON, for ``<pre class="json">``."""
    text, pieces, end = format_json(value), [], 0
    for found in _TOKEN_PATTERN.finditer(text):
        pieces.append(escape(text[end : found.start()]))
        pieces.append(Markup('<span class="{}">{}</span>').format(found.lastgroup, found[0]))
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])


def describe_changes(line: str | None, before: Mapping[str, Any] | None = None) -> list[VariableChange]:
    """Return the variables that a line of history changed, sorted by name.

    Args:
        line: The line's changes, the JSON text ``{"set": {name: value}, "unset": [name]}``.
        before: The variables before the line, as far as they are known.
    """
    document: dict[str, Any] = json.loads(line) if line else {}
    after: dict[str, Any] = document.get("set", {})
    previous = before or {}
    return [
        VariableChange(
            name,
            format_json(previous[name]) if name in previous else None,
            format_json(after[name]) if name in after else None,
        )
        for name in sorted({*after, *document.get("unset", ())})
    ]
