"""Variables as pages show them: coloured JSON, and the changes of a history line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from flowlet.diagram.text_metrics import clean_lines
from flowlet.instance.path_changes import PathChange, parse_path

__all__ = ["VariableChange", "describe_changes", "format_json", "render_json"]

_MISSING: Any = object()
_TOKEN_PATTERN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*|true|false|null)'
)


@dataclass(frozen=True, slots=True)
class VariableChange:
    """A change of a variable, or of a part of one.

    Attributes:
        name: The variable, with the path to the part: ``items/2/price``.
        before: The old value as JSON; None if there was none, or if it is unknown.
        after: The new value as JSON; None if the variable was removed.
        note: For a part of a text or a list what was done: "appended", "inserted at 3"; otherwise empty.
    """

    name: str
    before: str | None
    after: str | None
    note: str = ""


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


def describe_changes(changes: Sequence[PathChange], before: Any = None) -> list[VariableChange]:
    """Return the changes of a line of history, in their order.

    Args:
        changes: The line's changes.
        before: The variables before the line; None if they are unknown. Not changed.
    """
    return [_describe_change(change, before) for change in changes]


def _describe_change(change: PathChange, before: Any) -> VariableChange:
    name = change["path"].removeprefix("/") or "all variables"
    value = change.get("value", _MISSING)
    if change["op"] == "append":
        return VariableChange(name, None, _format_known(value), "appended")
    old = change["old"] if "old" in change else _find_value(before, change["path"])
    if change["op"] != "splice":
        return VariableChange(name, _format_known(old), _format_known(value))
    at, count = change.get("at", 0), change.get("remove", 0)
    if "old" not in change:
        old = old[at : at + count] if count and isinstance(old, (str, list)) else _MISSING
    did = ("replaced" if value else "removed") if count else "inserted"
    return VariableChange(name, _format_known(old), _format_known(value or _MISSING), f"{did} at {at}")


def _format_known(value: Any) -> str | None:
    return None if value is _MISSING else format_json(value)


def _find_value(variables: Any, path: str) -> Any:
    """Return the value at a path, or a mark for none."""
    value = _MISSING if variables is None else variables
    for part in parse_path(path):
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (LookupError, TypeError, ValueError):
            return _MISSING
    return value
