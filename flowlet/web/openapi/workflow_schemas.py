"""The part of the OpenAPI document for each definition: its variables, and examples of creates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flowlet.definition.definition import Definition
from flowlet.definition.model_shape import build_schema
from flowlet.errors import VariablesError
from flowlet.web.openapi.docstrings import describe_properties
from flowlet.web.openapi.spelled_schemas import build_spelled_schema

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
    """Return the schemas of each definition's variables and of their models. The API's own schemas have no dot.

    Args:
        definitions: The definitions.
        ref_prefix: The beginning of a reference to a component.
    """
    components: dict[str, Any] = {}
    for definition in definitions:
        key = _format_component_name(definition)
        schema: dict[str, Any] = {"type": "object"}
        if definition.vars:
            schema = definition.vars.model_json_schema(ref_template=f"{ref_prefix}{key}.{{model}}")
        inner = schema.pop("$defs", {})
        components |= {f"{key}.{name}": _close(describe_properties(one)) for name, one in inner.items()}
        components[key] = {**_close(describe_properties(schema)), "title": definition.name}
    return components


def build_create_conditions(
    definitions: Sequence[Definition], schemas: Mapping[str, Any], ref_prefix: str
) -> dict[str, Any]:
    """Return the conditions on a create beyond its own schema: two alternatives for each definition.

    The variables are ``vars`` or ``stateVars``. A list of alternatives grows with the number of definitions; for a list
    of ``if`` and ``then``, generators of requests multiply the choices of all definitions with each other.

    Args:
        definitions: The definitions.
        schemas: All components, those of ``build_variable_schemas`` included.
        ref_prefix: The beginning of a reference to a component.
    """
    choices = []
    for definition in definitions:
        key = _format_component_name(definition)
        reference = {"$ref": f"{ref_prefix}{key}"}
        spelled = build_spelled_schema(schemas[key], schemas, reference["$ref"]) if definition.vars else reference
        is_needed = definition.vars is not None and bool(build_schema(definition.vars).get("required"))
        for name, other, schema in (("vars", "stateVars", reference), ("stateVars", "vars", spelled)):
            given = schema if is_needed else {"anyOf": [schema, {"type": "null"}]}
            properties = {"workflowType": {"const": definition.name}, name: given, other: {"type": "null"}}
            choices.append({"properties": properties, **({"required": [name]} if is_needed else {})})
    return {"anyOf": choices} if choices else {}


def build_wait_conditions(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return the conditions on a create with a wait: the states of each definition."""
    conditions = []
    for definition in definitions:
        states = {"items": {"enum": sorted({*definition.states, *definition.present_names})}}
        one = _build_type_condition(definition, {})["if"]
        needs = {"properties": {"createWorkflowRequest": one}, "required": ["createWorkflowRequest"]}
        conditions.append({"if": needs, "then": {"properties": {"waitForStates": states}}})
    return {"allOf": conditions} if conditions else {}


def build_create_examples(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return an example of a create for each definition from whose model one can be generated."""
    built = {definition.name: _build_example(definition) for definition in definitions}
    examples = {name: example for name, example in built.items() if example is not None}
    return examples or {
        "OrderWorkflow": {"workflowType": "OrderWorkflow", "businessKey": "customer-1001", "priority": 5}
    }


def build_wait_examples(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Return an example of a create that waits for the end, for each definition."""
    return {
        name: {"createWorkflowRequest": example, "waitSeconds": _EXAMPLE_WAIT_SECONDS}
        for name, example in build_create_examples(definitions).items()
    }


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a model that refuses the names that it does not declare, unless it says otherwise."""
    return {"additionalProperties": False, **schema} if "properties" in schema else schema


def _format_component_name(definition: Definition) -> str:
    return f"variables.{_UNSAFE_CHARACTER.sub(lambda match: f'_{ord(match[0]):x}', definition.name)}"


def _build_type_condition(definition: Definition, then: dict[str, Any]) -> dict[str, Any]:
    condition = {"properties": {"workflowType": {"const": definition.name}}, "required": ["workflowType"]}
    return {"if": condition, "then": then}


def _build_example(definition: Definition) -> dict[str, Any] | None:
    schema = build_schema(definition.vars) if definition.vars else {}
    values = {name: _pick_sample_value(inner) for name, inner in schema.get("properties", {}).items()}
    try:
        definition.validate_vars(values)
    except VariablesError:
        return None  # the model has rules beyond the types of its schema
    return {"workflowType": definition.name, "businessKey": "customer-1001", "stateVars": values}


def _pick_sample_value(schema: dict[str, Any]) -> Any:
    """Return an example value from a schema, or a value of its type."""
    if "default" in schema:
        return schema["default"]
    named = [*schema.get("examples", ()), *schema.get("enum", ())]
    return named[0] if named else _SAMPLE_VALUES.get(schema.get("type", ""))
