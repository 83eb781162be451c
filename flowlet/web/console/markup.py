"""Text as HTML: paragraphs, inline code, and line breaks inside long names and paths."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

__all__ = ["capitalize_first", "insert_breaks", "render_code", "render_prose"]

_CODE_PATTERN = re.compile(r"(`{1,2})([^`]+)\1")
_BREAK_PATTERN = re.compile(r"(?<=[/._-])(?=.)|(?<=[a-z0-9])(?=[A-Z])")


def render_prose(text: str) -> Markup:
    """Return a text as paragraphs; text between one or two backquotes is code. Everything else is escaped."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())
    return Markup("").join(Markup("<p>{}</p>").format(render_code(part)) for part in paragraphs)


def render_code(text: str) -> Markup:
    """Return a text with the parts between backquotes as code."""
    pieces, end = [], 0
    for found in _CODE_PATTERN.finditer(text):
        pieces += [escape(text[end : found.start()]), Markup("<code>{}</code>").format(found[2])]
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])


def capitalize_first(text: str) -> str:
    """Return a text with its first letter in upper case: the messages of errors begin with a lower-case one."""
    return text[:1].upper() + text[1:]


def insert_breaks(name: str) -> Markup:
    """Return a name or path that may wrap after a slash, dot, underscore or dash, and before a capital letter."""
    return Markup("<wbr>").join(escape(part) for part in _BREAK_PATTERN.split(name))
