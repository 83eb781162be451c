"""An instance in one line, and its variables as people are shown them."""

from __future__ import annotations

from typing import Any

from flowlet.definition.definition import Definition
from flowlet.definition.people.title_template import render_template
from flowlet.definition.versions.migrations import migrate_if_possible
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import parse_shown_object

__all__ = ["read_shown_vars", "render_summary"]


def render_summary(instance: Instance, definition: Definition | None) -> str:
    """Return an instance in one line; empty if its workflow has no summary or is not loaded."""
    if definition is None or not definition.summary:
        return ""
    return render_template(definition.summary, read_shown_vars(instance, definition))


def read_shown_vars(instance: Instance, definition: Definition | None) -> dict[str, Any]:
    """Return the variables as the loaded version names them, if it can read them."""
    if definition is None:
        return instance.vars
    return parse_shown_object(migrate_if_possible(definition, instance.vars_json, instance.vars_version))
