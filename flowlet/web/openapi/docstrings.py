"""Docstrings as descriptions: what stands under "Attributes:" is told of each property, and not of the whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

__all__ = ["SECTION_HEADING", "describe_properties", "split_attributes"]

SECTION_HEADING = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
"""Where the text of a docstring ends, and its lists begin."""
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)


def split_attributes(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its attributes, and what it says of each of these."""
    head, *rest = re.split(r"^Attributes:$", text, maxsplit=1, flags=re.MULTILINE)
    attributes = _ATTRIBUTE.findall(SECTION_HEADING.split(rest[0])[0]) if rest else []
    return head.strip(), {name: " ".join(told.split()) for name, told in attributes}


def describe_properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's schema with its docstring's attributes told of its properties.

    A description that a property has of its own stays. What names no property is left out.
    """
    text, attributes = split_attributes(schema.get("description", ""))
    if not attributes:
        return dict(schema)
    told = {**attributes, **{to_camel(name): text for name, text in attributes.items()}}
    properties = {
        name: {"description": told[name], **each} if name in told else each
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "description": text, "properties": properties}
