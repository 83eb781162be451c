"""What people decide about: the question of an instance, its summary, and the variables that are shown with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.definition.people.summary import read_shown_vars
from flowlet.definition.people.title_template import MISSING_VALUE, find_value, render_template
from flowlet.diagram.text_metrics import clean_lines
from flowlet.instance.instance import Instance

__all__ = ["ShownValue", "Subject", "build_subject"]

MAX_VALUES = 12
"""How many variables are shown where the state does not say which."""
MAX_LENGTH = 400
"""How many characters of one are shown."""


@dataclass(frozen=True, slots=True)
class ShownValue:
    """A variable as a page shows it. A long text, list or object is cut, and ``is_block`` is True."""

    label: str
    text: str
    is_block: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question is about.

    Attributes:
        title: The question in one line; empty for none.
        summary: The instance in one line; empty for none.
        values: The variables that are shown.
        more: How many others are not shown.
    """

    title: str = ""
    summary: str = ""
    values: tuple[ShownValue, ...] = ()
    more: int = 0


def build_subject(instance: Instance, definition: Definition | None, state: StateDefinition | None) -> Subject:
    """Return what the question of an instance is about.

    Args:
        instance: The instance.
        definition: Its definition; None if it is not loaded: then only variables are shown.
        state: Its state; None if it is not known.
    """
    variables = read_shown_vars(instance, definition)
    question = state.question if state else None
    title = render_template(question.title, variables) if question and question.title else ""
    summary = render_template(definition.summary, variables) if definition and definition.summary else ""
    if question and question.show:
        values = tuple(_show(definition, path, find_value(variables, path)) for path in question.show)
        return Subject(title, summary, values)
    plain = {name: value for name, value in variables.items() if not isinstance(value, list | Mapping | None)}
    values = tuple(_show(definition, name, value) for name, value in list(plain.items())[:MAX_VALUES])
    return Subject(title, summary, values, len(variables) - len(values))


def _show(definition: Definition | None, path: str, value: Any) -> ShownValue:
    label = _find_field_title(definition, path) or path.replace("_", " ").replace(".", " ").capitalize()
    if value is None:
        return ShownValue(label, MISSING_VALUE)
    if isinstance(value, bool):
        return ShownValue(label, "yes" if value else "no")
    is_json = isinstance(value, list | Mapping)
    text = clean_lines(json.dumps(value, ensure_ascii=False, indent=2) if is_json else str(value))
    cut = text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
    return ShownValue(label, cut, is_json or "\n" in cut or len(cut) > 80)


def _find_field_title(definition: Definition | None, path: str) -> str | None:
    fields = definition.vars.model_fields if definition and definition.vars else {}
    return fields[path].title if path in fields else None
