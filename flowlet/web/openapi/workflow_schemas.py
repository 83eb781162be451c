"""What the API's description says of each workflow: its variables, and what an instance of it may be created with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flowlet.definition.definition import Definition
from flowlet.errors import VariablesError
from flowlet.web.openapi.docstrings import describe_properties

__all__ = [
    "build_create_conditions",
    "build_create_examples",
    "build_variable_schemas",
    "build_wait_conditions",
    "build_wait_examples",
]

_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")
_SAMPLE_VALUES = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
_EXAMPLE_WAIT_SECONDS = 2.5


def build_variable_schemas(definitions: Sequence[Definition], ref_prefix: str) -> dict[str, Any]:
    """Return the schema of each workflow's variables and of the models in it; the API's own names have no dot.

    Args:
        definitions: The workflows.
        ref_prefix: What a reference to a component begins with.
    """
    components: dict[str, Any] = {}
    for definition in definitions:
        key = _format_component_name(definition)
        schema: dict[str, Any] = {"type": "object"}
        if definition.vars:
            schema = definition.vars.model_json_schema(ref_template=f"{ref_prefix}{key}.{{model}}")
        components |= {f"{key}.{name}": describe_properties(inner) for name, inner in schema.pop("$defs", {}).items()}
        components[key] = {**describe_properties(schema), "title": definition.name}
    return components


def build_create_conditions(definitions: Sequence[Definition], ref_prefix: str) -> dict[str, Any]:
    """Return what a request to create an instance has to fulfil beyond its own schema, workflow by workflow."""
    told = []
    for definition in definitions:
        reference = {"$ref": f"{ref_prefix}{_format_component_name(definition)}"}
        is_needed = definition.vars is not None and definition.vars.model_json_schema().get("required")
        then = {"properties": {"stateVars": reference if is_needed else {"anyOf": [reference, {"type": "null"}]}}}
        told.append(_build_type_condition(definition, {**then, **({"required": ["stateVars"]} if is_needed else {})}))
    return {"allOf": told} if told else {}


def build_wait_conditions(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return the same of a request that waits for the new instance: which states there are to be waited for."""
    told = []
    for definition in definitions:
        states = {"items": {"enum": sorted(definition.states)}}
        one = _build_type_condition(definition, {})["if"]
        needs = {"properties": {"createWorkflowRequest": one}, "required": ["createWorkflowRequest"]}
        told.append({"if": needs, "then": {"properties": {"waitForStates": states}}})
    return {"allOf": told} if told else {}


def build_create_examples(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return by workflow a request that creates an instance of it, as far as one can be made up from its model."""
    made = {definition.name: _build_example(definition) for definition in definitions}
    found = {name: example for name, example in made.items() if example is not None}
    return found or {"OrderWorkflow": {"workflowType": "OrderWorkflow", "businessKey": "customer-1001", "priority": 5}}


def build_wait_examples(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return by workflow a request that creates an instance of it and waits for its end."""
    return {
        name: {"createWorkflowRequest": example, "waitSeconds": _EXAMPLE_WAIT_SECONDS}
        for name, example in build_create_examples(definitions).items()
    }


def _format_component_name(definition: Definition) -> str:
    return f"variables.{_UNSAFE_CHARACTER.sub(lambda match: f'_{ord(match[0]):x}', definition.name)}"


def _build_type_condition(definition: Definition, then: dict[str, Any]) -> dict[str, Any]:
    condition = {"properties": {"workflowType": {"const": definition.name}}, "required": ["workflowType"]}
    return {"if": condition, "then": then}


def _build_example(definition: Definition) -> dict[str, Any] | None:
    schema = definition.vars.model_json_schema() if definition.vars else {}
    values = {name: _pick_sample_value(inner) for name, inner in schema.get("properties", {}).items()}
    try:
        definition.validate_vars(values)
    except VariablesError:
        return None  # the model asks for more than a schema's types tell
    return {"workflowType": definition.name, "businessKey": "customer-1001", "stateVars": values}


def _pick_sample_value(schema: dict[str, Any]) -> Any:
    """Return a value that a schema names, or one of its type."""
    if "default" in schema:
        return schema["default"]
    named = [*schema.get("examples", ()), *schema.get("enum", ())]
    return named[0] if named else _SAMPLE_VALUES.get(schema.get("type", ""))
