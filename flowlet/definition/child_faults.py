"""The children that handlers create: those whose workflow is not loaded, as far as the source shows."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator

from flowlet.definition.definition import Definition, StateDefinition
from flowlet.definition.handler_source import HandlerSource, walk_scope
from flowlet.errors import Fault
from flowlet.text import format_suggestion
from flowlet.workflow.outcome import child
from flowlet.workflow.workflow import Workflow

__all__ = ["find_child_faults"]


def find_child_faults(definitions: Iterable[Definition]) -> list[Fault]:
    """Return a fault for each child that a handler creates of a workflow that is not among these definitions.

    It recognises ``child("Name", ...)`` and ``shipment.workflow.child(...)`` in the handler itself.
    """
    loaded = {definition.name: definition for definition in definitions}
    return [
        fault
        for definition in loaded.values()
        for state in definition.states.values()
        for fault in _check_state(state, loaded)
    ]


def _check_state(state: StateDefinition, loaded: Collection[str]) -> Iterator[Fault]:
    code = HandlerSource.of(state.handler) if state.handler else None
    for node in walk_scope(code.tree) if code else ():
        name = _find_child_name(code, node) if code and isinstance(node, ast.Call) else None
        if name is None or name in loaded:
            continue
        message = f"state {state.name!r} creates a child of {name!r}, but no module of that workflow is loaded here."
        cure = f"{format_suggestion(name, loaded)} Load its module too. Loaded: {', '.join(sorted(loaded))}.".lstrip()
        yield Fault(state.file, getattr(node, "lineno", state.line), f"{message}\n{cure}")


def _find_child_name(code: HandlerSource, call: ast.Call) -> str | None:
    """Return the name of the workflow that a call requests a child of; None if it is no such call, or not known."""
    if code.resolve_name(call.func) is child:
        first = call.args[0] if call.args else None
        return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    if isinstance(call.func, ast.Attribute) and call.func.attr == "child":
        workflow = code.resolve_name(call.func.value)
        return workflow.name if isinstance(workflow, Workflow) else None
    return None
