"""Texts as HTML: paragraphs, names set as code, and names and paths that break where their parts meet."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

__all__ = ["insert_breaks", "render_code", "render_prose"]

_CODE_PATTERN = re.compile(r"(`{1,2})([^`]+)\1")
_BREAK_PATTERN = re.compile(r"(?<=[/._-])(?=.)|(?<=[a-z0-9])(?=[A-Z])")


def render_prose(text: str) -> Markup:
    """Return a text as paragraphs; what stands between one or two backquotes is code. All else is escaped."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())
    return Markup("").join(Markup("<p>{}</p>").format(render_code(part)) for part in paragraphs)


def render_code(text: str) -> Markup:
    """Return a text with what stands between backquotes as code."""
    pieces, end = [], 0
    for found in _CODE_PATTERN.finditer(text):
        pieces += [escape(text[end : found.start()]), Markup("<code>{}</code>").format(found[2])]
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])


def insert_breaks(name: str) -> Markup:
    """Return a name or a path that a line may end in: behind a slash, dot, underscore or dash, and before a capital."""
    return Markup("<wbr>").join(escape(part) for part in _BREAK_PATTERN.split(name))
