"""Variables as pages show them: JSON in colours, and what a line of history changed in it."""

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
    """What became of a variable.

    Attributes:
        before: What it was, as JSON; None if there was none, or if nobody knows.
        after: What it is now; None if it is gone.
    """

    name: str
    before: str | None
    after: str | None


def format_json(value: Any) -> str:
    """Return a value as JSON of several lines; characters that turn the direction of a line become spaces."""
    return clean_lines(json.dumps(value, indent=2, ensure_ascii=False))


def render_json(value: Any) -> Markup:
    """Return a value as JSON in colours, for ``<pre class="json">``."""
    text, pieces, end = format_json(value), [], 0
    for found in _TOKEN_PATTERN.finditer(text):
        pieces.append(escape(text[end : found.start()]))
        pieces.append(Markup('<span class="{}">{}</span>').format(found.lastgroup, found[0]))
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])


def describe_changes(line: str | None, before: Mapping[str, Any] | None = None) -> list[VariableChange]:
    """Return what a line of history changed, by the names of the variables.

    Args:
        line: Its ``changes``, the JSON text ``{"set": {name: value}, "unset": [name]}``.
        before: The variables before it, where they are known.
    """
    said: dict[str, Any] = json.loads(line) if line else {}
    after: dict[str, Any] = said.get("set", {})
    were = before or {}
    return [
        VariableChange(
            name, format_json(were[name]) if name in were else None, format_json(after[name]) if name in after else None
        )
        for name in sorted({*after, *said.get("unset", ())})
    ]
