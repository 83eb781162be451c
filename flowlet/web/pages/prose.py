"""Texts of docstrings as HTML: paragraphs, and names set as code."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

__all__ = ["prose"]

_CODE = re.compile(r"(`{1,2})([^`]+)\1")


def prose(text: str) -> Markup:
    """Return a text as paragraphs; what stands between one or two backquotes is code. All else is escaped."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())
    return Markup("").join(Markup("<p>{}</p>").format(_coded(part)) for part in paragraphs)


def _coded(text: str) -> Markup:
    pieces, end = [], 0
    for found in _CODE.finditer(text):
        pieces += [escape(text[end : found.start()]), Markup("<code>{}</code>").format(found[2])]
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])
