"""Descriptions from docstrings: the text describes a model, and "Attributes:" its properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

__all__ = ["SECTION_HEADING", "describe_properties", "split_attributes"]

SECTION_HEADING = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
"""The heading of a section, which ends the text of a docstring."""
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)


def split_attributes(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's text, and the description of each attribute."""
    head, *rest = re.split(r"^Attributes:$", text, maxsplit=1, flags=re.MULTILINE)
    attributes = _ATTRIBUTE.findall(SECTION_HEADING.split(rest[0])[0]) if rest else []
    return head.strip(), {name: " ".join(text.split()) for name, text in attributes}


def describe_properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's schema with the descriptions of its properties from its docstring's attributes.

    A property's own description stays. Attributes that are not properties are left out.
    """
    text, attributes = split_attributes(schema.get("description", ""))
    if not attributes:
        return dict(schema)
    descriptions = {**attributes, **{to_camel(name): text for name, text in attributes.items()}}
    properties = {
        name: {"description": descriptions[name], **each} if name in descriptions else each
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "description": text, "properties": properties}
