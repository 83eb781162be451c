"""What the API's description says of each workflow: its variables, and what an instance of it may be created with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flowlet.definition import Definition
from flowlet.errors import VariablesError
from flowlet.web.docstrings import spread

__all__ = ["creation", "creation_examples", "variables", "waiting", "waiting_examples"]

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]")
_SAMPLES = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
_WAIT_SECONDS = 2.5


def variables(definitions: Sequence[Definition], schemas: str) -> dict[str, Any]:
    """Return the schema of each workflow's variables and of the models in it; the API's own names have no dot.

    Args:
        definitions: The workflows.
        schemas: What a reference to a component begins with.
    """
    components: dict[str, Any] = {}
    for definition in definitions:
        key = _key(definition)
        schema: dict[str, Any] = {"type": "object"}
        if definition.vars:
            schema = definition.vars.model_json_schema(ref_template=f"{schemas}{key}.{{model}}")
        components |= {f"{key}.{name}": spread(inner) for name, inner in schema.pop("$defs", {}).items()}
        components[key] = {**spread(schema), "title": definition.name}
    return components


def creation(definitions: Sequence[Definition], schemas: str) -> dict[str, Any]:
    """Return what a request to create an instance has to fulfil beyond its own schema, workflow by workflow."""
    told = []
    for definition in definitions:
        reference = {"$ref": f"{schemas}{_key(definition)}"}
        is_needed = definition.vars is not None and definition.vars.model_json_schema().get("required")
        then = {"properties": {"stateVars": reference if is_needed else {"anyOf": [reference, {"type": "null"}]}}}
        told.append(_if_type(definition, {**then, **({"required": ["stateVars"]} if is_needed else {})}))
    return {"allOf": told} if told else {}


def waiting(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return the same of a request that waits for the new instance: which states there are to be waited for."""
    told = []
    for definition in definitions:
        states = {"items": {"enum": sorted(definition.states)}}
        one = _if_type(definition, {})["if"]
        needs = {"properties": {"createWorkflowRequest": one}, "required": ["createWorkflowRequest"]}
        told.append({"if": needs, "then": {"properties": {"waitForStates": states}}})
    return {"allOf": told} if told else {}


def creation_examples(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return by workflow a request that creates an instance of it, as far as one can be made up from its model."""
    made = {definition.name: _example(definition) for definition in definitions}
    found = {name: example for name, example in made.items() if example is not None}
    return found or {"OrderWorkflow": {"workflowType": "OrderWorkflow", "businessKey": "customer-1001", "priority": 5}}


def waiting_examples(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return by workflow a request that creates an instance of it and waits for its end."""
    return {
        name: {"createWorkflowRequest": example, "waitSeconds": _WAIT_SECONDS}
        for name, example in creation_examples(definitions).items()
    }


def _key(definition: Definition) -> str:
    return f"variables.{_UNNAMEABLE.sub(lambda match: f'_{ord(match[0]):x}', definition.name)}"


def _if_type(definition: Definition, then: dict[str, Any]) -> dict[str, Any]:
    condition = {"properties": {"workflowType": {"const": definition.name}}, "required": ["workflowType"]}
    return {"if": condition, "then": then}


def _example(definition: Definition) -> dict[str, Any] | None:
    schema = definition.vars.model_json_schema() if definition.vars else {}
    values = {name: _sample(inner) for name, inner in schema.get("properties", {}).items()}
    try:
        definition.checked_vars(values)
    except VariablesError:
        return None  # the model asks for more than a schema's types tell
    return {"workflowType": definition.name, "businessKey": "customer-1001", "stateVars": values}


def _sample(schema: dict[str, Any]) -> Any:
    """Return a value that a schema names, or one of its type."""
    if "default" in schema:
        return schema["default"]
    named = [*schema.get("examples", ()), *schema.get("enum", ())]
    return named[0] if named else _SAMPLES.get(schema.get("type", ""))
