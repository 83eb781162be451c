"""The templates of titles and summaries: ``{name.path}`` is replaced by a variable.

Not ``str.format``: a template reads JSON values by name, never attributes, and its result is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowlet.instance.json_text import write_json
from flowlet.text import clean_text

__all__ = [
    "MAX_TEMPLATE_LENGTH",
    "MAX_TITLE_LENGTH",
    "MISSING_VALUE",
    "find_template_fault",
    "find_value",
    "format_value",
    "list_paths",
    "render_template",
    "split_path",
]

MAX_TEMPLATE_LENGTH = 500
MAX_TITLE_LENGTH = 200
"""How many characters a title has at most; a longer one ends with an ellipsis."""
MAX_VALUE_LENGTH = 80
"""How many characters one variable has in it at most."""
MAX_PATH_PARTS = 10
MISSING_VALUE = "–"
"""What is shown for a variable that does not exist or is null."""

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"\w+(?:\.\w+)*")
_SPACES = re.compile(r"\s+")


def render_template(template: str, values: Mapping[str, Any]) -> str:
    """Return a template's text with variables in place of their paths: one line of at most 200 characters.

    Args:
        template: The template; ``{{`` and ``}}`` are braces.
        values: The variables, as plain JSON values.
    """

    def replace_part(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return found[0] if found[1] is None else format_value(find_value(values, found[1]))

    return _shorten(_PART.sub(replace_part, template), MAX_TITLE_LENGTH)


def find_template_fault(template: object) -> str | None:
    """Return why a text is not a template, as the predicate of a sentence; None if it is one."""
    if not isinstance(template, str):
        return f"is of type {type(template).__name__}, not a text"
    if not template.strip() or len(template) > MAX_TEMPLATE_LENGTH:
        return f"must have 1 to {MAX_TEMPLATE_LENGTH} characters"
    for found in _PART.finditer(template):
        if found[0] in ("{", "}"):
            return f"has a single {found[0]!r}: write it twice, or name a variable as in '{{customer.name}}'"
        if found[1] is not None and (fault := find_path_fault(found[1])):
            return f"has {found[0]!r}, which {fault}"
    return None


def find_path_fault(path: object) -> str | None:
    """Return why a text is not the path of a variable, as the predicate of a sentence; None if it is one."""
    if not isinstance(path, str) or not _PATH.fullmatch(path) or path.count(".") >= MAX_PATH_PARTS:
        return "is not the path of a variable, such as 'customer' or 'customer.name'"
    return None


def list_paths(template: str) -> Iterator[str]:
    """Yield the paths of a template."""
    for found in _PART.finditer(template):
        if found[1] is not None:
            yield found[1]


def split_path(path: str) -> Sequence[str]:
    """Return the names of a path."""
    return path.split(".")


def find_value(values: Any, path: str) -> Any:
    """Return the value at a path; None if there is none. In a list a name is a place, counted from 0."""
    for name in split_path(path):
        if isinstance(values, Mapping):
            values = values.get(name)
        elif isinstance(values, list) and name.isascii() and name.isdigit() and int(name) < len(values):
            values = values[int(name)]
        else:
            return None
    return values


def format_value(value: Any) -> str:
    """Return a value as it is shown in a sentence: a text as it is, a list or an object as how much is in it."""
    if value is None:
        return MISSING_VALUE
    if isinstance(value, str):
        return _shorten(value, MAX_VALUE_LENGTH)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | Mapping):
        noun = "item" if isinstance(value, list) else "field"
        return f"{len(value):,} {noun}{'' if len(value) == 1 else 's'}"
    return _shorten(write_json(value), MAX_VALUE_LENGTH)


def _shorten(text: str, limit: int) -> str:
    """Return a text on one line, without what is beyond the limit."""
    line = clean_text(_SPACES.sub(" ", text[: 4 * limit]).strip())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
